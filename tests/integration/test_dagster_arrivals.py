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


def of_files(found: SensorExecutionData) -> list[tuple[str | None, object]]:
    """Returns the partition and the state of each event about a file."""
    events = [event for event in found.asset_events if isinstance(event, dg.AssetMaterialization)]
    return [(event.partition, event.metadata["state"].value) for event in events]


def settle_loads(stack: Stack) -> None:
    """Makes the attempts so old that their rows are taken to be written."""
    with connected(stack) as connection, connection.cursor() as cursor:
        cursor.execute("update csv_files set tried_at = tried_at - interval '31 seconds'")


def test_each_file_is_a_partition_with_what_its_load_did_or_why_it_failed(stack: Stack, start_rtp: StartRtp) -> None:
    data = stack.home / "data"
    good = write_settled(data / "good.csv", canonical_text(range(3)))
    write_settled(data / "odd.csv", "Date,Description,Amount\n03/02/2026,Shop,-1.10\n04/02/2026,Shop,-2\n")
    start_rtp("consume", "--no-api", env=stack.env)
    with settings_of(stack):
        run_job("batch_backfill", backfill_config("good.csv"))
        run_job("batch_backfill", backfill_config("odd.csv"))
        settle_loads(stack)
        told = tick("csv_arrival_sensor")
        again = tick("csv_arrival_sensor", told.cursor)
        content, at = good.read_text(), good.stat()
        good.unlink()
        deleted = tick("csv_arrival_sensor", again.cursor)
        gone = tick("csv_arrival_sensor", deleted.cursor)
        good.write_text(content)
        os.utime(good, ns=(at.st_atime_ns, at.st_mtime_ns))
        back = tick("csv_arrival_sensor", gone.cursor)
        quiet = tick("csv_arrival_sensor", back.cursor)
        purge(stack.endpoints.need("postgres_dsn"), Criteria(ids=("T00000001",)))
        purged = tick("csv_arrival_sensor", quiet.cursor)
        over = tick("csv_arrival_sensor", purged.cursor)
    loaded, failed = [event for event in told.asset_events if isinstance(event, dg.AssetMaterialization)]
    assert (loaded.partition, failed.partition) == ("good.csv", "odd.csv")
    figures = {name: loaded.metadata[name].value for name in ("rows", "refused", "rows_stored", "duplicates", "state")}
    assert figures == {"rows": 3, "refused": 0, "rows_stored": 3, "duplicates": 0, "state": "loaded"}
    assert "first_date" in loaded.metadata
    assert list(failed.metadata)[:3] == ["state", "reason", "next"], "what the partition's page shows first"
    assert failed.metadata["state"].value == "failed"
    assert "is not loaded" in str(failed.metadata["reason"].value)
    (request,) = told.dynamic_partitions_requests or []
    assert set(request.partition_keys) == {"good.csv", "odd.csv"}
    assert of_files(again) == of_files(gone) == of_files(quiet) == of_files(over) == []
    assert of_files(deleted) == [("good.csv", "deleted")]
    assert of_files(back) == [("good.csv", "loaded")]
    assert of_files(purged) == [("good.csv", "purged")]
    assert purged.asset_events[0].metadata["purged"].value == 1


def test_a_file_that_waits_is_a_partition_that_says_why_until_the_reason_changes(stack: Stack) -> None:
    data = stack.home / "data"
    for name in ("a.csv", "b.csv"):
        write_settled(data / name, canonical_text(range(3)))
    (data / "empty.csv").touch()
    with settings_of(stack, RTP_ARRIVAL_RUNS_PER_TICK="1"):
        first = tick("csv_arrival_sensor")
        second = tick("csv_arrival_sensor", first.cursor)
        third = tick("csv_arrival_sensor", second.cursor)
        quiet = tick("csv_arrival_sensor", third.cursor)
    assert of_files(first) == [("b.csv", "waiting"), ("empty.csv", "waiting")]
    reasons = [str(event.metadata["reason"].value) for event in first.asset_events[-2:]]
    assert reasons == ["waiting for its turn", "still being written, or empty"]
    assert of_files(second) == [("a.csv", "waiting")], "the run that was requested has left no result"
    assert of_files(third) == [("b.csv", "waiting")]
    assert of_files(quiet) == []


def test_names_that_dagster_takes_in_no_key_are_partitions_and_a_renamed_file_is_two(
    stack: Stack, start_rtp: StartRtp
) -> None:
    data = stack.home / "data"
    names = ["a b&c #1 [x] ..., %41.csv", os.fsdecode(b"bad\xff.csv"), "line\nbreak.csv", "Ü\u202ebidi.csv"]
    for number, name in enumerate(names):
        write_settled(data / name, canonical_text(range(10 * number, 10 * number + 3)))
    start_rtp("consume", "--no-api", env=stack.env)
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack):
        run_job("batch_backfill", backfill_config())
        settle_loads(stack)
        told = tick("csv_arrival_sensor", instance=instance)
        keys = [key for key, _ in of_files(told) if key is not None]
        instance.add_dynamic_partitions("csv_files", keys)
        for event in told.asset_events:
            instance.report_runless_asset_event(event)
        (data / names[0]).rename(data / "renamed.csv")
        renamed = tick("csv_arrival_sensor", told.cursor, instance=instance)
        assert set(instance.get_dynamic_partitions("csv_files")) == set(keys)
    assert len(keys) == len(names)
    assert {state for _, state in of_files(told)} == {"loaded"}
    assert "a b&c #1 [x] \\u2026, %41.csv" in keys
    assert ("a b&c #1 [x] \\u2026, %41.csv", "deleted") in of_files(renamed)


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
