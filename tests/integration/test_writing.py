"""Two batches on their way into a real database at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rtp_workers.consumer.assignment import Assignment
from rtp_workers.consumer.state import Written
from rtp_workers.consumer.writing import Overtaken, Writing
from rtp_workers.errors import TransientError
from rtp_workers.postgres import ledger
from rtp_workers.postgres.batch import Batch, Counts, Span
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.blocking import CONTROL_NAME, WRITER_NAME, end_blocking_sessions, stands_in_the_way
from rtp_workers.postgres.connection import Connection, ConnectionLostError, connect
from rtp_workers.postgres.recent_batches import RecentBatches
from rtp_workers.record.copy_text import BatchDecoder
from rtp_workers.watchdog import Beat
from tests.conftest import Stack
from tests.reading import query
from tests.records import SentRecord, body
from tests.waiting import wait_until

TOPIC_ID = "some-id"
ADVISORY_LOCK = "select pg_advisory_xact_lock(42)"
LANDED = """
select count(*) from pg_stat_activity
where datname = current_database() and application_name = %s and state = 'idle in transaction'
"""


class KafkaAway:
    """A confirmation that fails a few times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self) -> None:
        if self.failures:
            self.failures -= 1
            raise TransientError("Kafka is away")


class Gate:
    """A confirmation that holds its batch, rows landed, until it is opened; then it may fail once."""

    def __init__(self, error: TransientError | None = None) -> None:
        self.reached, self.opened, self.error = threading.Event(), threading.Event(), error

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(120)
        error, self.error = self.error, None
        if error is not None:
            raise error


class AnswerLost(BatchWriter):
    """A writer whose first COMMIT succeeds, but whose answer never arrives."""

    lost = 0

    def write(self, batch: Batch) -> dict[int, Counts]:
        counts = super().write(batch)
        if not self.lost:
            self.lost += 1
            self.close()
            raise ConnectionLostError("the answer to COMMIT was lost")
        return counts


@dataclass
class Lanes:
    """Writing on a partition of its own, with its records' offsets counted."""

    stack: Stack
    writers: list[BatchWriter]
    assignment: Assignment = field(default_factory=Assignment)
    next_offset: int = 0

    def __post_init__(self) -> None:
        dsn = self.stack.endpoints.need("postgres_ingest_dsn")
        connection = connect(dsn, "rtp-test", autocommit=True)
        ledger.open_partitions(connection, ledger.Topic(self.stack.topic, TOPIC_ID, "some-group"), {0: 0})
        connection.close()
        self.assignment.assigned([0])
        self.assignment.opened({0: ledger.Place(0, 0)})
        self.writing = Writing(self.writers, self.assignment, [Beat("writer 1"), Beat("writer 2")])

    def submit(self, ids: Sequence[str], confirm: Any = lambda: None) -> None:
        """Hands over the next batch, with a record for each id."""
        start, self.next_offset = self.next_offset, self.next_offset + len(ids)
        records = [SentRecord(start + index, body(name)) for index, name in enumerate(ids)]
        decoded = BatchDecoder().lines([record.body for record in records])
        lines = [f"{line}\ttest\t0\t{start + index}\t{TOPIC_ID}\t0\t\\N" for index, line in enumerate(decoded.lines)]
        span = Span(start, self.next_offset, self.assignment.epochs[0])
        batch = Batch(self.stack.topic, TOPIC_ID, {0: span}, lines, list(records))
        batch.confirm = confirm
        assert self.writing.wait_free(60)
        self.writing.submit(batch)

    def outcomes(self, number: int) -> list[Any]:
        """Waits until that many batches have ended."""
        wait_until(lambda: len(self.writing.outcomes) >= number or self.writing.failure, 120, f"{number} outcomes")
        self.writing.raise_failure()
        return list(self.writing.outcomes)

    def landed(self) -> int:
        """Returns how many of our transactions have landed their rows, and wait for something on our side."""
        return int(query(self.stack, LANDED, WRITER_NAME)[0]["count"])

    def ledger(self) -> int:
        """Returns how far the ledger is."""
        return int(query(self.stack, "select next_offset from ingest_ledger")[0]["next_offset"])

    def stored(self) -> dict[str, int]:
        """Returns the offset of the record behind each stored id."""
        return {
            str(row["transaction_id"]): int(row["kafka_offset"])
            for row in query(self.stack, "select transaction_id, kafka_offset from transactions")
        }


@contextmanager
def lanes(stack: Stack, first: type[BatchWriter] = BatchWriter, second_dsn: str = "") -> Iterator[Lanes]:
    dsn, recent = stack.endpoints.need("postgres_ingest_dsn"), RecentBatches()
    made = Lanes(stack, [first(dsn, recent=recent), BatchWriter(second_dsn or dsn, recent=recent)])
    try:
        yield made
    finally:
        made.writing.stop(30)


def spans(outcomes: Sequence[Any]) -> list[tuple[int, int]]:
    """Returns the offsets of each written batch."""
    assert all(isinstance(outcome, Written) for outcome in outcomes), outcomes
    return [outcome.spans[0] for outcome in outcomes]


def test_rows_are_not_written_again_and_again_while_kafka_is_away(stack: Stack) -> None:
    """Each try would leave dead rows behind: what only Kafka can confirm is asked before the next one."""
    with lanes(stack) as made:
        made.submit(["a"], KafkaAway(failures=5))
        assert spans(made.outcomes(1)) == [(0, 1)]
        assert made.writing.retries == 5
        assert made.writers[0].recent.fast == 2


def test_rows_of_the_second_batch_land_before_the_first_is_committed(stack: Stack) -> None:
    gate = Gate()
    with lanes(stack) as made:
        made.submit(["a", "b"], gate)
        made.submit(["c"])
        wait_until(lambda: made.landed() == 2, 60, "both batches landed")
        assert not made.writing.free
        assert (made.ledger(), made.stored()) == (0, {})
        gate.opened.set()
        assert spans(made.outcomes(2)) == [(0, 2), (2, 3)]
        assert (made.ledger(), made.stored()) == (3, {"a": 0, "b": 1, "c": 2})


def test_if_the_first_fails_the_second_is_rolled_back_and_both_start_over(stack: Stack) -> None:
    first, again = Gate(TransientError("Kafka is away")), Gate()
    with lanes(stack) as made:
        made.submit(["a"], lambda: (first if not first.opened.is_set() or first.error else again)())
        made.submit(["b"])
        wait_until(lambda: made.landed() == 2, 60, "both batches landed")
        first.opened.set()
        assert again.reached.wait(60), "the first batch is tried again"
        wait_until(lambda: made.landed() == 0, 60, "no transaction is left open meanwhile")
        again.opened.set()
        assert spans(made.outcomes(2)) == [(0, 1), (1, 2)]
        assert made.stored() == {"a": 0, "b": 1}


def test_a_commit_without_an_answer_is_settled_before_the_second_batch_moves_the_ledger(stack: Stack) -> None:
    gate = Gate()
    with lanes(stack, AnswerLost) as made:
        made.submit(["a"], gate)
        assert gate.reached.wait(60), "the first batch has the connection whose answer is lost"
        made.submit(["b"])
        gate.opened.set()
        first, second = made.outcomes(2)
        assert spans([first, second]) == [(0, 1), (1, 2)]
        assert (first.counts, second.counts) == (None, {0: Counts(inserted=1)})
        assert (made.ledger(), made.stored()) == (2, {"a": 0, "b": 1})


def test_an_id_in_both_batches_belongs_to_the_first(stack: Stack) -> None:
    """The first waits for a row of the second, and the second for the first: PostgreSQL does not see that."""
    owner = connect(stack.endpoints.need("postgres_dsn"), "rtp-test")
    with lanes(stack) as made, owner.cursor() as cursor:
        made.submit(["held"])
        made.outcomes(1)
        # Until this is rolled back, the first batch waits in the middle.
        cursor.execute("update transactions set transaction_id = 'other' where transaction_id = 'held'")
        made.submit(["other", "shared"])
        wait_until(lambda: _waiting_for(stack, owner), 60, "the first batch waits")
        made.submit(["new", "shared"])
        wait_until(lambda: made.landed() >= 1, 60, "the second has landed")
        owner.rollback()
        ended = made.outcomes(3)
        assert spans(ended) == [(0, 1), (1, 3), (3, 5)]
        assert made.stored() == {"held": 0, "other": 1, "shared": 2, "new": 3}
        assert ended[2].counts == {0: Counts(inserted=1, duplicates=1)}
        assert made.writing.retries == 0, "to give way is not a failure"
    owner.close()


def test_a_session_between_the_two_is_seen_as_well(stack: Stack) -> None:
    """It waits for the second batch, and the first one waits behind it."""
    dsn = stack.endpoints.need("postgres_dsn")
    holder, between, waiter = (connect(dsn, name) for name in ("rtp-holder", "rtp-between", "rtp-waiter"))
    with holder.cursor() as cursor:
        cursor.execute("lock table dead_letters in row exclusive mode")
        threads = [
            threading.Thread(target=_lock, args=(each, f"lock table dead_letters in {mode} mode"), daemon=True)
            for each, mode in ((between, "access exclusive"), (waiter, "row exclusive"))
        ]
        assert not stands_in_the_way(cursor, waiter.info.backend_pid)
        threads[0].start()
        wait_until(lambda: _waiting_for(stack, holder), 60, "the one in between waits")
        threads[1].start()
        wait_until(lambda: _waiting_for(stack, between), 60, "the last one waits")
        assert stands_in_the_way(cursor, waiter.info.backend_pid)
        holder.rollback()
        for thread in threads:
            thread.join(60)
    for each in (holder, between, waiter):
        each.close()


def test_if_the_ledger_has_moved_neither_batch_is_written(stack: Stack) -> None:
    gate = Gate()
    with lanes(stack) as made:
        made.submit(["a"], gate)
        made.submit(["b"])
        wait_until(lambda: made.landed() == 2, 60, "both batches landed")
        query(stack, "update ingest_ledger set next_offset = 7, skipped = 7")
        gate.opened.set()
        assert [type(outcome) for outcome in made.outcomes(2)] == [Overtaken, Overtaken]
        assert (made.ledger(), made.stored()) == (7, {})


def test_partitions_that_were_given_up_meanwhile_are_not_written(stack: Stack) -> None:
    gate = Gate(TransientError("Kafka is away"))
    with lanes(stack) as made:
        made.submit(["a"], gate)
        made.submit(["b"])
        assert gate.reached.wait(60)
        made.assignment.given_up([0])
        gate.opened.set()
        assert [type(outcome) for outcome in made.outcomes(2)] == [Overtaken, Overtaken]
        assert (made.ledger(), made.stored()) == (0, {})


def test_one_connection_is_enough_where_postgres_refuses_another(stack: Stack) -> None:
    refused = stack.endpoints.need("postgres_ingest_dsn") + " user=nobody_at_all"
    with lanes(stack, second_dsn=refused) as made:
        for number in range(6):
            made.submit([f"a{number}"])
        assert spans(made.outcomes(6)) == [(number, number + 1) for number in range(6)]
        assert len(made.stored()) == 6


def test_writes_without_an_answer_are_abandoned_and_made_again(stack: Stack) -> None:
    owner = connect(stack.endpoints.need("postgres_dsn"), "rtp-test")
    with lanes(stack) as made, owner.cursor() as cursor:
        cursor.execute("lock table transactions in access exclusive mode")
        made.submit(["a"])
        made.submit(["b"])
        wait_until(lambda: len(made.writing.backend_pids) == 2, 60, "both connections")
        wait_until(lambda: made.writing.busy_s > 0, 60, "an attempt")
        assert made.writing.abandon(0)
        wait_until(lambda: made.writing.retries > 0, 60, "the end of the attempt")
        owner.rollback()
        assert spans(made.outcomes(2)) == [(0, 1), (1, 2)]
        assert made.stored() == {"a": 0, "b": 1}
    owner.close()


def test_a_writer_that_was_left_behind_is_ended_but_not_a_sibling(stack: Stack) -> None:
    dsn = stack.endpoints.need("postgres_ingest_dsn")
    control = connect(dsn, CONTROL_NAME, autocommit=True)
    left_behind, waiter = connect(dsn, WRITER_NAME), connect(dsn, WRITER_NAME)
    with left_behind.cursor() as cursor:
        cursor.execute(ADVISORY_LOCK)
        thread = threading.Thread(target=_lock, args=(waiter, ADVISORY_LOCK), daemon=True)
        thread.start()
        wait_until(lambda: _waiting_for(stack, left_behind), 60, "the writer waits")
        waits, holds = waiter.info.backend_pid, left_behind.info.backend_pid
        assert end_blocking_sessions(control, waits, siblings=[waits, holds]) == []
        assert end_blocking_sessions(control, waits, siblings=[waits]) == [holds]
        thread.join(60)
    for each in (control, left_behind, waiter):
        each.close()


def test_what_waits_is_dropped_when_the_writing_ends(stack: Stack) -> None:
    with lanes(stack) as made:
        made.submit(["a"], KafkaAway(failures=10**9))
        made.submit(["b"])
        wait_until(lambda: made.writing.retries > 1, 60, "an attempt that failed")
        made.writing.stop(30)
        assert (list(made.writing.outcomes), made.ledger(), made.stored()) == ([], 0, {})


def _waiting_for(stack: Stack, holder: Connection) -> bool:
    sql = "select count(*) from pg_stat_activity where %s = any(pg_blocking_pids(pid))"
    return bool(query(stack, sql, holder.info.backend_pid)[0]["count"])


def _lock(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.rollback()
