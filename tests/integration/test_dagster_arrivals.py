"""The arrival sensor on a real Kafka and PostgreSQL: which files it asks runs for, and what it says of the others."""

from __future__ import annotations

import json
import os
import time
from unittest.mock import patch

import dagster as dg
from dagster import AssetCheckSeverity
from dagster._core.definitions.sensor_definition import SensorExecutionData

from rtp_dagster.backfill.arrivals import SETTLED_AFTER_S
from rtp_workers.batch.attempts import mapping_stamp
from rtp_workers.postgres.csv_files import Attempt, note
from rtp_workers.postgres.purge import Criteria, purge
from rtp_workers.settings import DagsterSettings, load
from tests.conftest import Stack, StartRtp
from tests.csv_files import canonical_text, write_settled
from tests.dagster_runs import backfill_config, run_job, settings_of, tick
from tests.programs import status_with
from tests.reading import connected


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
    path = write_settled(data / "a.csv", canonical_text(range(3)))
    half = data / "half.csv"
    half.write_text(canonical_text(range(2)))
    at_s = time.time() + 600  # it counts as just written at the first tick, however late that comes
    os.utime(half, (at_s, at_s))
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        again = tick("csv_arrival_sensor", first.cursor)
        write_settled(path, canonical_text(range(9)))
        grown = tick("csv_arrival_sensor", again.cursor)
    (request,) = first.run_requests or []
    assert request.run_config == {"ops": {"csv_backfill": {"config": {"files": ["a.csv"]}}}}
    assert "a run was requested once" in str(again.skip_message) or names(again) == ["half.csv"]
    assert "a.csv" in names(grown)
    assert {run.run_key for run in grown.run_requests or []}.isdisjoint({request.run_key})


def test_many_files_start_few_runs_a_tick_and_all_in_the_end(stack: Stack) -> None:
    for number in range(7):
        write_settled(stack.home / "data" / f"{number}.csv", canonical_text(range(number, number + 2)))
    never_again = patch("rtp_dagster.backfill.arrivals.ASK_AGAIN_S", 3600.0)
    with never_again, settings_of(stack, RTP_ARRIVAL_RUNS_PER_TICK="3"):
        cursor, asked = None, []
        for wanted in (3, 3, 1, 0):
            found = tick("csv_arrival_sensor", cursor)
            assert len(found.run_requests or []) == wanted
            asked += [request.run_key for request in found.run_requests or []]
            cursor = found.cursor
    assert len(set(asked)) == 7


def test_a_file_that_is_not_understood_is_named_and_loaded_once_the_mapping_answers(stack: Stack) -> None:
    rows = "".join(f"0{day}/02/2026,Shop {day},-{day}.10\n" for day in range(1, 7))
    write_settled(stack.home / "data" / "ambiguous.csv", f"Date,Description,Amount\n{rows}")
    write_settled(stack.home / "data" / "good.csv", canonical_text(range(3)))
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        run_job("batch_backfill", backfill_config("ambiguous.csv", "good.csv", ledger_timeout_s=0.1))
        stands = tick("csv_arrival_sensor", first.cursor)
        still = tick("csv_arrival_sensor", stands.cursor)
        files = status_with(lambda found: found["files"], stack.env)["files"]
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
    assert (files["loaded"], files["failed"]) == (1, 1)
    assert files["not_loaded"][0]["file"] == "ambiguous.csv"
    assert "is not loaded" in files["not_loaded"][0]["reason"]
    assert names(asked) == ["ambiguous.csv"]
    assert check_of(done).passed
    assert "2 of 2 files are loaded" in str(done.skip_message)


def test_a_touch_asks_for_a_failed_file_again_under_another_run_key(stack: Stack) -> None:
    path = write_settled(stack.home / "data" / "a.csv", "Date,Description,Amount\n01/02/2026,Shop,-1.10\n")
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
    path = write_settled(stack.home / "data" / "a.csv", canonical_text(range(3)))
    with settings_of(stack):
        first = tick("csv_arrival_sensor")
        with connected(stack) as connection:
            size_bytes, modified_ns = path.stat().st_size, path.stat().st_mtime_ns
            mapping = mapping_stamp(load(DagsterSettings))
            note(connection, Attempt("a.csv", size_bytes, modified_ns, mapping, "failed", True, "Kafka is away"))
            with connection.cursor() as cursor:
                cursor.execute("update csv_files set tried_at = now() + interval '10 minutes'")  # the tick may be late
                waits = tick("csv_arrival_sensor", first.cursor)
                cursor.execute("update csv_files set tried_at = now() - interval '31 seconds'")
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
    odd = write_settled(data / os.fsdecode(b"a_Ums\xe4tze.csv"), canonical_text(range(3)))
    write_settled(data / "good.csv", canonical_text(range(3, 5)))
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
    good = write_settled(data / "good.csv", canonical_text(range(3)))
    write_settled(data / "odd.csv", "Date,Description,Amount\n03/02/2026,Shop,-1.10\n04/02/2026,Shop,-2\n")
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
