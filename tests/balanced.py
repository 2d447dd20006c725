"""A concurrent reader that holds the ledger to its word, snapshot after snapshot, while a test breaks things."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rtp_workers.errors import TransientError
from rtp_workers.postgres.connection import Connection, connect, translated
from tests.conftest import Stack

LOOK_EVERY_S = 0.05
REST = 3.0  # times as long as the last look took: tables may have grown large
BALANCE = """
select (select count(*) from transactions) - coalesce(sum(inserted), 0) as rows_off,
       (select count(*) from dead_letters) - coalesce(sum(dead_lettered), 0) as letters_off,
       coalesce(sum(next_offset - first_offset - inserted - duplicates - dead_lettered - skipped), 0) as offsets_off
from ingest_ledger
"""


class BalanceReader:
    """Looks at the ledger and the tables until stopped; while PostgreSQL is away it tries to connect again.

    Attributes:
        looks: snapshots taken.
        unbalanced: the differences of those in which something was off.
    """

    def __init__(self, stack: Stack) -> None:
        self.unbalanced: list[object] = []
        self.looks = 0
        self._dsn = stack.endpoints.need("postgres_read_dsn")
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()
        self._thread.join()
        self._disconnect()

    def _run(self) -> None:
        took_s = 0.0
        while not self._stopping.wait(max(LOOK_EVERY_S, REST * took_s)):
            started = time.monotonic()
            try:
                self._look()
            except TransientError:
                self._disconnect()
            took_s = time.monotonic() - started

    def _look(self) -> None:
        if self._connection is None:
            self._connection = connect(self._dsn, "rtp-test-reader", autocommit=True)
        with translated("read the ledger"), self._connection.cursor() as cursor:
            cursor.execute(BALANCE)
            row = cursor.fetchone()
        self.looks += 1
        if row is None or any(row):
            self.unbalanced.append(row)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def always_balanced(stack: Stack) -> Iterator[None]:
    """Checks that no snapshot taken meanwhile was unbalanced."""
    reader = BalanceReader(stack)
    try:
        yield
    finally:
        reader.stop()
    assert reader.looks > 0
    assert reader.unbalanced == []
