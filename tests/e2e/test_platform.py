"""``rtp up`` and its tree of processes: started, killed, restarted, stopped, told of servers that are not its own."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
from pathlib import Path

import psutil
from confluent_kafka import Producer

from rtp_workers.endpoints import Endpoints, read_file
from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import describe
from rtp_workers.local import passwords, ports
from rtp_workers.local.children import remembered
from rtp_workers.local.kafka_server import SaslUser
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres import roles
from tests.conftest import NewServers, StartRtp
from tests.programs import RunningProgram, clean_env, run_rtp
from tests.reading import execute
from tests.records import body
from tests.waiting import wait_until

SERVERS = ("up", "--only", "kafka,postgres")
BOOT_S = 90.0
SHOWN = "Ctrl-C stops everything"


def env_for(home: Path) -> dict[str, str]:
    """An environment for a platform of its own, on free ports."""
    home.mkdir(mode=0o755, exist_ok=True)
    names = ("KAFKA", "POSTGRES", "PRODUCER", "CONSUMER", "DAGSTER")
    return clean_env(RTP_HOME=str(home), **{f"RTP_{name}_PORT": str(ports.free_port()) for name in names})


def await_boot(program: RunningProgram, home: Path) -> Endpoints:
    """Waits until the endpoints are there and returns them; shows the program's output where it ended."""

    def booted() -> Endpoints | None:
        assert program.running(), program.output()
        found = read_file(home)
        return found if found.postgres_read_dsn is not None and found.kafka_bootstrap is not None else None

    found = wait_until(booted, BOOT_S, "the platform's start")
    assert found is not None
    return found


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def answers(endpoints: Endpoints) -> bool:
    try:
        execute(endpoints.need("postgres_read_dsn"), "select 1")
        return describe(endpoints, "transactions", timeout_s=5) is not None
    except TransientError:
        return False


def test_two_platforms_run_side_by_side(home: Path, start_rtp: StartRtp) -> None:
    homes = (home / "one", home / "two")
    programs = [start_rtp(*SERVERS, env=env_for(each)) for each in homes]
    found = [await_boot(program, each) for program, each in zip(programs, homes, strict=True)]
    assert found[0].kafka_bootstrap != found[1].kafka_bootstrap
    for endpoints in found:
        assert execute(endpoints.need("postgres_read_dsn"), "select count(*) from transactions") == [(0,)]
        assert describe(endpoints, "transactions") is not None
    for program in programs:
        program.signal(signal.SIGTERM)
    assert [program.wait() for program in programs] == [0, 0]


def test_the_whole_tree_killed_comes_back_with_its_data(home: Path, start_rtp: StartRtp) -> None:
    env = env_for(home / "platform")
    first = start_rtp(*SERVERS, env=env)
    endpoints = await_boot(first, home / "platform")
    execute(endpoints.need("postgres_dsn"), "create table kept as select 1 as number")
    topic = describe(endpoints, "transactions")
    for process in tree(first.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    first.wait()
    again = start_rtp(*SERVERS, env=env)

    def restarted() -> bool:
        assert again.running(), again.output()
        return SHOWN in again.output()

    wait_until(restarted, BOOT_S, "the second start")
    assert execute(endpoints.need("postgres_dsn"), "select number from kept") == [(1,)]
    assert describe(endpoints, "transactions") == topic


def test_killing_the_supervisor_alone_leaves_no_server_behind(home: Path, start_rtp: StartRtp) -> None:
    env = env_for(home / "platform")
    program = start_rtp(*SERVERS, env=env)
    await_boot(program, home / "platform")
    servers = tree(program.pid)[1:]
    assert len(servers) > 2
    program.signal(signal.SIGKILL)
    wait_until(lambda: gone(servers), 60, "the end of every server")


def test_servers_that_died_are_started_again(home: Path, start_rtp: StartRtp) -> None:
    place = home / "platform"
    program = start_rtp(*SERVERS, env=env_for(place))
    endpoints = await_boot(program, place)
    wait_until(lambda: SHOWN in program.output(), 60)
    before = {part: remembered(place / "run" / f"{part}.pid") for part in ("kafka", "postgres")}
    for process in before.values():
        assert process is not None
        process.kill()

    def replaced(part: str) -> bool:
        now, then = remembered(place / "run" / f"{part}.pid"), before[part]
        return now is not None and then is not None and now.pid != then.pid

    for part in before:
        wait_until(lambda part=part: replaced(part), 60, f"another {part}")  # type: ignore[misc] # the default binds it
    wait_until(lambda: answers(endpoints), 60, "an answer of both servers")
    assert program.running()


def test_ctrl_c_stops_everything_within_seconds(home: Path, start_rtp: StartRtp) -> None:
    place = home / "platform"
    program = start_rtp(*SERVERS, env=env_for(place))
    await_boot(program, place)
    everything = tree(program.pid)
    program.signal(signal.SIGINT)
    assert program.wait(120) == 0
    wait_until(lambda: gone(everything), 5)
    assert read_file(place) == Endpoints()
    assert list((place / "run").glob("*.pid")) == []


def test_a_running_platform_describes_itself_and_refuses_a_second_one(home: Path, start_rtp: StartRtp) -> None:
    place = home / "platform"
    env = env_for(place)
    nothing = run_rtp("env", env=env)
    assert (nothing.returncode, nothing.stdout) == (2, "")
    first = start_rtp(*SERVERS, env=env)
    endpoints = await_boot(first, place)

    lines = run_rtp("env", env=env).stdout.splitlines()
    assert all(line.startswith("export ") for line in lines)
    values = dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:])
    assert values["RTP_POSTGRES_DSN"] == endpoints.postgres_dsn
    assert values["RTP_KAFKA_BOOTSTRAP"] == endpoints.kafka_bootstrap

    doctor = run_rtp("doctor", "--json", env=env)
    report = json.loads(doctor.stdout)
    assert doctor.returncode == 0, report
    checked = {finding["check"] for finding in report["findings"]}
    assert {"Kafka connection", "PostgreSQL as owner", "PostgreSQL as ingest", "schema", "secrets"} <= checked

    second = run_rtp(*SERVERS, env=env)
    assert second.returncode == 2
    assert "RTP_HOME" in second.stderr
    assert first.running()


def test_with_own_servers_nothing_is_started_and_the_rest_works(
    home: Path, new_servers: NewServers, start_rtp: StartRtp
) -> None:
    theirs = new_servers(sasl=SaslUser("team", "s3cret"))
    theirs.start()
    assert theirs.kafka is not None
    assert theirs.postgres is not None
    env = {
        **env_for(home / "platform"),
        "RTP_KAFKA_BOOTSTRAP": theirs.kafka.bootstrap,
        "RTP_KAFKA_CLIENT_CONFIG": json.dumps(theirs.kafka.client_options),
        "RTP_POSTGRES_DSN": someones_database(theirs.postgres) + "?sslmode=prefer",
    }
    program = start_rtp(*SERVERS, "--run-for", "20s", env=env)
    endpoints = await_boot(program, home / "platform")
    assert tree(program.pid)[1:] == []
    assert describe(endpoints, "transactions") is not None
    assert execute(endpoints.need("postgres_ingest_dsn"), "select current_user") == [(roles.INGEST,)]
    assert execute(endpoints.need("postgres_read_dsn"), "select count(*) from transactions") == [(0,)]
    producer = Producer({"bootstrap.servers": theirs.kafka.bootstrap, **theirs.kafka.client_options})
    producer.produce("transactions", body("t-1"))
    assert producer.flush(30) == 0
    consumed = run_rtp("consume", "--no-api", "--until-idle", "1s", env=env)
    assert consumed.returncode == 0, consumed.stdout + consumed.stderr
    assert execute(endpoints.need("postgres_read_dsn"), "select transaction_id from transactions") == [("t-1",)]
    assert program.wait(120) == 0


def someones_database(postgres: PostgresServer) -> str:
    """Makes an empty database whose owner may create roles, on a server without any role of ours; returns its DSN."""
    password = passwords.ensure(postgres.home, "somebody_password")
    for statement in (
        f"drop database {roles.DATABASE}",
        f"drop database {roles.DAGSTER_DATABASE}",
        *(f"drop role {role}" for role in (roles.OWNER, roles.INGEST, roles.READ, roles.DAGSTER)),
        f"create role somebody login createrole password '{password}'",
        "create database theirs owner somebody",
    ):
        execute(postgres.superuser_dsn, statement)
    return postgres.dsn("somebody", "theirs")
