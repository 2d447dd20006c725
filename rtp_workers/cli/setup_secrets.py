"""The secrets of the containers: generated once, and given to each service as files that only its own user can read.

Each service mounts one folder (a volume of its own), so that it holds what it needs and nothing else:

    master/    every password, and a pgpass with the owner's; only `setup` mounts it
    postgres/  superuser-password
    pgadmin/   password, pgpass (rtp_read)
    consumer/  pgpass (rtp_ingest, rtp_read)
    batch/     pgpass (rtp_ingest, rtp_read, rtp_insights, rtp_dagster)
    dagster/   pgpass (rtp_dagster)
    kafka/     jaas.conf: only with SASL, as the kafka.json (librdkafka settings) of producer/, consumer/ and batch/

A ``pgpass`` file is libpq's own way (``PGPASSFILE``): connection strings in the environment then hold no password, and
a rotated password is picked up by the next connection without a restart.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from rtp_workers import private_file
from rtp_workers.errors import ConfigError
from rtp_workers.postgres.roles import DAGSTER, INGEST, INSIGHTS, OWNER, READ

SUPERUSER = "postgres"
PGADMIN = "pgadmin"
PRODUCER, CONSUMER, BATCH = KAFKA_USERS = ("rtp-producer", "rtp-consumer", "rtp-batch")
KAFKA_ADMIN = "admin"
ROTATED = (SUPERUSER, OWNER, INGEST, READ, INSIGHTS, DAGSTER, PGADMIN, *KAFKA_USERS)
# The broker reads its administrator's password only at its start, so this one stays.
PASSWORDS = (*ROTATED, KAFKA_ADMIN)
PASSWORD_BYTES = 24
NEXT = ".next"


@dataclass(frozen=True, slots=True)
class Holder:
    """One service's folder of secrets.

    Attributes:
        folder: below the secrets directory.
        uid: the user that the service runs as; None for the one that runs `setup`.
        roles: whose passwords its ``pgpass`` holds, in order; empty: there is no such file.
        files: file name -> name of the password it holds.
    """

    folder: str
    uid: int | None
    roles: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


KAFKA_UID, OURS_UID = 1000, 10001
KAFKA_FOLDERS = {PRODUCER: "producer", CONSUMER: "consumer", BATCH: "batch"}
JAAS = """KafkaServer {{
  org.apache.kafka.common.security.scram.ScramLoginModule required;
  org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
}};
"""
HOLDERS = (
    Holder("master", None, (OWNER, INGEST, READ, INSIGHTS, DAGSTER)),
    Holder("postgres", 999, files={"superuser-password": SUPERUSER}),
    Holder("pgadmin", 5050, (READ,), {"password": PGADMIN}),
    Holder("consumer", OURS_UID, (INGEST, READ)),
    Holder("batch", OURS_UID, (INGEST, READ, INSIGHTS, DAGSTER)),
    Holder("dagster", OURS_UID, (DAGSTER,)),
)


class SecretStore:
    """The ``master`` folder: a file per password. Not safe for two writers at once; only `setup` writes."""

    def __init__(self, secrets_dir: Path) -> None:
        self._root = secrets_dir
        self._master = secrets_dir / "master"

    def ensure(self) -> None:
        """Generates the passwords that are missing.

        Raises:
            ConfigError: the folder cannot be written.
        """
        for name in PASSWORDS:
            if not (self._master / name).exists():
                write_secret(self._master / name, secrets.token_urlsafe(PASSWORD_BYTES))

    def stage(self) -> None:
        """Generates the next password of each name, which is used from `commit` on. A staged one is kept."""
        for name in ROTATED:
            if not (self._master / f"{name}{NEXT}").exists():
                write_secret(self._master / f"{name}{NEXT}", secrets.token_urlsafe(PASSWORD_BYTES))

    def current(self, name: str) -> SecretStr:
        """Returns the password in use."""
        return SecretStr((self._master / name).read_text())

    def wanted(self, name: str) -> SecretStr:
        """Returns the staged password if there is one (a rotation was requested or cut short), else the current one."""
        staged = self._master / f"{name}{NEXT}"
        return SecretStr(staged.read_text()) if staged.exists() else self.current(name)

    def commit(self) -> None:
        """Makes the staged passwords the current ones."""
        for name in ROTATED:
            staged = self._master / f"{name}{NEXT}"
            if staged.exists():
                staged.replace(self._master / name)

    def publish(self, postgres_address: str) -> None:
        """Writes every holder's files from the current passwords, each in one step, mode 0400, owned by its user.

        Args:
            postgres_address: ``host:port`` as the services reach it.

        Raises:
            ConfigError: a folder is missing or cannot be written.
        """
        for holder in HOLDERS:
            folder = self._root / holder.folder
            for file_name, name in holder.files.items():
                write_secret(folder / file_name, self.current(name).get_secret_value(), holder.uid)
            if holder.roles:
                lines = [
                    f"{postgres_address}:*:{role}:{self.current(role).get_secret_value()}" for role in holder.roles
                ]
                write_secret(folder / "pgpass", "\n".join(lines) + "\n", holder.uid)

    def publish_kafka(self) -> None:
        """Writes what the broker and its clients need for SASL, from the current passwords.

        Raises:
            ConfigError: a folder is missing or cannot be written.
        """
        jaas = JAAS.format(user=KAFKA_ADMIN, password=self.current(KAFKA_ADMIN).get_secret_value())
        write_secret(self._root / "kafka" / "jaas.conf", jaas, KAFKA_UID)
        for user, folder in KAFKA_FOLDERS.items():
            write_secret(self._root / folder / "kafka.json", json.dumps(self.kafka_options(user)), OURS_UID)

    def kafka_options(self, user: str) -> dict[str, str]:
        """Returns the librdkafka settings that log this user in: SCRAM, or PLAIN for the administrator."""
        return {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN" if user == KAFKA_ADMIN else "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.current(user).get_secret_value(),
        }


def write_secret(path: Path, text: str, uid: int | None = None) -> None:
    """Writes a file of mode 0400 in one step: a reader sees the old file or the new one, never a part.

    Args:
        path: in a folder that exists.
        text: its content.
        uid: its owner; None for the user of this process.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        private_file.write(path, text, mode=0o400, owner=None if uid is None else (uid, uid), durable=True)
    except OSError as error:
        raise ConfigError(
            f"the secret {path} cannot be written ({error.strerror}); `rtp setup` is for the compose service `setup`, "
            "which mounts a folder for each service and may chown"
        ) from error
