"""What tests read back from PostgreSQL and Kafka, over connections of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from psycopg2.extras import RealDictCursor

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import log_offsets
from rtp_workers.postgres.connection import Connection, connect
from tests.conftest import Stack
from tests.waiting import wait_until

SUMS = ("inserted", "duplicates", "dead_lettered", "skipped")


@contextmanager
def connected(stack: Stack) -> Iterator[Connection]:
    """Opens a connection as the role that writes, and closes it at the end of the block."""
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True)
    try:
        yield connection
    finally:
        connection.close()


def query(stack: Stack, sql: str, *arguments: Any, dsn: str = "postgres_dsn") -> list[dict[str, Any]]:
    """Runs one statement as the owner (or another role) and returns its rows."""
    connection = connect(stack.endpoints.need(dsn), "rtp-test", autocommit=True)
    try:
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql, arguments)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        connection.close()


def execute(dsn: str, statement: str) -> list[tuple[object, ...]]:
    """Runs one statement over a connection of its own and returns its rows; none where it has no result."""
    connection = connect(dsn, "rtp-test", autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def end_sessions(stack: Stack) -> None:
    """Ends the consumers' database sessions: a database's owner may not end another role's, that role may."""
    query(
        stack,
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where usename = current_user and application_name = 'rtp-consumer' and datname = current_database()",
        dsn="postgres_ingest_dsn",
    )


def rows_by_id(stack: Stack) -> dict[str, dict[str, Any]]:
    """Returns every row of `transactions`."""
    return {row["transaction_id"]: row for row in query(stack, "select * from transactions")}


def dead_letters(stack: Stack) -> list[dict[str, Any]]:
    """Returns every dead letter, by partition and offset."""
    return query(stack, "select * from dead_letters order by topic_id, kafka_partition, kafka_offset")


def ledger_sums(stack: Stack) -> dict[str, int]:
    """Returns the ledger's four sums."""
    columns = ", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in SUMS)
    return query(stack, f"select {columns} from ingest_ledger")[0]  # noqa: S608 - fixed names


def ledger_reached_end(stack: Stack) -> bool:
    """Tells whether the ledger's offsets are at the end of every partition."""
    try:
        ends = {number: end for number, (_, end) in log_offsets(stack.endpoints, stack.topic).items()}
    except TransientError:
        return False  # a broker that has just come back
    stored = query(
        stack, "select kafka_partition, max(next_offset) as next from ingest_ledger where closed_at is null group by 1"
    )
    positions = {row["kafka_partition"]: row["next"] for row in stored}
    return all(positions.get(number, 0) == end for number, end in ends.items())


def wait_for_ledger(stack: Stack, timeout_s: float = 60) -> None:
    """Waits until everything in Kafka is accounted for, and checks that it balances with the tables."""
    wait_until(lambda: ledger_reached_end(stack), timeout_s=timeout_s, what="the ledger at the end of the topic")
    assert_balanced(stack)


def assert_balanced(stack: Stack) -> None:
    """Checks the ledger against the tables, in one snapshot."""
    found = query(
        stack,
        """
        select (select count(*) from transactions) as rows, (select count(*) from dead_letters) as letters,
               sum(inserted) as inserted, sum(dead_lettered) as dead_lettered,
               sum(next_offset - first_offset) as offsets, sum(inserted + duplicates + dead_lettered + skipped) as sums
        from ingest_ledger
        """,
    )[0]
    assert found["rows"] == (found["inserted"] or 0)
    assert found["letters"] == (found["dead_lettered"] or 0)
    assert found["offsets"] == found["sums"]


def messages(endpoints: Endpoints, topic: str) -> Iterator[Any]:
    """Yields every message of the topic as it is now, partition by partition; not those of aborted transactions."""
    options = {"bootstrap.servers": endpoints.need("kafka_bootstrap"), "group.id": "test-reader"}
    consumer = Consumer({**options, "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        for number, (start, end) in log_offsets(endpoints, topic).items():
            consumer.assign([TopicPartition(topic, number, start)])
            # A live log has no end to wait for; one that a transaction's marker ends has no message at its last offset.
            at = start
            while at < end and (message := _message(consumer)) is not None:
                at = message.offset() + 1
                if at <= end:
                    yield message
    finally:
        consumer.close()


def _message(consumer: Consumer) -> Any:
    """Returns the next message of the partition, None at its end."""
    message = consumer.poll(30)
    assert message is not None
    error = message.error()
    if error is None:
        return message
    assert error.code() == KafkaError._PARTITION_EOF, error
    return None
