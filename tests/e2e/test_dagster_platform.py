"""Dagster on the embedded platform: its real command line, webserver and daemon. All tests here share one platform."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from rtp_dagster.backfill.arrivals import SETTLED_AFTER_S
from rtp_workers.endpoints import read_file
from rtp_workers.local import ports
from tests.conftest import Stack
from tests.csv_files import canonical_text
from tests.dagster_runs import backfill_config
from tests.dagster_ui import DagsterUi
from tests.programs import RunningProgram, clean_env, run_rtp, start_program
from tests.reading import query
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[2]
BIG_ROWS = 1_000_000
HALF_ROWS = 500_000
ARRIVALS = "csv_arrival_sensor"
SENSORS = (
    ARRIVALS,
    "row_count_sensor",
    "consumer_lag_sensor",
    "dead_letter_sensor",
    "mapped_topics_sensor",
    "alert_sensor",
    "insights_sensor",
    "insights_automation",
)
CHECKS = {"ledger_balances", "matches_kafka", "ids_are_unique", "is_fresh", "dead_letter_ratio", "lag_is_low"}


@dataclass(frozen=True)
class Platform:
    """A running ``rtp up``."""

    up: RunningProgram
    stack: Stack
    ui: DagsterUi

    @property
    def data(self) -> Path:
        """The folder of CSV files."""
        return self.stack.home / "data"

    def rows_of(self, file: str) -> int:
        """Returns how many rows came from a file."""
        return int(
            query(self.stack, "select count(*) as rows from transactions where source = %s", f"csv:{file}")[0]["rows"]
        )

    def acknowledged(self, file: str) -> int:
        """Returns how many rows of a file Kafka has taken."""
        found = query(self.stack, "select acknowledged from csv_loads where file_name = %s", file)
        return int(found[0]["acknowledged"]) if found else 0

    def rows(self) -> int:
        """Returns how many rows there are."""
        return int(query(self.stack, "select count(*) as rows from transactions")[0]["rows"])


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    home = Path(tempfile.mkdtemp(prefix="rtp-test-"))
    home.chmod(0o755)  # PostgreSQL's own user must reach its folder
    (home / "data").mkdir()
    names = ("KAFKA", "POSTGRES", "PRODUCER", "CONSUMER", "DAGSTER")
    numbers = {name: ports.free_port() for name in names}
    env = clean_env(
        RTP_HOME=str(home),
        RTP_DATA_DIR=str(home / "data"),
        RTP_PRODUCER_RATE_PER_S="50",
        **{f"RTP_{name}_PORT": str(number) for name, number in numbers.items()},
    )
    up = start_program("up", env=env, log=home / "up.log")
    try:
        url = f"http://127.0.0.1:{numbers['DAGSTER']}"
        wait_until(lambda: "Ctrl-C stops everything" in up.output() or not up.running(), 300, "rtp up")
        assert up.running(), up.output()
        stack = Stack(read_file(home), "transactions", home, env, numbers["PRODUCER"], numbers["CONSUMER"])
        yield Platform(up, stack, DagsterUi(url))
        up.signal(signal.SIGTERM)
        assert up.wait(120) == 0
    finally:
        up.kill()
        shutil.rmtree(home)


def exported(platform: Platform) -> dict[str, str]:
    """Returns the environment after ``eval "$(rtp env)"``."""
    done = run_rtp("env", env=platform.stack.env)
    assert done.returncode == 0, done.stderr
    lines = [shlex.split(line)[1] for line in done.stdout.splitlines()]
    return {**platform.stack.env, **dict(line.split("=", 1) for line in lines)}


def settle(path: Path) -> None:
    at_s = time.time() - SETTLED_AFTER_S - 1
    os.utime(path, (at_s, at_s))


def test_every_sensor_runs_from_the_start(platform: Platform) -> None:
    sensors = wait_until(platform.ui.sensors, what="the sensors")
    assert {name: sensor["status"] for name, sensor in sensors.items()} == dict.fromkeys(SENSORS, "RUNNING")
    wait_until(lambda: platform.ui.sensors()[ARRIVALS]["ticks"], 180, "a tick of the arrival sensor")
    # It would load the files of the next tests too, at the same time.
    platform.ui.stop_sensor(ARRIVALS)


def test_a_backfill_launched_from_the_command_line_succeeds_and_the_table_is_the_files(platform: Platform) -> None:
    platform.ui.stop_sensor("csv_arrival_sensor")  # or it may be quicker than the command line
    (platform.data / "a.csv").write_text(canonical_text(range(2000)))
    (platform.data / "b.csv").write_text(canonical_text(range(2000, 2500)))
    command = [
        str(Path(sys.executable).parent / "dagster"),
        "job",
        "launch",
        "-j",
        "batch_backfill",
        "-w",
        "workspace.yaml",
    ]
    command += ["--config-json", json.dumps(backfill_config("a.csv", "b.csv"))]
    done = subprocess.run(
        command, cwd=ROOT, env=exported(platform), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (launched,) = platform.ui.runs("batch_backfill")
    platform.ui.must_succeed(launched["runId"])
    assert (platform.rows_of("a.csv"), platform.rows_of("b.csv")) == (2000, 500)
    steps = {step["stepKey"]: step["status"] for step in platform.ui.run(launched["runId"])["stepStats"]}
    assert set(steps.values()) == {"SUCCESS"}
    assert len(steps) == 3 + len(CHECKS)
    platform.ui.start_sensor("csv_arrival_sensor")


def test_the_graph_shows_the_data_flow_with_external_assets(platform: Platform) -> None:
    graph = platform.ui.graph()
    assert {name for name, node in graph.items() if node["isMaterializable"]} == {
        "transactions_topic",
        "csv_backfill",
        "daily_activity",
        "customer_activity",
    }
    parents = {key["path"][0] for key in graph["transactions"]["dependencyKeys"]}
    assert parents == {"csv_backfill", "live_transactions"}


def test_every_sensor_ticks_and_every_check_is_evaluated_and_passes(platform: Platform) -> None:
    def all_ticked() -> bool:
        return all(sensor["ticks"] for sensor in platform.ui.sensors().values())

    wait_until(all_ticked, 300, "a tick of each sensor")
    for name, sensor in platform.ui.sensors().items():
        errors = [tick["error"]["message"] for tick in sensor["ticks"] if tick["status"] == "FAILURE"]
        # Dagster itself gives a tick up after 60 s, which happens where many processes share two cores.
        assert [text for text in errors if "timed out" not in text] == [], name
    # The arrival sensor may have launched a run of its own, whose checks are still to come.
    succeeded = dict.fromkeys(CHECKS, "SUCCEEDED")
    wait_until(lambda: {name: platform.ui.check(name) for name in CHECKS} == succeeded, 300, "each check's success")


def test_the_row_count_is_plotted_while_the_stream_runs(platform: Platform) -> None:
    wait_until(
        lambda: len(platform.ui.plotted("transactions", "dagster/row_count")) >= 2, 300, "two points of the plot"
    )
    values = platform.ui.plotted("transactions", "dagster/row_count")
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    # All but the first point have a rate. A tick may come between the two questions.
    rates = len(platform.ui.plotted("transactions", "rows_per_s"))
    assert rates in (len(values) - 1, len(values))


def test_a_file_that_arrives_is_loaded_by_itself(platform: Platform) -> None:
    platform.ui.start_sensor(ARRIVALS)
    path = platform.data / ".arriving.csv"
    path.write_text(canonical_text(range(5000, 5300)))
    settle(path)
    path.rename(platform.data / "arrived.csv")
    wait_until(lambda: platform.rows_of("arrived.csv") == 300, 240, "the rows of the file that arrived")

    def arrival() -> str | None:
        wanted = {"key": "rtp/file", "value": "arrived.csv"}
        return next((run["runId"] for run in platform.ui.runs("batch_backfill") if wanted in run["tags"]), None)

    platform.ui.must_succeed(wait_until(arrival, what="the run of the file that arrived") or "")
    platform.ui.stop_sensor(ARRIVALS)


def test_a_cancelled_run_stops_the_load_and_the_next_one_goes_on_from_there(platform: Platform) -> None:
    (platform.data / "big.csv").write_text(canonical_text(range(10_000, 10_000 + BIG_ROWS)))
    settle(platform.data / "big.csv")
    config = backfill_config("big.csv", ledger_timeout_s=600)

    cancelled = platform.ui.launch("batch_backfill", config)
    wait_until(lambda: platform.acknowledged("big.csv") >= 0.35 * BIG_ROWS, 300, "40% of the file")
    platform.ui.terminate(cancelled)
    assert platform.ui.wait_for(cancelled) == "CANCELED"
    stopped_at = platform.acknowledged("big.csv")
    assert 0.35 * BIG_ROWS <= stopped_at < BIG_ROWS

    again = platform.ui.launch("batch_backfill", config)
    platform.ui.must_succeed(again, 600)
    assert platform.rows_of("big.csv") == BIG_ROWS
    assert platform.acknowledged("big.csv") == BIG_ROWS
    assert platform.ui.plotted("csv_backfill", "rows_settled_before", 1) == [stopped_at]
    ledger = query(platform.stack, "select sum(duplicates) as duplicates from ingest_ledger")[0]
    assert ledger["duplicates"] < 0.2 * BIG_ROWS


def dagster_processes(platform: Platform) -> list[psutil.Process]:
    """Returns code server, webserver and daemon of this platform."""
    children = psutil.Process(platform.up.pid).children()
    alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if any("dagster" in part for part in child.cmdline())]


def test_dagster_killed_in_a_backfill_the_stream_goes_on_sensors_catch_up_the_file_is_loaded(
    platform: Platform,
) -> None:
    (platform.data / "half.csv").write_text(canonical_text(range(2 * BIG_ROWS, 2 * BIG_ROWS + HALF_ROWS)))
    interrupted = platform.ui.launch("batch_backfill", backfill_config("half.csv", ledger_timeout_s=600))
    wait_until(lambda: platform.acknowledged("half.csv") > 0, 300, "the start of the load")
    before_s = time.time()
    killed = dagster_processes(platform)
    assert len(killed) == 3
    for process in killed:
        process.kill()
    acknowledged = platform.acknowledged("half.csv")
    assert acknowledged < HALF_ROWS
    rows = platform.rows()
    wait_until(lambda: platform.rows() > rows + 50, 180, "rows written while Dagster is dead")

    def catches_up() -> bool:
        try:
            sensors = platform.ui.sensors()
        except OSError:
            return False
        watched = (sensors[name] for name in ("row_count_sensor", "consumer_lag_sensor", "dead_letter_sensor"))
        return all(sensor["ticks"][0]["timestamp"] > before_s for sensor in watched)

    wait_until(catches_up, 240, "a tick of each sensor after the kill")
    # A tick is listed from its start on, its figure only from its end.
    wait_until(lambda: (platform.ui.plotted("transactions", "dagster/row_count", 1) or [0])[0] > rows, 120, "the plot")

    def retry() -> str | None:
        parent = {"key": "dagster/parent_run_id", "value": interrupted}
        return next((run["runId"] for run in platform.ui.runs("batch_backfill") if parent in run["tags"]), None)

    assert platform.ui.wait_for(interrupted) == "FAILURE"
    platform.ui.must_succeed(wait_until(retry, 240, "a retry of the backfill") or "", 600)
    assert platform.rows_of("half.csv") == HALF_ROWS
    assert platform.ui.plotted("csv_backfill", "rows_settled_before", 1)[0] >= acknowledged
    done = run_rtp("verify", "--json", "--timeout", "300s", env=platform.stack.env, timeout_s=400)
    assert done.returncode == 0, done.stdout + done.stderr


def test_old_runs_and_old_events_of_sensors_are_deleted_and_newer_ones_kept(platform: Platform) -> None:
    def ask(sql: str, *values: object) -> list[dict[str, object]]:
        return query(platform.stack, sql, *values, dsn="dagster_postgres_dsn")

    events = ask("select id from event_logs where run_id = '' order by id")
    oldest, newest = events[0]["id"], events[-1]["id"]
    ask("update event_logs set timestamp = timestamp - interval '8 days' where id = %s", oldest)
    old_run = platform.ui.runs("batch_backfill")[-1]["runId"]
    ask("update runs set create_timestamp = create_timestamp - interval '31 days' where run_id = %s", old_run)
    platform.ui.must_succeed(platform.ui.launch("trim_history"))
    assert [row["id"] for row in ask("select id from event_logs where id in (%s, %s)", oldest, newest)] == [newest]
    assert old_run not in {run["runId"] for run in platform.ui.runs("batch_backfill")}
    assert platform.ui.runs("trim_history")


def test_dg_lists_the_definitions_from_the_top_of_the_repository() -> None:
    env = {**clean_env(), "DG_CLI_DISABLE_TELEMETRY": "1", "NO_COLOR": "1"}
    for arguments in (["check", "defs"], ["list", "defs", "--json"]):
        command = [str(Path(sys.executable).parent / "dg"), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
    assert "csv_backfill" in done.stdout
