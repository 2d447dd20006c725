"""The containers' secrets: who gets which, how they are written, and what a rotation that was cut short leaves."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from rtp_workers.cli.setup_secrets import HOLDERS, KAFKA_ADMIN, KAFKA_FOLDERS, PASSWORDS, ROTATED, SecretStore
from rtp_workers.errors import ConfigError
from rtp_workers.postgres.roles import DAGSTER, INGEST, INSIGHTS, OWNER, READ

FOLDERS = ("master", "postgres", "pgadmin", "consumer", "batch", "dagster", "kafka", "producer")


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Who each file was given to: only root may really do that."""
    given: dict[str, int] = {}

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        draft = Path(f"/proc/self/fd/{descriptor}").readlink()
        given[f"{draft.parent.name}/{draft.name.removeprefix('.').split('.')[0]}"] = uid

    monkeypatch.setattr(os, "fchown", fchown)
    return given


@pytest.fixture
def store(tmp_path: Path, owners: dict[str, int]) -> SecretStore:
    """A store with a folder for each service, as the volumes are mounted."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    made = SecretStore(tmp_path)
    made.ensure()
    return made


def all_passwords(store: SecretStore) -> dict[str, str]:
    return {name: store.current(name).get_secret_value() for name in PASSWORDS}


def test_passwords_are_long_different_and_kept(store: SecretStore) -> None:
    first = all_passwords(store)
    assert len(set(first.values())) == len(PASSWORDS)
    assert min(len(password) for password in first.values()) >= 32
    store.ensure()
    assert all_passwords(store) == first


def test_each_service_gets_its_own_roles_and_no_others(store: SecretStore, tmp_path: Path) -> None:
    store.publish("postgres:5432")
    roles = {
        holder.folder: {line.split(":")[3] for line in (tmp_path / holder.folder / "pgpass").read_text().splitlines()}
        for holder in HOLDERS
        if holder.roles
    }
    assert roles == {
        "master": {OWNER, INGEST, READ, INSIGHTS, DAGSTER},
        "pgadmin": {READ},
        "consumer": {INGEST, READ},
        "batch": {INGEST, READ, INSIGHTS, DAGSTER},
        "dagster": {DAGSTER},
    }


def test_a_pgpass_line_holds_address_role_and_current_password(store: SecretStore, tmp_path: Path) -> None:
    store.publish("postgres:5432")
    password = store.current(DAGSTER).get_secret_value()
    assert (tmp_path / "dagster" / "pgpass").read_text() == f"postgres:5432:*:rtp_dagster:{password}\n"


def test_files_are_readable_by_their_owner_only(store: SecretStore, tmp_path: Path, owners: dict[str, int]) -> None:
    store.publish("postgres:5432")
    store.publish_kafka()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o400}
    assert owners["postgres/superuser-password"] == 999
    assert owners["pgadmin/pgpass"] == 5050
    assert owners["batch/pgpass"] == 10001
    assert owners["kafka/jaas"] == 1000
    assert not [path for path in files if path.name.endswith(".draft")]


def test_a_staged_rotation_counts_once_it_is_committed(store: SecretStore) -> None:
    before = all_passwords(store)
    store.stage()
    assert all_passwords(store) == before
    wanted = {name: store.wanted(name).get_secret_value() for name in ROTATED}
    assert not set(wanted.values()) & set(before.values())
    store.commit()
    after = all_passwords(store)
    assert {name: after[name] for name in ROTATED} == wanted
    assert after[KAFKA_ADMIN] == before[KAFKA_ADMIN], "the broker reads it at its own start only"


def test_a_rotation_that_was_cut_short_goes_on_with_the_same_passwords(store: SecretStore, tmp_path: Path) -> None:
    store.stage()
    wanted = {name: store.wanted(name).get_secret_value() for name in ROTATED}
    again = SecretStore(tmp_path)
    again.ensure()
    again.stage()
    assert {name: again.wanted(name).get_secret_value() for name in ROTATED} == wanted


def test_kafka_clients_log_in_as_themselves(store: SecretStore, tmp_path: Path) -> None:
    store.publish_kafka()
    for user, folder in KAFKA_FOLDERS.items():
        options = json.loads((tmp_path / folder / "kafka.json").read_text())
        assert options["sasl.username"] == user
        assert options["sasl.password"] == store.current(user).get_secret_value()
        assert options["sasl.mechanism"] == "SCRAM-SHA-512"
    jaas = (tmp_path / "kafka" / "jaas.conf").read_text()
    assert f'user_admin="{store.current(KAFKA_ADMIN).get_secret_value()}"' in jaas


def test_a_missing_folder_is_told_by_name(store: SecretStore, tmp_path: Path) -> None:
    (tmp_path / "dagster").rmdir()
    with pytest.raises(ConfigError, match=r"dagster/pgpass.*mounts a folder for each service"):
        store.publish("postgres:5432")
