"""The ground that other tests stand on."""

from __future__ import annotations

from rtp_workers.kafka.topics import log_offsets
from rtp_workers.postgres.connection import connect
from tests.conftest import Stack


def test_a_stack_has_an_empty_topic_and_a_migrated_database_of_its_own(stack: Stack) -> None:
    assert log_offsets(stack.endpoints, stack.topic) == dict.fromkeys(range(6), (0, 0))
    connection = connect(stack.endpoints.need("postgres_read_dsn"), "test", autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute("select current_user, count(*) from transactions")
            assert cursor.fetchall() == [("rtp_read", 0)]
    finally:
        connection.close()
