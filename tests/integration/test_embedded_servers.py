"""The embedded Kafka and PostgreSQL: recovery, ports, secrets, and a home that their user cannot reach."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rtp_workers.errors import ConfigError, FatalError, RtpError
from rtp_workers.kafka.topics import describe, ensure_topic
from rtp_workers.local import kafka_start, passwords, postgres_server, unprivileged
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.kafka_server import KafkaServer, SaslUser, java_program
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres.connection import connect
from tests.conftest import NewServers
from tests.reading import execute
from tests.waiting import wait_until


def owner(servers: EmbeddedServers) -> str:
    return servers.endpoints().need("postgres_dsn")


def both(servers: EmbeddedServers) -> tuple[KafkaServer, PostgresServer]:
    assert servers.kafka is not None
    assert servers.postgres is not None
    return servers.kafka, servers.postgres


def postgres_alone(new_servers: NewServers, home: Path | None = None) -> tuple[EmbeddedServers, PostgresServer]:
    servers = new_servers(home=home)
    servers.kafka = None
    assert servers.postgres is not None
    return servers, servers.postgres


def test_two_pairs_run_side_by_side_and_know_nothing_of_each_other(new_servers: NewServers) -> None:
    first, second = new_servers(), new_servers()
    first.start()
    second.start()
    ensure_topic(first.endpoints(), "only-in-the-first")
    execute(owner(first), "create table only_in_the_first ()")
    assert describe(second.endpoints(), "only-in-the-first") is None
    assert execute(owner(second), "select to_regclass('only_in_the_first')") == [(None,)]


def test_both_recover_with_their_data_after_kill_9(new_servers: NewServers) -> None:
    servers = new_servers()
    servers.start()
    kafka, postgres = both(servers)
    ensure_topic(servers.endpoints(), "kept")
    execute(owner(servers), "create table kept as select 1 as number")
    for server in (kafka, postgres):
        assert server.child is not None
        process = psutil.Process(server.child.pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    servers.start()
    assert describe(servers.endpoints(), "kept") is not None
    assert execute(owner(servers), "select number from kept") == [(1,)]


def test_backends_that_outlive_a_killed_postgres_do_not_keep_it_down(new_servers: NewServers) -> None:
    servers, postgres = postgres_alone(new_servers)
    servers.start()
    assert postgres.child is not None
    session = connect(owner(servers), "rtp-tests", autocommit=True)
    backend = psutil.Process(session.info.backend_pid)
    backend.suspend()  # it cannot notice that its server is gone
    postgres.child.process.kill()
    postgres.prepare()
    postgres.start()
    postgres.wait_ready()
    assert not backend.is_running()
    assert execute(owner(servers), "select 1") == [(1,)]


def test_a_formatting_that_was_killed_half_way_is_done_again(new_servers: NewServers) -> None:
    servers = new_servers()
    kafka, postgres = both(servers)
    half = kafka.data.with_name("data.draft")
    half.mkdir(parents=True)
    (half / "meta.properties").write_text("cluster.id=half")
    half_data = kafka.home / "postgres" / "server" / "data.draft"
    half_data.mkdir(parents=True)
    (half_data / "PG_VERSION").write_text("18\n")
    servers.start()
    ensure_topic(servers.endpoints(), "works")
    assert execute(owner(servers), "select 1") == [(1,)]
    assert not half.exists()
    assert postgres.running()


@pytest.mark.parametrize(("part", "setting"), [("kafka", "RTP_KAFKA_PORT"), ("postgres", "RTP_POSTGRES_PORT")])
def test_a_taken_port_is_an_error_that_names_the_setting(new_servers: NewServers, part: str, setting: str) -> None:
    servers = new_servers()
    server = getattr(servers, part)
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(ConfigError, match=setting):
        servers.start()
    assert not any(each.running() for each in both(servers))


def test_passwords_are_for_the_owner_only_and_no_log_or_setting_holds_one(new_servers: NewServers) -> None:
    servers = new_servers()
    servers.start()
    kafka, _ = both(servers)
    folder = kafka.home / passwords.SECRETS_DIR
    secrets = {path: path.read_text() for path in folder.iterdir()}
    assert len(secrets) == 6
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    for path in [*(kafka.home / "logs").iterdir(), *kafka.data.parent.glob("*.properties")]:
        assert not any(secret in path.read_text() for secret in secrets.values())


def test_a_wrong_password_is_refused(new_servers: NewServers) -> None:
    servers, _ = postgres_alone(new_servers)
    servers.start()
    with pytest.raises(RtpError, match="password"):
        connect(owner(servers).replace("rtp_owner:", "rtp_owner:not-"), "rtp-tests")


def test_a_home_in_a_closed_folder_works_and_no_mode_is_widened(new_servers: NewServers, home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    watched = [*closed.parents, closed, *postgres_server.installation().parents]
    before = {path: stat.S_IMODE(path.stat().st_mode) for path in watched}
    servers, postgres = postgres_alone(new_servers, closed / "home")
    servers.start()
    try:
        assert execute(owner(servers), "select 1") == [(1,)]
        assert {path: stat.S_IMODE(path.stat().st_mode) for path in watched} == before
        data = postgres.location() / "data"
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert postgres.child is not None
        assert psutil.Process(postgres.child.pid).uids().effective != 0
    finally:
        servers.stop()
        postgres.remove_data()


def test_programs_in_a_closed_folder_are_copied_with_their_shared_libraries(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = unprivileged.server_account()
    if account is None:
        pytest.skip("only root runs PostgreSQL as another user")
    programs = postgres_server.installation()
    package, libraries = programs.parent, programs.parent.with_name(f"{programs.parent.name}.libs")
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(programs, closed / package.name / programs.name, symlinks=True)
    shutil.copytree(libraries, closed / libraries.name)
    monkeypatch.setattr(unprivileged, "STATE_ROOTS", (home,))
    copied = unprivileged.reachable_copy(account, closed / package.name / programs.name, "bin/initdb")
    assert copied.is_relative_to(home / unprivileged.OUR_FOLDER)
    for program in ("postgres", "initdb", "psql", "pg_dump"):
        assert unprivileged.can_run(account, copied / "bin" / program)
    assert unprivileged.reachable_copy(account, closed / package.name / programs.name, "bin/initdb") == copied


def test_data_without_its_password_is_an_error_that_says_what_to_restore(new_servers: NewServers) -> None:
    servers = new_servers()
    _, postgres = both(servers)
    postgres.prepare()
    (postgres.home / passwords.SECRETS_DIR / "postgres_password").unlink()
    with pytest.raises(ConfigError, match="restore"):
        postgres.prepare()


def test_a_server_that_ends_while_starting_shows_the_end_of_its_log(new_servers: NewServers) -> None:
    servers, postgres = postgres_alone(new_servers)
    postgres.settings = {"shared_buffers": "nonsense"}
    with pytest.raises(FatalError, match="shared_buffers"):
        servers.start()


def test_stopping_a_server_that_hangs_ends_by_force(new_servers: NewServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "STOP_FAST_S", 0.2)
    monkeypatch.setattr(postgres_server, "STOP_IMMEDIATE_S", 0.2)
    servers = new_servers()
    _, postgres = both(servers)
    postgres.prepare()
    postgres.start()
    postgres.wait_ready()
    assert postgres.child is not None
    process = psutil.Process(postgres.child.pid)
    os.kill(process.pid, signal.SIGSTOP)
    postgres.stop()
    wait_until(lambda: not process.is_running(), what="the end of the stopped server")


def test_kafka_with_sasl_lets_only_its_user_in(new_servers: NewServers) -> None:
    servers = new_servers(sasl=SaslUser("rtp", "right"))
    kafka, _ = both(servers)
    kafka.prepare()
    kafka.start()
    kafka.wait_ready()
    known = EmbeddedServers(kafka, None).endpoints()
    assert ensure_topic(known, "secured").partitions == 6
    stranger = replace(known, kafka_options={**known.kafka_options, "sasl.password": "wrong"})
    with pytest.raises(RtpError):
        describe(stranger, "secured", timeout_s=3)


def test_kafka_starts_from_what_java_has_recorded_and_also_without(
    new_servers: NewServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mapped_cache(servers: EmbeddedServers) -> bool:
        servers.postgres = None
        servers.start()
        kafka = servers.kafka
        assert kafka is not None
        assert kafka.child is not None
        return any(part.path == str(cache) for part in psutil.Process(kafka.child.process.pid).memory_maps())

    cache = kafka_start.cache_file(java_program())
    assert mapped_cache(new_servers())
    cache = tmp_path / "damaged.aot"
    cache.write_bytes(kafka_start.cache_file(java_program()).read_bytes()[:100_000])
    monkeypatch.setattr(kafka_start, "cache_file", lambda java: cache)
    assert not mapped_cache(new_servers())
