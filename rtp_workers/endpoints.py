"""Where Kafka, PostgreSQL and our own services are: from the settings, or from the running embedded platform."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rtp_workers import private_file
from rtp_workers.errors import ConfigError
from rtp_workers.settings import PlatformSettings

ENDPOINTS_FILE = Path("run") / "endpoints.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How to reach every part. None means that the part is not known; `need` turns that into a clear error.

    DSNs are secrets and are left out of the repr.
    """

    kafka_bootstrap: str | None = None
    kafka_options: dict[str, Any] = field(default_factory=dict, repr=False)
    postgres_dsn: str | None = field(default=None, repr=False)
    postgres_ingest_dsn: str | None = field(default=None, repr=False)
    postgres_read_dsn: str | None = field(default=None, repr=False)
    postgres_insights_dsn: str | None = field(default=None, repr=False)
    dagster_postgres_dsn: str | None = field(default=None, repr=False)
    producer_url: str | None = None
    consumer_url: str | None = None
    dagster_url: str | None = None
    pgadmin_url: str | None = None

    def need(self, name: str) -> str:
        """Returns the endpoint called `name`.

        Raises:
            ConfigError: it is not known; the message says what to do.
        """
        value = getattr(self, name)
        if value is None:
            raise ConfigError(
                f"{name} is not known: no embedded platform is running in this RTP_HOME (start one with `rtp up`), "
                f"and RTP_{name.upper()} is not set"
            )
        return str(value)


def resolve(settings: PlatformSettings) -> Endpoints:
    """Returns the endpoints, each from its setting or from ``<home>/run/endpoints.json``; otherwise None."""
    return overlay(read_file(settings.home), settings)


def overlay(found: Endpoints, settings: PlatformSettings) -> Endpoints:
    """Returns `found`, with the endpoints that the settings name put in its place."""
    given: dict[str, Any] = {
        name: getattr(settings, name) for name in ("kafka_bootstrap", "producer_url", "consumer_url", "dagster_url")
    }
    for name in (
        "postgres_dsn",
        "postgres_ingest_dsn",
        "postgres_read_dsn",
        "postgres_insights_dsn",
        "dagster_postgres_dsn",
    ):
        secret = getattr(settings, name)
        given[name] = secret.get_secret_value() if secret is not None else None
    given["pgadmin_url"] = settings.pgadmin_url
    options = settings.kafka_client_options()
    if options:
        given["kafka_options"] = options
    return replace(found, **{name: value for name, value in given.items() if value is not None})


def read_file(home: Path) -> Endpoints:
    """Returns what the embedded platform of `home` has written; all None if there is none."""
    try:
        return Endpoints(**json.loads((home / ENDPOINTS_FILE).read_text()))
    except FileNotFoundError:
        return Endpoints()
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{home / ENDPOINTS_FILE} cannot be read ({error}); remove it and run `rtp up`") from error


def write_file(home: Path, endpoints: Endpoints) -> None:
    """Writes the endpoints for other programs, mode 0600, in one step (readers see the old file or the new)."""
    path = home / ENDPOINTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    private_file.write(path, json.dumps(asdict(endpoints), indent=1))


def remove_file(home: Path) -> None:
    """Removes the endpoints, because the platform of `home` has stopped."""
    (home / ENDPOINTS_FILE).unlink(missing_ok=True)
