"""Each container killed under load, Kafka's log lost, everything started in any order: the ledger still balances."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compose.docker import EIGHT, Project, docker, eventually

LOAD_PER_S = 2_000
RESTART_LIMIT_S = 240
ROWS_LIMIT_S = 240
KILLED_ROWS = 400_000
DATA_PATH = ("kafka", "postgres", "producer-streaming-api", "consumer-streaming-api", "batch-processor")
ONLOOKERS = tuple(service for service in EIGHT if service not in DATA_PATH)
SAMPLE_FILES = 2


@pytest.fixture(scope="module")
def under_load(platform: Project) -> Project:
    """The platform with live transactions at a brisk rate."""
    # A restored backup may be older than the loads: the files are then loaded once more, which counts duplicates.
    loaded = "select count(*) from csv_loads where state = 'loaded'"
    eventually(lambda: int(platform.psql(loaded)) >= SAMPLE_FILES, 300, "the files of data/ loaded")
    platform.send("PRODUCER", "PUT", "/rate", {"records_per_s": LOAD_PER_S})
    before = platform.rows("live")
    eventually(lambda: platform.rows("live") > before + LOAD_PER_S, ROWS_LIMIT_S, "rows under load")
    return platform


@pytest.mark.parametrize("service", [*DATA_PATH, *ONLOOKERS])
def test_a_killed_container_comes_back_and_the_ledger_balances(under_load: Project, service: str) -> None:
    duplicates = under_load.verify()["duplicates"]
    started_at = under_load.kill(service)
    eventually(lambda: under_load.container(service)["State"]["StartedAt"] != started_at, 120, f"{service} restarted")
    under_load.wait_healthy(DATA_PATH, timeout_s=RESTART_LIMIT_S)
    before = under_load.rows("live")
    eventually(lambda: under_load.rows("live") > before, ROWS_LIMIT_S, "rows after the restart")
    found = under_load.verify()
    assert found["ok"], found
    assert found["duplicates"] == duplicates, "nothing was produced or counted twice"


def test_the_onlookers_are_healthy_again_after_their_kills(under_load: Project) -> None:
    under_load.wait_healthy(timeout_s=RESTART_LIMIT_S)


def test_a_backfill_killed_with_its_container_goes_on_where_it_stood(platform: Project, data_dir: Path) -> None:
    _write_csv(data_dir / "killed.csv", KILLED_ROWS)
    acknowledged = "select coalesce(max(acknowledged), 0) from csv_loads where file_name = 'killed.csv'"
    eventually(lambda: int(platform.psql(acknowledged)) > 0, ROWS_LIMIT_S, "the backfill on its way")
    platform.kill("batch-processor")
    assert int(platform.psql(acknowledged)) < KILLED_ROWS, "it was killed too late to show anything"
    eventually(lambda: platform.rows("csv:killed.csv") == KILLED_ROWS, 2 * ROWS_LIMIT_S, "every row of the file")
    eventually(lambda: _runs(platform, "STARTED") == 0, ROWS_LIMIT_S, "no run left open")
    found = platform.verify()
    assert found["ok"], found


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


def test_a_stop_ends_inside_the_grace_period_and_any_start_order_ends_healthy(platform: Project) -> None:
    platform.compose("stop", timeout_s=120)
    codes = {name: platform.container(name)["State"]["ExitCode"] for name in EIGHT}
    # 143: the JVM and Dagster end by the signal itself, which is their clean stop. 137 would be SIGKILL.
    assert {name for name, code in codes.items() if code not in (0, 143)} == set()
    # Clients first, servers last: the reverse of what depends_on would do; as after a reboot of the machine.
    for service in reversed(EIGHT):
        docker("start", platform.container(service)["Id"])
    platform.wait_healthy()
    assert platform.verify()["ok"]


def test_losing_kafkas_volume_alone_is_survived(platform: Project) -> None:
    before = _topics(platform)
    platform.compose("rm", "--stop", "--force", "kafka", timeout_s=120)
    docker("volume", "rm", f"{platform.name}_kafka-data")
    platform.compose("up", "--detach")
    platform.wait_healthy()
    eventually(lambda: len(_topics(platform)) == len(before) + 1, 120, "rows from the new topic")
    assert before < _topics(platform)
    assert platform.verify()["ok"]


def _topics(project: Project) -> set[str]:
    return set(project.psql("select distinct topic_id from ingest_ledger").splitlines())


def _write_csv(path: Path, rows: int) -> None:
    """Writes a canonical CSV, and shows it under its name when it is whole."""
    draft = path.with_suffix(".draft")
    with draft.open("w") as file:
        file.write("transaction_id,occurred_at,amount,customer_id\n")
        file.writelines(
            f"killed-{number},2026-01-01T00:00:00Z,{number % 900}.25,C{number % 5000}\n" for number in range(rows)
        )
    draft.rename(path)


def _runs(project: Project, status: str) -> int:
    query = f"{{ runsOrError(filter: {{statuses: [{status}]}}) {{ ... on Runs {{ results {{ runId }} }} }} }}"
    answer = project.send("DAGSTER", "POST", "/graphql", {"query": query})
    return len(answer["data"]["runsOrError"]["results"])
