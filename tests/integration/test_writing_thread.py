"""The writing thread on a real database."""

from __future__ import annotations

from rtp_workers.consumer.assignment import Assignment
from rtp_workers.consumer.state import Written
from rtp_workers.consumer.writing import WritingThread
from rtp_workers.errors import TransientError
from rtp_workers.postgres import ledger
from rtp_workers.postgres.batch import Batch, Span
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.connection import connect
from tests.conftest import Stack
from tests.waiting import wait_until


class KafkaAway:
    """A confirmation that fails a few times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self) -> None:
        if self.failures:
            self.failures -= 1
            raise TransientError("Kafka is away")


def test_rows_are_not_written_again_and_again_while_kafka_is_away(stack: Stack) -> None:
    """Each try would leave dead rows behind: what only Kafka can confirm is asked before the next one."""
    dsn = stack.endpoints.need("postgres_ingest_dsn")
    connection = connect(dsn, "rtp-test", autocommit=True)
    ledger.open_partitions(connection, ledger.Topic(stack.topic, "some-id", "some-group"), {0: 0})
    connection.close()
    writer, assignment = BatchWriter(dsn), Assignment()
    assignment.assigned([0])
    assignment.opened({0: ledger.Place(0, 0)})
    writing = WritingThread(writer, assignment)
    batch = Batch(stack.topic, "some-id", spans={0: Span(0, 5, assignment.epochs[0], skipped=5)})
    batch.confirm = KafkaAway(failures=5)
    try:
        writing.submit(batch)
        written = wait_until(lambda: writing.outcomes and writing.outcomes[0], 60, "the batch, written")
        assert isinstance(written, Written)
        assert writing.retries == 5
        assert writer.fast_batches == 2
    finally:
        writing.stop(5)
