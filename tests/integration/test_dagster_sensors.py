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
from dagster import AssetCheckSeverity
from dagster._core.definitions.sensor_definition import SensorExecutionData
from pydantic import SecretStr

from rtp_dagster.backfill.arrivals import SETTLED_AFTER_S
from rtp_dagster.definitions import defs
from rtp_workers.batch.attempts import mapping_stamp
from rtp_workers.postgres.csv_files import Attempt, note
from rtp_workers.postgres.purge import Criteria, purge
from rtp_workers.postgres.roles import READ, with_credentials
from rtp_workers.settings import DagsterSettings, load
from tests.conftest import Stack, StartRtp
from tests.csv_files import canonical_text
from tests.dagster_runs import backfill_config, run_job, settings_of, tick
from tests.foreign_topics import new_topic, send, simple_section, with_topics, write_sections
from tests.programs import run_rtp
from tests.reading import connected
from tests.records import body, produce
from tests.topic_records import body as document_body

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


def names(found: SensorExecutionData) -> list[str]:
    """Returns the files that the tick asks runs for."""
    return [request.tags["rtp/file"] for request in found.run_requests or []]


def check_of(found: SensorExecutionData) -> dg.AssetCheckEvaluation:
    """Returns the tick's evaluation of files_are_loaded."""
    (event,) = [event for event in found.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert event.check_name == "files_are_loaded"
    return event


def test_a_settled_file_is_asked_for_and_again_when_it_has_changed_and_a_half_written_one_waits(stack: Stack) -> None:
    data = stack.home / "data"
    path = settled(data / "a.csv", canonical_text(range(3)))
    half = data / "half.csv"
    half.write_text(canonical_text(range(2)))
    at_s = time.time() + 60  # it counts as just written at the first tick, however late that comes
    os.utime(half, (at_s, at_s))
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        again = tick("csv_arrival_sensor", first.cursor)
        settled(path, canonical_text(range(9)))
        grown = tick("csv_arrival_sensor", again.cursor)
    (request,) = first.run_requests or []
    assert request.run_config == {"ops": {"csv_backfill": {"config": {"files": ["a.csv"]}}}}
    assert "a run was requested once" in str(again.skip_message) or names(again) == ["half.csv"]
    assert "a.csv" in names(grown)
    assert {run.run_key for run in grown.run_requests or []}.isdisjoint({request.run_key})


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


def test_a_file_that_is_not_understood_is_named_and_loaded_once_the_mapping_answers(stack: Stack) -> None:
    rows = "".join(f"0{day}/02/2026,Shop {day},-{day}.10\n" for day in range(1, 7))
    settled(stack.home / "data" / "ambiguous.csv", f"Date,Description,Amount\n{rows}")
    settled(stack.home / "data" / "good.csv", canonical_text(range(3)))
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        run_job("batch_backfill", backfill_config("ambiguous.csv", "good.csv", ledger_timeout_s=0.1))
        stands = tick("csv_arrival_sensor", first.cursor)
        still = tick("csv_arrival_sensor", stands.cursor)
        shown = run_rtp("status", "--json", env=stack.env)
        mapping = '[ambiguous]\nfiles = ["ambiguous.csv"]\nday_first = true\n'
        (stack.home / "data" / "sources.toml").write_text(mapping)
        asked = tick("csv_arrival_sensor", still.cursor)
        run_job("batch_backfill", backfill_config("ambiguous.csv", ledger_timeout_s=0.1))
        done = tick("csv_arrival_sensor", asked.cursor)
    assert names(first) == ["ambiguous.csv", "good.csv"]
    assert names(stands) == names(still) == names(done) == []
    assert "ambiguous.csv is not loaded" in str(stands.skip_message)
    assert "when the file or the mapping file changes" in str(stands.skip_message)
    failed = check_of(stands)
    assert (failed.passed, failed.severity) == (False, AssetCheckSeverity.ERROR)
    assert not still.asset_events
    files = json.loads(shown.stdout)["files"]
    assert (files["loaded"], files["failed"]) == (1, 1)
    assert files["not_loaded"][0]["file"] == "ambiguous.csv"
    assert "is not loaded" in files["not_loaded"][0]["reason"]
    assert names(asked) == ["ambiguous.csv"]
    assert check_of(done).passed
    assert "2 of 2 files are loaded" in str(done.skip_message)


def test_a_touch_asks_for_a_failed_file_again_under_another_run_key(stack: Stack) -> None:
    path = settled(stack.home / "data" / "a.csv", "Date,Description,Amount\n01/02/2026,Shop,-1.10\n")
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        run_job("batch_backfill", backfill_config("a.csv", ledger_timeout_s=0.1))
        stands = tick("csv_arrival_sensor", first.cursor)
        at_s = time.time() - SETTLED_AFTER_S - 0.5
        os.utime(path, (at_s, at_s))
        touched = tick("csv_arrival_sensor", stands.cursor)
    keys = [request.run_key for found in (first, touched) for request in found.run_requests or []]
    assert names(stands) == []
    assert len(set(keys)) == len(keys) == 2


def test_what_passes_by_itself_is_tried_again_after_a_wait(stack: Stack) -> None:
    path = settled(stack.home / "data" / "a.csv", canonical_text(range(3)))
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        with connected(stack) as connection:
            size_bytes, modified_ns = path.stat().st_size, path.stat().st_mtime_ns
            mapping = mapping_stamp(load(DagsterSettings))
            note(connection, Attempt("a.csv", size_bytes, modified_ns, mapping, "failed", True, "Kafka is away"))
            waits = tick("csv_arrival_sensor", first.cursor)
            with connection.cursor() as cursor:
                cursor.execute("update csv_files set tried_at = tried_at - interval '31 seconds'")
        due = tick("csv_arrival_sensor", waits.cursor)
    assert names(waits) == []
    assert "a.csv: Kafka is away (retried in" in str(waits.skip_message)
    assert check_of(waits).severity is AssetCheckSeverity.WARN
    assert names(due) == ["a.csv"]


def test_one_odd_entry_is_named_and_the_others_are_loaded(stack: Stack) -> None:
    data = stack.home / "data"
    (data / "2025.csv").mkdir()
    os.mkfifo(data / "pipe.csv")
    (data / "link.csv").symlink_to("/etc/hostname")
    (data / "loop.csv").symlink_to("loop.csv")
    odd = settled(data / os.fsdecode(b"a_Ums\xe4tze.csv"), canonical_text(range(3)))
    settled(data / "good.csv", canonical_text(range(3, 5)))
    # No consumer runs: the wait for it ends at once.
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack, RTP_BACKFILL_LEDGER_TIMEOUT_S="0.1"):
        first = tick("csv_arrival_sensor", instance=instance)
        requests = first.run_requests or []
        assert {request.tags["rtp/file"] for request in requests} == {"a_Ums\\xe4tze.csv", "good.csv"}
        for request in requests:
            run_job("batch_backfill", dict(request.run_config), instance=instance, tags=dict(request.tags))
        done = tick("csv_arrival_sensor", first.cursor, instance=instance)
        json.dumps([run.tags for run in instance.get_runs()]).encode()
    assert odd.exists()
    assert "2 of 6 files are loaded" in str(done.skip_message)
    for name in ("2025.csv", "pipe.csv", "link.csv", "loop.csv"):
        assert f"{name}: it is" in str(done.skip_message)
    assert not check_of(first).passed


def test_each_file_is_a_partition_with_what_its_load_did_or_why_it_failed(stack: Stack, start_rtp: StartRtp) -> None:
    data = stack.home / "data"
    good = settled(data / "good.csv", canonical_text(range(3)))
    settled(data / "odd.csv", "Date,Description,Amount\n03/02/2026,Shop,-1.10\n04/02/2026,Shop,-2\n")
    start_rtp("consume", "--no-api", env=stack.env)
    with settings_of(stack):
        run_job("batch_backfill", backfill_config("good.csv"))
        run_job("batch_backfill", backfill_config("odd.csv"))
        with connected(stack) as connection, connection.cursor() as cursor:
            cursor.execute("update csv_files set tried_at = tried_at - interval '31 seconds'")
        told = tick("csv_arrival_sensor")
        again = tick("csv_arrival_sensor", told.cursor)
        good.unlink()
        deleted = tick("csv_arrival_sensor", again.cursor)
        gone = tick("csv_arrival_sensor", deleted.cursor)
        purge(stack.endpoints.need("postgres_dsn"), Criteria(ids=("T00000001",)))
        purged = tick("csv_arrival_sensor", gone.cursor)
    loaded, failed = [event for event in told.asset_events if not isinstance(event, dg.AssetCheckEvaluation)]
    assert isinstance(loaded, dg.AssetMaterialization)
    assert (loaded.partition, failed.partition) == ("good.csv", "odd.csv")
    figures = {name: loaded.metadata[name].value for name in ("rows", "refused", "rows_stored", "duplicates", "state")}
    assert figures == {"rows": 3, "refused": 0, "rows_stored": 3, "duplicates": 0, "state": "loaded"}
    assert "first_date" in loaded.metadata
    assert "is not loaded" in str(failed.metadata["reason"].value)
    (request,) = told.dynamic_partitions_requests or []
    assert set(request.partition_keys) == {"good.csv", "odd.csv"}
    assert [event for event in again.asset_events if not isinstance(event, dg.AssetCheckEvaluation)] == []
    (event,) = [event for event in deleted.asset_events if not isinstance(event, dg.AssetCheckEvaluation)]
    assert (event.partition, event.metadata["state"].value) == ("good.csv", "deleted")
    assert not gone.asset_events
    assert [(event.partition, event.metadata["state"].value) for event in purged.asset_events] == [
        ("good.csv", "purged")
    ]


def test_with_five_thousand_files_the_cursor_stays_small(stack: Stack) -> None:
    data = stack.home / "data"
    for number in range(5_000):
        (data / f"{'a long name ' * 12}{number}.csv").write_text("x\n")
    with settings_of(stack, RTP_ARRIVAL_RUNS_PER_TICK="100"):
        cursor = None
        for _ in range(3):
            found = tick("csv_arrival_sensor", cursor)
            cursor = found.cursor
            assert len(str(cursor).encode()) < 20_000


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
