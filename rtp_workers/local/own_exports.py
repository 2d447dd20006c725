"""What ``rtp env`` exports, and how to distinguish it from the addresses of the user's own servers.

In a shell after ``eval "$(rtp env)"``, variables for the user's own servers hold the embedded platform's addresses. So
a platform records what it exports. The next start in that shell recognises the addresses and starts its servers.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from pathlib import Path

from rtp_workers import private_file
from rtp_workers.endpoints import Endpoints
from rtp_workers.settings import PlatformSettings, load

ENV_HOME = "RTP_ENV_HOME"
NOTE = Path("run") / "exported.json"


def exports(settings: PlatformSettings, endpoints: Endpoints) -> dict[str, str]:
    """Returns name -> value of everything that is known, in the order in which it is printed."""
    named = {
        "RTP_HOME": str(settings.home),
        ENV_HOME: str(settings.home),
        "RTP_TOPIC": settings.topic,
        **addresses(endpoints),
        "DAGSTER_HOME": str(settings.home / "dagster"),
    }
    return {name: value for name, value in named.items() if value is not None}


def addresses(endpoints: Endpoints) -> dict[str, str]:
    """Returns name -> value of the endpoints that are known."""
    options = endpoints.kafka_options
    named = {
        "RTP_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
        "RTP_KAFKA_CLIENT_CONFIG": json.dumps(options) if options else None,
        "RTP_POSTGRES_DSN": endpoints.postgres_dsn,
        "RTP_POSTGRES_INGEST_DSN": endpoints.postgres_ingest_dsn,
        "RTP_POSTGRES_READ_DSN": endpoints.postgres_read_dsn,
        "RTP_POSTGRES_INSIGHTS_DSN": endpoints.postgres_insights_dsn,
        "RTP_DAGSTER_POSTGRES_DSN": endpoints.dagster_postgres_dsn,
        "RTP_PRODUCER_URL": endpoints.producer_url,
        "RTP_CONSUMER_URL": endpoints.consumer_url,
        "RTP_DAGSTER_URL": endpoints.dagster_url,
        "RTP_PGADMIN_URL": endpoints.pgadmin_url,
    }
    return {name: value for name, value in named.items() if value is not None}


def note_ours(home: Path, embedded: Endpoints) -> None:
    """Records, with mode 0600, the addresses of parts that the platform of `home` starts itself."""
    path = home / NOTE
    path.parent.mkdir(parents=True, exist_ok=True)
    private_file.write(path, json.dumps(addresses(embedded), indent=1))


def forget_ours(environment: MutableMapping[str, str]) -> None:
    """Removes the addresses of an embedded platform from `environment`. Those of the user's own servers stay.

    Call it before a platform reads its settings. Programs that it starts then do not inherit them either.
    """
    homes = {Path(environment[ENV_HOME])} if environment.get(ENV_HOME) else set()
    for home in homes | {load(PlatformSettings).home}:
        for name, value in _noted(home).items():
            if environment.get(name) == value:
                del environment[name]


def _noted(home: Path) -> dict[str, str]:
    try:
        found = json.loads((home / NOTE).read_text())
    except (OSError, ValueError):  # missing, or not readable for us: then nothing is recognised
        return {}
    return found if isinstance(found, dict) else {}
