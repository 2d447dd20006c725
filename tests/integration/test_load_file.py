"""The loader against a real Kafka and PostgreSQL: resume, recognition by content, refusals, file safety."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard
from confluent_kafka import Consumer, TopicPartition

from rtp_workers.batch.load_errors import CancelledError, UnforeseenError
from rtp_workers.batch.load_file import LoadOptions, LoadProgress, LoadReport, load_file
from rtp_workers.batch.progress import find_start
from rtp_workers.batch.same_topic import OtherTopicError
from rtp_workers.errors import ConfigError, RtpError, TransientError
from rtp_workers.kafka.topics import delete_topic, ensure_topic, log_offsets
from rtp_workers.postgres import csv_loads
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.csv_loads import LoadRunningError
from rtp_workers.settings import LoaderSettings
from tests.conftest import Stack
from tests.csv_files import canonical_text, settle, write_settled
from tests.programs import run_rtp


def settings_of(stack: Stack, **values: Any) -> LoaderSettings:
    return LoaderSettings(**{"home": stack.home, "data_dir": stack.home / "data", "topic": stack.topic, **values})


def load(stack: Stack, path: Path, options: LoadOptions | None = None) -> LoadReport:
    return load_file(str(path), stack.endpoints, settings_of(stack), options)


def records(stack: Stack) -> list[dict[str, Any]]:
    """Returns every record in the topic, as JSON objects, with the header `source` as ``_source``."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.endpoints.need("kafka_bootstrap"),
            "group.id": "test",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    ends = {number: end for number, (_, end) in log_offsets(stack.endpoints, stack.topic).items()}
    consumer.assign([TopicPartition(stack.topic, number, 0) for number in ends])
    found: list[dict[str, Any]] = []
    try:
        while len(found) < sum(ends.values()):
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None, message.error()
            value, headers = message.value(), dict(message.headers() or [])
            assert value is not None
            source = headers["source"]
            found.append({**json.loads(value), "_source": source.decode() if isinstance(source, bytes) else source})
    finally:
        consumer.close()
    return found


def ids(stack: Stack) -> Counter[str]:
    return Counter(record["transaction_id"] for record in records(stack))


def wanted(numbers: range) -> Counter[str]:
    return Counter(f"T{number:08d}" for number in numbers)


def test_a_canonical_file_arrives_whole(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(500)))
    report = load(stack, path)
    assert (report.rows_read, report.acknowledged, report.refused) == (500, 500, 0)
    assert ids(stack) == wanted(range(500))
    by_id = {record["transaction_id"]: record for record in records(stack)}
    assert by_id["T00000001"] == {
        "transaction_id": "T00000001",
        "occurred_at": "2026-01-02T12:01:00Z",
        "amount": "1.01",
        "customer_id": "C1",
        "merchant": "Shop 1",
        "category": "food",
        "currency": "EUR",
        "payment_method": "card",
        "status": "booked",
        "country": "DE",
        "_source": "csv:a.csv",
    }
    assert "customer_id" not in by_id["T00000000"]
    ends = {number: end - 1 for number, (_, end) in log_offsets(stack.endpoints, stack.topic).items() if end}
    assert report.last_offsets == ends


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_a_compressed_file_is_the_same_content(stack: Stack, tmp_path: Path, pack: Any) -> None:
    text = canonical_text(range(300))
    load(stack, write_settled(tmp_path / "a.csv", text))
    report = load(stack, write_settled(tmp_path / "b.csv.packed", pack(text.encode())))
    assert (report.resumed_rows, report.acknowledged) == (300, 300)
    assert ids(stack) == wanted(range(300))


def test_a_bad_row_is_listed_by_line_and_its_neighbours_land(stack: Stack, tmp_path: Path) -> None:
    lines = canonical_text(range(6)).splitlines()
    lines[2] = lines[2].replace(",EUR,", ",eur,")
    lines[4] += ",surplus"
    lines.insert(5, "")
    report = load(stack, write_settled(tmp_path / "a.csv", "\n".join(lines) + "\n"))
    assert (report.rows_read, report.acknowledged, report.refused) == (7, 4, 3)
    assert set(ids(stack)) == {"T00000000", "T00000002", "T00000004", "T00000005"}
    assert report.refused_file is not None
    assert report.refused_file.parent == stack.home / "refused"
    with report.refused_file.open(newline="") as file:
        listed = [(row["line"], row["reason"]) for row in csv.DictReader(file)]
    assert listed == [("3", "currency_code"), ("5", "ragged_row"), ("6", "blank_line")]


def test_the_same_content_is_recognised_under_another_name(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(200)))
    load(stack, path)
    report = load(stack, path.rename(tmp_path / "renamed.csv"))
    assert (report.acknowledged, report.resumed_rows) == (200, 200)
    assert ids(stack) == wanted(range(200))


def test_of_a_file_that_has_grown_only_the_new_rows_are_sent(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(3)))
    load(stack, path)
    for last in (10, 400):
        write_settled(path, canonical_text(range(last)))
        report = load(stack, path)
        assert report.acknowledged == last
    assert ids(stack) == wanted(range(400))


def test_a_last_line_without_newline_is_read_again_when_the_file_has_grown(stack: Stack, tmp_path: Path) -> None:
    text = canonical_text(range(20))
    cut = text[: text.rindex("DE") + 1]  # the last row ends in "D": no country
    path = write_settled(tmp_path / "a.csv", cut)
    assert load(stack, path).refused == 1
    report = load(stack, write_settled(path, text))
    assert (report.rows_read, report.acknowledged, report.refused) == (20, 20, 0)
    assert report.refused_file is None
    assert ids(stack) == wanted(range(20))


def test_a_file_changed_in_the_middle_is_loaded_again(stack: Stack, tmp_path: Path) -> None:
    text = canonical_text(range(50))
    path = write_settled(tmp_path / "a.csv", text)
    load(stack, path)
    load(stack, write_settled(path, text.replace("T00000030", "X00000030")))
    assert ids(stack)["X00000030"] == 1
    assert load(stack, path).resumed_rows == 50  # both versions are known from now on
    assert load(stack, write_settled(path, text)).resumed_rows == 50


def test_a_cancelled_load_goes_on_where_it_was(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(60_000)))
    asked = iter(range(100))
    with pytest.raises(CancelledError):
        load(stack, path, LoadOptions(cancelled=lambda: next(asked) >= 2))
    settled = sum(ids(stack).values())
    assert 0 < settled < 60_000
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "test", autocommit=True)
    try:
        [stopped] = csv_loads.recent(connection)
    finally:
        connection.close()
    assert (stopped.state, stopped.progress.acknowledged) == ("failed", settled)
    assert stopped.detail is not None
    assert "cancelled" in stopped.detail
    report = load(stack, path)
    assert report.resumed_rows == settled
    assert (report.rows_read, report.acknowledged) == (60_000, 60_000)
    assert ids(stack) == wanted(range(60_000))


def test_refused_rows_are_listed_once_after_a_resume(stack: Stack, tmp_path: Path) -> None:
    text = canonical_text(range(60_000)).replace("12:07:00Z", "12:77:00Z")
    path = write_settled(tmp_path / "a.csv", text)
    asked = iter(range(100))
    with pytest.raises(CancelledError):
        load(stack, path, LoadOptions(cancelled=lambda: next(asked) >= 2))
    report = load(stack, path)
    assert report.refused == 1000
    assert report.refused_file is not None
    with report.refused_file.open(newline="") as file:
        lines = [int(row["line"]) for row in csv.DictReader(file)]
    assert lines == [number + 2 for number in range(60_000) if number % 60 == 7]


def test_a_second_loader_of_the_same_file_is_refused(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(60_000)))
    other = write_settled(tmp_path / "b.csv", canonical_text(range(100_000, 100_050)))
    errors: list[RtpError] = []

    def second(progress: LoadProgress) -> None:
        if not errors:
            with pytest.raises(LoadRunningError) as caught:
                load(stack, path)
            errors.append(caught.value)
            assert load(stack, other).acknowledged == 50  # another file may load at once

    load(stack, path, LoadOptions(on_progress=second))
    assert len(errors) == 1
    assert ids(stack) == wanted(range(60_000)) + wanted(range(100_000, 100_050))


def test_progress_counts_up_to_the_files_size(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(1000)))
    seen: list[LoadProgress] = []
    load(stack, path, LoadOptions(on_progress=seen.append))
    assert (seen[-1].read_bytes, seen[-1].acknowledged) == (path.stat().st_size, 1000)


def test_progress_in_a_topic_that_was_made_again_does_not_count(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(100)))
    identity = load(stack, path).identity
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "test", autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute("update csv_loads set topic_id = 'another' where identity = %s", (identity,))
        assert load(stack, path).resumed_rows == 0
        assert len(csv_loads.recent(connection)) == 2
    finally:
        connection.close()
    assert ids(stack) == wanted(range(100)) + wanted(range(100))


def test_a_file_that_changes_while_it_is_read_is_an_error_and_resumes(stack: Stack, tmp_path: Path) -> None:
    # So many rows that the first look at the progress, after 0.2 s, comes well before their end.
    path = write_settled(tmp_path / "a.csv", canonical_text(range(150_000)))
    grown = False

    def grow(progress: LoadProgress) -> None:
        nonlocal grown
        if not grown:
            grown = True
            with path.open("a") as file:
                file.write(canonical_text(range(150_000, 150_010), header=False))

    with pytest.raises(TransientError, match="changed while it was read"):
        load(stack, path, LoadOptions(on_progress=grow))
    assert load(stack, settle(path)).acknowledged == 150_010
    assert set(ids(stack)) == set(wanted(range(150_010)))


def test_a_file_still_being_written_is_refused_after_the_wait(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(canonical_text(range(5)))
    os.utime(path, (2_000_000_000, path.stat().st_mtime))
    with pytest.raises(TransientError, match="still being written"):
        load(stack, path, LoadOptions(wait_s=0))


def test_a_missing_topic_is_a_clear_error(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(5)))
    with pytest.raises(ConfigError, match="rtp topics"):
        load_file(str(path), stack.endpoints, settings_of(stack, topic="not-there"))


def test_a_topic_made_again_in_the_middle_of_a_file_ends_the_load_and_the_next_one_starts_over(
    stack: Stack, tmp_path: Path
) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(20_000)))
    asked = 0

    def made_again() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            delete_topic(stack.endpoints, stack.topic)
            ensure_topic(stack.endpoints, stack.topic)
        return False

    options = LoadOptions(cancelled=made_again)
    with pytest.raises(OtherTopicError, match="created again during the load"):
        load_file(str(path), stack.endpoints, settings_of(stack, loader_block_bytes=65_536), options)
    report = load(stack, path)
    assert (report.resumed_rows, report.acknowledged) == (0, 20_000)
    assert set(ids(stack)) == set(wanted(range(20_000)))


def test_a_name_that_is_not_utf_8_is_stored_escaped(stack: Stack, tmp_path: Path) -> None:
    path = write_settled(tmp_path / os.fsdecode(b"Ums\xe4tze.csv"), canonical_text(range(3)))
    assert load(stack, path).file == r"Ums\xe4tze.csv"
    assert {record["_source"] for record in records(stack)} == {r"csv:Ums\xe4tze.csv"}
    done = run_rtp("load", os.fsdecode(path), env=stack.env)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert r"Ums\xe4tze.csv: 3 of 3 rows" in done.stdout


def test_an_error_that_nobody_foresaw_ends_that_file_only(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(3)))

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("rtp_workers.batch.begin_load.plan_file", broken)
    with pytest.raises(UnforeseenError, match=r"a\.csv: .*ZeroDivisionError: a fault of ours"):
        load(stack, path)
    monkeypatch.undo()
    assert load(stack, path).acknowledged == 3


def test_a_file_renamed_over_an_open_one_does_not_change_what_is_loaded(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_settled(tmp_path / "a.csv", canonical_text(range(20)))
    load(stack, path)
    write_settled(path, canonical_text(range(40)))
    other = write_settled(tmp_path / "b.csv", canonical_text(range(500, 600)))

    def renamed_meanwhile(*arguments: Any) -> Any:
        other.rename(path)
        return find_start(*arguments)

    monkeypatch.setattr("rtp_workers.batch.begin_load.find_start", renamed_meanwhile)
    report = load(stack, path)
    assert (report.resumed_rows, report.acknowledged) == (20, 40)
    assert ids(stack) == wanted(range(40))
