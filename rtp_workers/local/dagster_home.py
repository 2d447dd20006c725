"""DAGSTER_HOME of the embedded platform: its instance settings, generated because they hold a password."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtp_workers import private_file
from rtp_workers.endpoints import Endpoints

CODE_LOCATION = "rtp_dagster"


def write_dagster_home(home: Path, endpoints: Endpoints) -> Path:
    """Writes ``dagster.yaml`` (mode 0600) below ``<home>/dagster`` and returns that folder.

    YAML holds JSON, so it is written as JSON.

    Args:
        home: RTP_HOME.
        endpoints: with Dagster's own database. Without one, Dagster keeps its state in files in that folder.
    """
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    private_file.write(folder / "dagster.yaml", _json(instance_settings(folder, endpoints.dagster_postgres_dsn)))
    return folder


def write_workspace(folder: Path, code_socket: Path) -> Path:
    """Writes ``workspace.yaml``, which names the code server that listens on `code_socket`, and returns its path."""
    server = {"socket": str(code_socket), "location_name": CODE_LOCATION}
    path = folder / "workspace.yaml"
    private_file.write(path, _json({"load_from": [{"grpc_server": server}]}))
    return path


def instance_settings(folder: Path, dsn: str | None) -> dict[str, Any]:
    """Returns the content of ``dagster.yaml``."""
    settings: dict[str, Any] = {
        "telemetry": {"enabled": False},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"max_concurrent_runs": 2},
        },
        "run_monitoring": {"enabled": True},
        # A run whose process died is restarted. A step that failed has its own retry policy.
        "run_retries": {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False},
        "nux": {"enabled": False},
        "local_artifact_storage": _local("dagster.core.storage.root", "LocalArtifactStorage", folder / "storage"),
        "compute_logs": _local(
            "dagster.core.storage.local_compute_log_manager", "LocalComputeLogManager", folder / "compute_logs"
        ),
        "retention": {
            "schedule": {"purge_after_days": 30},
            "sensor": {"purge_after_days": {"skipped": 2, "failure": 30, "success": 30}},
        },
    }
    if dsn is not None:
        # The driver is named because SQLAlchemy 2.1 would pick psycopg 3, with which the event log's NOTIFY fails.
        url = dsn.replace("postgresql://", "postgresql+psycopg2://", 1)
        settings["storage"] = {"postgres": {"postgres_url": url}}
    return settings


def _local(module: str, class_name: str, folder: Path) -> dict[str, Any]:
    return {"module": module, "class": class_name, "config": {"base_dir": str(folder)}}


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)
