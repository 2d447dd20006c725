"""Each container killed under load, Kafka's log lost, everything started in any order: the ledger still balances."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.docker import EIGHT, Project, docker, eventually

LOAD_PER_S = 2_000
RESTART_LIMIT_S = 240
ROWS_LIMIT_S = 240


@pytest.fixture
def under_load(platform: Project) -> Iterator[Project]:
    """The platform with live transactions at a brisk rate."""
    platform.send("PRODUCER", "PUT", "/rate", {"records_per_s": LOAD_PER_S})
    before = platform.rows("live")
    eventually(lambda: platform.rows("live") > before + LOAD_PER_S, ROWS_LIMIT_S, "rows under load")
    yield platform
    platform.send("PRODUCER", "PUT", "/rate", {"records_per_s": 50})


@pytest.mark.parametrize("service", EIGHT)
def test_a_killed_container_comes_back_and_the_ledger_balances(under_load: Project, service: str) -> None:
    started_at = under_load.kill(service)
    eventually(lambda: under_load.container(service)["State"]["StartedAt"] != started_at, 120, f"{service} restarted")
    under_load.wait_healthy(timeout_s=RESTART_LIMIT_S)
    before = under_load.rows("live")
    eventually(lambda: under_load.rows("live") > before, ROWS_LIMIT_S, "rows after the restart")
    found = under_load.verify()
    assert found["ok"], found
    assert found["duplicates"] == 0 or service == "producer-streaming-api", "nothing was stored or counted twice"


def test_a_graceful_stop_ends_inside_the_grace_period(platform: Project) -> None:
    platform.compose("stop", timeout_s=120)
    codes = {name: platform.container(name)["State"]["ExitCode"] for name in EIGHT}
    # 143: the JVM and Dagster end by the signal itself, which is their clean stop. 137 would be SIGKILL.
    assert {name for name, code in codes.items() if code not in (0, 143)} == set()
    platform.compose("start")
    platform.wait_healthy()


def test_down_and_up_again_loses_nothing(platform: Project) -> None:
    platform.send("PRODUCER", "POST", "/stop")
    found = platform.verify()
    assert found["ok"], found
    platform.compose("down", "--timeout", "60")
    platform.compose("up", "--detach")
    platform.wait_healthy()
    assert platform.rows() >= found["rows"]
    again = platform.verify()
    assert again["ok"], again
    assert again["kafka_records"] >= found["kafka_records"]


def test_any_start_order_ends_healthy(platform: Project) -> None:
    platform.compose("stop", timeout_s=120)
    identities = {service: platform.container(service)["Id"] for service in EIGHT}
    # Clients first, servers last: the reverse of what depends_on would do; as after a reboot of the machine.
    for service in ("dagster-daemon", "dagster-webserver", "batch-processor", "consumer-streaming-api"):
        docker("start", identities[service])
    for service in ("producer-streaming-api", "pgadmin", "postgres", "kafka"):
        docker("start", identities[service])
    platform.wait_healthy()
    assert platform.verify()["ok"]


def test_losing_kafkas_volume_alone_is_survived(platform: Project) -> None:
    before = platform.psql("select distinct topic_id from ingest_ledger").splitlines()
    rows = platform.rows()
    platform.compose("rm", "--stop", "--force", "kafka", timeout_s=120)
    docker("volume", "rm", f"{platform.name}_kafka-data")
    platform.compose("up", "--detach")
    platform.wait_healthy()
    eventually(lambda: platform.rows() > rows, 120, "rows from the new topic")
    after = platform.psql("select distinct topic_id from ingest_ledger").splitlines()
    assert len(after) == len(before) + 1
    assert platform.verify()["ok"]
