"""The sensors on a real Kafka and PostgreSQL, one tick at a time."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from pydantic import SecretStr

from rtp_dagster.backfill.arrivals import SETTLED_AFTER_S
from rtp_workers.postgres.roles import READ, with_credentials
from tests.conftest import Stack
from tests.csv_files import canonical_text
from tests.dagster_runs import settings_of, tick
from tests.programs import run_rtp
from tests.records import body, produce

SENSORS = ("csv_arrival_sensor", "row_count_sensor", "consumer_lag_sensor", "dead_letter_sensor")
CHECKS = ("ledger_balances", "matches_kafka", "ids_are_unique", "is_fresh", "dead_letter_ratio", "lag_is_low")
TICK_S = 20.0  # a tick gives up after 5 s; the rest is for a crowded machine


def consume(stack: Stack) -> None:
    done = run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    assert done.returncode == 0, done.stderr


def settled(path: Path, text: str) -> Path:
    path.write_text(text)
    at_s = time.time() - SETTLED_AFTER_S - 1
    os.utime(path, (at_s, at_s))
    return path


def figure(found: SensorExecutionData, name: str) -> float:
    """Returns a figure of the tick's first event."""
    value = found.asset_events[0].metadata[name].value
    assert isinstance(value, int | float)
    return value


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_row_count_is_recorded_when_it_has_changed(stack: Stack) -> None:
    produce(stack, [body(f"T{number}") for number in range(30)])
    consume(stack)
    with settings_of(stack):
        first = tick("row_count_sensor")
        again = tick("row_count_sensor", first.cursor)
        produce(stack, [body(f"U{number}") for number in range(12)])
        consume(stack)
        grown = tick("row_count_sensor", again.cursor)
    event, *checks = first.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert event.metadata["dagster/row_count"].value == 30
    found = {check.check_name: check.passed for check in checks if isinstance(check, dg.AssetCheckEvaluation)}
    assert found == dict.fromkeys(CHECKS, True)
    assert not again.asset_events
    assert "no new rows" in str(again.skip_message)
    metadata = grown.asset_events[0].metadata
    assert (metadata["dagster/row_count"].value, metadata["rows_since_last_tick"].value) == (42, 12)
    assert figure(grown, "rows_per_s") > 0


def test_lag_is_observed_by_partition_alerts_above_the_limit_and_recovers(stack: Stack) -> None:
    produce(stack, [body(f"T{number}") for number in range(25)], kafka_partition=1)
    produce(stack, [body(f"U{number}") for number in range(5)], kafka_partition=2)
    with settings_of(stack, RTP_ALERT_LAG_RECORDS="20"):
        behind = tick("consumer_lag_sensor")
        still = tick("consumer_lag_sensor", behind.cursor)
        consume(stack)
        caught_up = tick("consumer_lag_sensor", still.cursor)
        quiet = tick("consumer_lag_sensor", caught_up.cursor)
    observation, alert = behind.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert observation.metadata["lag_records"].value == 30
    assert observation.metadata["lag_records_partition_1"].value == 25
    assert observation.metadata["lag_records_partition_2"].value == 5
    assert isinstance(alert, dg.AssetCheckEvaluation)
    assert (alert.check_name, alert.passed) == ("lag_is_low", False)
    assert [type(event) for event in still.asset_events] == [dg.AssetObservation, dg.AssetCheckEvaluation]
    observation, recovery = caught_up.asset_events
    assert observation.metadata["lag_records"].value == 0
    assert isinstance(recovery, dg.AssetCheckEvaluation)
    assert recovery.passed
    assert not quiet.asset_events


def test_lag_in_seconds_is_for_how_long_the_oldest_record_has_waited(stack: Stack) -> None:
    produce(stack, [body("T1")])
    consume(stack)
    produce(stack, [body("T2")])
    started = time.monotonic()
    with settings_of(stack, RTP_ALERT_LAG_S="2.5"):
        assert figure(tick("consumer_lag_sensor"), "lag_s") < 2.5
        while time.monotonic() - started < 2.6:
            time.sleep(0.05)
        late = tick("consumer_lag_sensor")
    assert figure(late, "lag_s") >= 2.5
    alert = late.asset_events[1]
    assert isinstance(alert, dg.AssetCheckEvaluation)
    assert not alert.passed


def test_dead_letters_are_observed_and_too_many_fail_the_check(stack: Stack) -> None:
    produce(stack, [body(f"T{number}") for number in range(30)])
    consume(stack)
    with settings_of(stack):
        first = tick("dead_letter_sensor")
        produce(stack, [b"no json"] * 10)
        consume(stack)
        flooded = tick("dead_letter_sensor", first.cursor)
        still = tick("dead_letter_sensor", flooded.cursor)
    (good,) = first.asset_events
    assert isinstance(good, dg.AssetCheckEvaluation)
    assert good.passed
    observation, alert = flooded.asset_events
    assert observation.metadata["dead_letters_since_last_tick"].value == 10
    assert isinstance(alert, dg.AssetCheckEvaluation)
    assert (alert.check_name, alert.passed) == ("dead_letter_ratio", False)
    assert [type(event) for event in still.asset_events] == [dg.AssetCheckEvaluation]


def test_a_settled_file_is_asked_for_once_under_whatever_name_and_a_half_written_one_waits(stack: Stack) -> None:
    data = stack.home / "data"
    path = settled(data / "a.csv", canonical_text(range(3)))
    (data / "half.csv").write_text(canonical_text(range(2)))
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        path = path.rename(data / "renamed.csv")
        renamed = tick("csv_arrival_sensor", first.cursor)
        settled(path, canonical_text(range(9)))
        grown = tick("csv_arrival_sensor", renamed.cursor)
    (request,) = first.run_requests or []
    assert request.run_config == {"ops": {"csv_backfill": {"config": {"files": ["a.csv"]}}}}
    keys = [run.run_key for run in renamed.run_requests or [] if run.tags["rtp/file"] == "renamed.csv"]
    assert keys == [request.run_key]
    keys = [run.run_key for run in grown.run_requests or [] if run.tags["rtp/file"] == "renamed.csv"]
    assert len(keys) == 1
    assert keys != [request.run_key]


def test_many_files_start_few_runs_a_tick_and_all_in_the_end(stack: Stack) -> None:
    for number in range(7):
        settled(stack.home / "data" / f"{number}.csv", canonical_text(range(number, number + 2)))
    with settings_of(stack, RTP_ARRIVAL_RUNS_PER_TICK="3"):
        cursor, asked = None, []
        for wanted in (3, 3, 1, 0):
            found = tick("csv_arrival_sensor", cursor)
            assert len(found.run_requests or []) == wanted
            asked += [request.run_key for request in found.run_requests or []]
            cursor = found.cursor
    assert len(set(asked)) == 7


def assert_skips(stack: Stack, name: str, word: str, **settings: str) -> None:
    started = time.monotonic()
    with settings_of(stack, **settings):
        found = tick(name, json.dumps({"rows": 1, "at_s": 0.0}))
    assert time.monotonic() - started < TICK_S
    assert word in str(found.skip_message)
    assert not found.run_requests
    assert not found.asset_events


@pytest.mark.parametrize("name", ["csv_arrival_sensor", "consumer_lag_sensor"])
def test_with_kafka_silent_or_gone_a_tick_skips_within_seconds(stack: Stack, silent_server: int, name: str) -> None:
    settled(stack.home / "data" / "a.csv", canonical_text(range(3)))
    assert_skips(stack, name, "Kafka", RTP_KAFKA_BOOTSTRAP=f"127.0.0.1:{silent_server}")


def test_with_kafka_silent_the_row_count_is_recorded_all_the_same(stack: Stack, silent_server: int) -> None:
    with settings_of(stack, RTP_KAFKA_BOOTSTRAP=f"127.0.0.1:{silent_server}"):
        found = tick("row_count_sensor")
    (event,) = found.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert "checks not evaluated" in str(found.skip_message)


@pytest.mark.parametrize("name", SENSORS)
def test_with_the_database_refusing_a_tick_skips_with_the_reason(stack: Stack, name: str) -> None:
    settled(stack.home / "data" / "a.csv", canonical_text(range(3)))
    dsn = with_credentials(stack.endpoints.need("postgres_read_dsn"), READ, SecretStr("wrong"))
    assert_skips(stack, name, "password authentication failed", RTP_POSTGRES_READ_DSN=dsn)


def test_with_the_database_silent_a_tick_skips_within_seconds(stack: Stack, silent_server: int) -> None:
    dsn = f"postgresql://rtp_read:x@127.0.0.1:{silent_server}/rtp"
    assert_skips(stack, "row_count_sensor", "PostgreSQL", RTP_POSTGRES_READ_DSN=dsn)
    assert_skips(stack, "consumer_lag_sensor", "no answer", RTP_POSTGRES_READ_DSN=dsn)


@pytest.mark.parametrize("name", SENSORS)
def test_without_a_platform_a_tick_skips_and_says_how_to_start_one(home: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    settled(tmp_path / "data" / "a.csv", canonical_text(range(3)))
    env = {"RTP_HOME": str(home), "RTP_DATA_DIR": str(tmp_path / "data")}
    with pytest.MonkeyPatch.context() as patch:
        for known in [key for key in os.environ if key.startswith("RTP_")]:
            patch.delenv(known)
        for key, value in env.items():
            patch.setenv(key, value)
        found = tick(name)
    assert "rtp up" in str(found.skip_message)
