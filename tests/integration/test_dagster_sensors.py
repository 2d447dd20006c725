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

from rtp_dagster.definitions import defs
from rtp_workers.postgres.roles import READ, with_credentials
from tests.conftest import Stack
from tests.csv_files import canonical_text, write_settled
from tests.dagster_runs import one_tick, settings_of, tick
from tests.foreign_topics import new_topic, send, simple_section, with_topics, write_sections
from tests.programs import run_rtp
from tests.records import body, produce
from tests.topic_records import body as document_body
from tests.waiting import wait_until

SENSORS = ("csv_arrival_sensor", "row_count_sensor", "consumer_lag_sensor", "dead_letter_sensor")
CHECKS = ("ledger_balances", "matches_kafka", "ids_are_unique", "is_fresh", "dead_letter_ratio", "lag_is_low")
TICK_S = 45.0  # a tick gives up after 5 s, and Dagster gives it up after 60 s


def consume(stack: Stack) -> None:
    done = run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    assert done.returncode == 0, done.stderr


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


def test_each_mapped_topic_is_observed_when_its_figures_change(stack: Stack) -> None:
    topic = new_topic(stack, "payments")
    write_sections(stack, simple_section(topic))
    with settings_of(stack):
        assert "no topic is mapped" in str(tick("mapped_topics_sensor").skip_message)
    send(stack, topic, [document_body(id="p1"), document_body(id="p2"), b"not json"])
    with settings_of(stack, RTP_TOPICS=f"{stack.topic}.*"):
        waiting = tick("mapped_topics_sensor")
        done = run_rtp("consume", "--no-api", "--until-idle", "4s", env=with_topics(stack), timeout_s=300)
        assert done.returncode == 0, done.stderr
        stored = tick("mapped_topics_sensor", waiting.cursor)
        quiet = tick("mapped_topics_sensor", stored.cursor)
        parents = defs().resolve_asset_graph().get(dg.AssetKey("transactions")).parent_keys
    key = dg.AssetKey(["topics", topic])
    assert key in parents
    assert [event.asset_key for event in (*waiting.asset_events, *stored.asset_events)] == [key, key]
    assert figure(waiting, "lag_records") == 3
    assert [figure(stored, name) for name in ("lag_records", "rows", "dead_letters")] == [0, 2, 1]
    assert not quiet.asset_events


def test_lag_in_seconds_is_for_how_long_the_oldest_record_has_waited(stack: Stack) -> None:
    produce(stack, [body("T1")])
    consume(stack)
    started = time.monotonic()
    produce(stack, [body("T2")])
    stored = time.monotonic()
    with settings_of(stack, RTP_ALERT_LAG_S="2.5"):
        assert figure(tick("consumer_lag_sensor"), "lag_s") < time.monotonic() - started
        wait_until(lambda: time.monotonic() - stored > 2.6, what="a record that is older than the limit")
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


def assert_skips(stack: Stack, name: str, word: str, **settings: str) -> None:
    started = time.monotonic()
    with settings_of(stack, **settings):
        found = one_tick(name, json.dumps({"rows": 1, "at_s": 0.0}))
    assert time.monotonic() - started < TICK_S
    assert word in str(found.skip_message)
    assert not found.run_requests
    assert not found.asset_events


@pytest.mark.parametrize("name", ["csv_arrival_sensor", "consumer_lag_sensor"])
def test_with_kafka_silent_or_gone_a_tick_skips_within_seconds(stack: Stack, silent_server: int, name: str) -> None:
    write_settled(stack.home / "data" / "a.csv", canonical_text(range(3)))
    assert_skips(stack, name, "Kafka", RTP_KAFKA_BOOTSTRAP=f"127.0.0.1:{silent_server}")


def test_with_kafka_silent_the_row_count_is_recorded_and_the_checks_are_evaluated_later(
    stack: Stack, silent_server: int
) -> None:
    def recorded() -> SensorExecutionData | None:
        found = one_tick("row_count_sensor")
        return found if found.asset_events else None  # PostgreSQL, too, may be slow on a crowded machine

    with settings_of(stack, RTP_KAFKA_BOOTSTRAP=f"127.0.0.1:{silent_server}"):
        found = wait_until(recorded, TICK_S, "the row count")
        assert found is not None
        still = one_tick("row_count_sensor", found.cursor)
    with settings_of(stack):
        later = tick("row_count_sensor", still.cursor)
        quiet = tick("row_count_sensor", later.cursor)
    (event,) = found.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert "checks not evaluated" in str(found.skip_message)
    assert not still.asset_events
    assert {event.check_name for event in later.asset_events if isinstance(event, dg.AssetCheckEvaluation)} == {*CHECKS}
    assert not any(isinstance(event, dg.AssetMaterialization) for event in later.asset_events), "the rows are the same"
    assert not quiet.asset_events


@pytest.mark.parametrize("name", SENSORS)
def test_with_the_database_refusing_a_tick_skips_with_the_reason(stack: Stack, name: str) -> None:
    write_settled(stack.home / "data" / "a.csv", canonical_text(range(3)))
    dsn = with_credentials(stack.endpoints.need("postgres_read_dsn"), READ, SecretStr("wrong"))
    assert_skips(stack, name, "password authentication failed", RTP_POSTGRES_READ_DSN=dsn)


def test_with_the_database_silent_a_tick_skips_within_seconds(stack: Stack, silent_server: int) -> None:
    dsn = f"postgresql://rtp_read:x@127.0.0.1:{silent_server}/rtp"
    assert_skips(stack, "row_count_sensor", "PostgreSQL", RTP_POSTGRES_READ_DSN=dsn)
    assert_skips(stack, "consumer_lag_sensor", "no answer", RTP_POSTGRES_READ_DSN=dsn)


@pytest.mark.parametrize("name", SENSORS)
def test_without_a_platform_a_tick_skips_and_says_how_to_start_one(home: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_settled(tmp_path / "data" / "a.csv", canonical_text(range(3)))
    env = {"RTP_HOME": str(home), "RTP_DATA_DIR": str(tmp_path / "data")}
    with pytest.MonkeyPatch.context() as patch:
        for known in [key for key in os.environ if key.startswith("RTP_")]:
            patch.delenv(known)
        for key, value in env.items():
            patch.setenv(key, value)
        found = one_tick(name)
    assert "rtp up" in str(found.skip_message)
