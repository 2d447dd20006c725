"""Repeated ids, on each of the writer's ways: straight, staged, and staged after a look at what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from rtp_workers.postgres import ledger
from rtp_workers.postgres.batch import Batch, Counts, Span
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.connection import connect
from rtp_workers.record.copy_text import BatchDecoder
from tests.conftest import Stack
from tests.reading import query
from tests.records import SentRecord, body

TOPIC_ID = "some-id"


class Feed:
    """Makes batches of one partition, one after the other."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._next = 0

    def write(self, values: Sequence[bytes], refused: Sequence[int] = ()) -> Counts:
        """Writes a batch; the lines of the `refused` have an amount that only PostgreSQL refuses."""
        start, self._next = self._next, self._next + len(values)
        records = [SentRecord(start + index, value) for index, value in enumerate(values)]
        decoded = BatchDecoder().lines(list(values))
        lines = [f"{line}\ttest\t0\t{start + index}\t{TOPIC_ID}\t0\t\\N" for index, line in enumerate(decoded.lines)]
        for index in refused:
            lines[index] = lines[index].replace("12.50", "twelve")
        batch = Batch("t", TOPIC_ID, {0: Span(start, self._next, 0)}, lines, list(records))
        return self._writer.write(batch)[0]


@pytest.fixture
def writer(stack: Stack) -> Iterator[BatchWriter]:
    dsn = stack.endpoints.need("postgres_ingest_dsn")
    connection = connect(dsn, "rtp-test", autocommit=True)
    ledger.open_partitions(connection, ledger.Topic("t", TOPIC_ID, "g"), {0: 0})
    connection.close()
    writer = BatchWriter(dsn)
    yield writer
    writer.close()


def test_repeats_are_told_apart_whichever_way_they_go(stack: Stack, writer: BatchWriter) -> None:
    feed = Feed(writer)
    first = [body(f"a{number}") for number in range(10)]
    assert feed.write(first) == Counts(inserted=10)
    assert (writer.recent.fast, writer.recent.staged) == (1, 0)

    def mixed(new: str) -> list[bytes]:
        """5 new ones, one twice and one with two contents; 4 stored ones, and 2 stored ones with other content."""
        fresh = [body(f"{new}{number}") for number in range(5)]
        return [
            *fresh,
            fresh[0],
            body(f"{new}1", amount="99"),
            *first[:4],
            *(body(f"a{n}", amount="99") for n in (8, 9)),
        ]

    expected = Counts(inserted=5, duplicates=5, dead_lettered=3)
    assert feed.write(mixed("b")) == expected, "straight, then staged"
    assert feed.write(first) == Counts(duplicates=10), "staged: more than half was repeated"
    assert feed.write(mixed("c")) == expected, "looked up first: more than half was repeated"
    assert feed.write([body(f"d{number}") for number in range(9)]) == Counts(inserted=9), "looked up first, in vain"
    assert feed.write(mixed("e")) == expected, "staged again"
    assert writer.recent.staged == 5
    rows = query(stack, "select transaction_id, amount from transactions order by 1")
    assert [row["transaction_id"] for row in rows] == sorted(
        [f"a{n}" for n in range(10)] + [f"{new}{n}" for new in "bce" for n in range(5)] + [f"d{n}" for n in range(9)]
    )
    assert {str(row["amount"]) for row in rows} == {"12.50"}
    letters = query(stack, "select kafka_offset, reason from dead_letters order by 1")
    assert [row["reason"] for row in letters] == ["conflicting_duplicate"] * 9
    moved = query(stack, "select inserted, duplicates, dead_lettered, next_offset from ingest_ledger")[0]
    assert moved == {"inserted": 34, "duplicates": 25, "dead_lettered": 9, "next_offset": 68}


@pytest.mark.parametrize("looked_up", [False, True])
def test_a_run_that_is_halved_counts_each_record_once(stack: Stack, writer: BatchWriter, looked_up: bool) -> None:
    feed = Feed(writer)
    first = [body(f"a{number}") for number in range(10)]
    feed.write(first)
    feed.write(first if looked_up else [*first[:1], body("b1"), body("b2")])
    values = [body("c0"), first[0], body("c2"), body("c3"), body("c4"), first[5], body("c0"), body("c7"), body("c8")]
    assert feed.write(values, refused=[3, 7]) == Counts(inserted=4, duplicates=3, dead_lettered=2)
    new = query(stack, "select transaction_id from transactions where transaction_id like 'c%%' order by 1")
    assert [row["transaction_id"] for row in new] == ["c0", "c2", "c4", "c8"]


def test_a_batch_that_somebody_else_has_stored_is_told_by_the_ledger(stack: Stack, writer: BatchWriter) -> None:
    """Its dead letters are stored, too: their primary key must not be what is told, since that does not pass."""
    values = [body("a1"), body("a2"), body("a3")]
    assert Feed(writer).write(values, refused=[1]) == Counts(inserted=2, dead_lettered=1)
    with pytest.raises(ledger.LedgerMovedError):
        Feed(writer).write([*values, body("a4")], refused=[1])
    assert query(stack, "select count(*) from dead_letters")[0]["count"] == 1
    assert query(stack, "select inserted, next_offset from ingest_ledger")[0] == {"inserted": 2, "next_offset": 3}


def test_a_batch_reaches_the_table_through_its_key_even_without_statistics(stack: Stack, writer: BatchWriter) -> None:
    feed = Feed(writer)
    feed.write([body("a1")])
    feed.write([body("a1")])
    connection = writer._connection
    assert connection is not None
    with connection.cursor() as cursor:
        cursor.execute("explain select 1 from pg_temp.incoming join transactions as stored using (transaction_id)")
        plan = "\n".join(str(line) for (line,) in cursor.fetchall())
    connection.rollback()
    assert "transactions_pkey" in plan, plan
    assert "Nested Loop" in plan, plan
