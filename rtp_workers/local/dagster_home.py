"""DAGSTER_HOME of the embedded platform: its instance settings, generated because they hold a password."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rtp_workers.endpoints import Endpoints

CODE_LOCATION = "rtp_dagster"


def write_dagster_home(home: Path, endpoints: Endpoints) -> Path:
    """Writes ``dagster.yaml`` (mode 0600) below ``<home>/dagster`` and returns that folder.

    YAML holds JSON, so it is written as JSON.

    Args:
        home: RTP_HOME.
        endpoints: with Dagster's own database; without one, Dagster keeps its state in files of that folder.
    """
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "dagster.yaml", instance_settings(folder, endpoints.dagster_postgres_dsn))
    return folder


def write_workspace(folder: Path, code_socket: Path) -> Path:
    """Writes ``workspace.yaml``, which names the code server that listens on `code_socket`, and returns its path."""
    server = {"socket": str(code_socket), "location_name": CODE_LOCATION}
    path = folder / "workspace.yaml"
    _write(path, {"load_from": [{"grpc_server": server}]})
    return path


def instance_settings(folder: Path, dsn: str | None) -> dict[str, Any]:
    """Returns what ``dagster.yaml`` says."""
    settings: dict[str, Any] = {
        "telemetry": {"enabled": False},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"max_concurrent_runs": 2},
        },
        "run_monitoring": {"enabled": True},
        # A run whose process died is started again; a step that failed has its own retry policy.
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


def _write(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
    draft.replace(path)
