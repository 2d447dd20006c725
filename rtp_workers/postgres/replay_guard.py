"""Keeps replayed dead letters from bringing back what a purge deletes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from rtp_workers.counted import counted
from rtp_workers.errors import TransientError
from rtp_workers.postgres.connection import Connection, translated
from rtp_workers.postgres.dead_letters import ReplayRunningError, replay_locked

POLL_S = 0.25

_PLACES = """
select kafka_partition, max(next_offset) from ingest_ledger where topic_id = %s and closed_at is null
group by kafka_partition
"""
_ANY_REPLAYED = "select exists (select from dead_letters where replayed_at is not null)"


@dataclass(frozen=True, slots=True)
class LogEnds:
    """Where the topic ends now: after the last record of any load and any replay."""

    topic_id: str | None = None
    next_offsets: Mapping[int, int] = field(default_factory=dict)


@contextmanager
def no_replay(connection: Connection, deadline: float) -> Iterator[None]:
    """Waits for a running replay to end, then keeps others from beginning.

    Args:
        connection: the session that holds the lock.
        deadline: how long to wait, as a value of `time.monotonic`.

    Raises:
        TransientError: the replay still runs at the deadline.
    """
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(replay_locked(connection))
                break
            except ReplayRunningError as error:
                if time.monotonic() > deadline:
                    raise TransientError(
                        "a replay of dead letters is still running, and could bring back what is purged; nothing was "
                        "deleted. Run the purge again when the replay is done, or with a longer --timeout"
                    ) from error
            time.sleep(POLL_S)
        yield


def await_replayed(connection: Connection, ends: Callable[[], LogEnds], deadline: float) -> None:
    """Waits until the consumer has passed the topic's present end, if any dead letter was ever sent again.

    The replayed record may belong to any customer: a repair can have changed it.

    Raises:
        TransientError: the consumer has not got there by the deadline.
    """
    with translated("look for replayed dead letters"), connection.cursor() as cursor:
        cursor.execute(_ANY_REPLAYED)
        if not cursor.fetchall()[0][0]:
            return
    now = ends()
    if now.topic_id is None:
        return
    await_records(lambda: behind(connection, {str(now.topic_id): now.next_offsets}), deadline, "topic")


def await_records(waiting: Callable[[], int], deadline: float, origin: str) -> None:
    """Waits until no record is on its way to PostgreSQL any more.

    Args:
        waiting: returns how many are.
        deadline: how long to wait, as a value of `time.monotonic`.
        origin: what the records belong to, for the message.

    Raises:
        TransientError: some still are at the deadline.
    """
    while records := waiting():
        if time.monotonic() > deadline:
            what = counted(records, f"record of the {origin} is", f"records of the {origin} are")
            raise TransientError(
                f"{what} not in PostgreSQL yet, and could bring back what is purged; nothing was deleted. Is the "
                "consumer running (`rtp status`)? Then try again, with a longer --timeout if it has much to do"
            )
        time.sleep(POLL_S)


def behind(connection: Connection, wanted: Mapping[str, Mapping[int, int]]) -> int:
    """Returns how many offsets the ledger has not passed yet.

    Args:
        connection: any role that may read the ledger.
        wanted: topic id -> kafka_partition -> the offset that the ledger should have reached.
    """
    records = 0
    with translated("read the ledger"), connection.cursor() as cursor:
        for topic_id, places in wanted.items():
            cursor.execute(_PLACES, (topic_id,))
            stored = dict(cursor.fetchall())
            records += sum(max(0, end - stored.get(number, 0)) for number, end in places.items())
    return records
