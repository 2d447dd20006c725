"""Does the ledger balance? All judgements on the account, as pure functions. Each returns a sentence per disagreement.

Whoever shows it (`rtp verify`, the consumer's page, Dagster's checks) picks the comparisons for which it has figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rtp_workers.postgres.account import Account, Counted, LedgerRow, Snapshot
from rtp_workers.postgres.control import Hole

Log = Mapping[int, tuple[int, int]]  # kafka_partition -> (log start, end)
Now = Mapping[int, LedgerRow]  # the ledger rows of a topic as it is now, by kafka_partition


def tables(found: Snapshot) -> list[str]:
    """Compares the ledger and the tables in full. Kafka is not involved."""
    return [*offsets(found.account), *counts(found.counted), *origins(found), *keys(found.broken_keys)]


def offsets(account: Account) -> list[str]:
    """Compares the ledger's counters with its offsets."""
    return [
        f"topic {row.topic_id} partition {row.kafka_partition}: {row.offsets} offsets, but {row.accounted} accounted "
        "for: the ledger was edited"
        for row in account.ledger
        if row.offsets != row.accounted
    ]


def counts(found: Counted) -> list[str]:
    """Compares how many rows the tables hold with how many the ledger says."""
    compared = (
        ("transactions", found.rows, found.account.stored_rows),
        ("dead_letters", found.dead_letters, found.account.stored_dead_letters),
    )
    return [
        f"{table} has {held:,} rows, the ledger says {expected:,}: {_difference(held, expected)}"
        for table, held, expected in compared
        if held != expected
    ]


def origins(found: Snapshot) -> list[str]:
    """Compares where the rows came from with what the ledger has stored from there."""
    inserted: Counter[int] = Counter()
    dead_lettered: Counter[tuple[str, int]] = Counter()
    for row in found.account.ledger:
        inserted[row.kafka_partition] += row.inserted
        dead_lettered[row.topic_id, row.kafka_partition] += row.dead_lettered
    foreign = (
        f"{found.foreign_rows:,} rows come from offsets that no ledger row covers: something other than the consumer "
        "wrote them"
    )
    return [
        *([foreign] if found.foreign_rows else []),
        *(
            f"partition {number}: {held:,} rows, but only {inserted[number]:,} were inserted"
            for number, held in sorted(found.rows.items())
            if held > inserted[number]
        ),
        *(
            f"topic {place[0]} partition {place[1]}: more dead letters ({held:,}) than the ledger has"
            for place, held in sorted(found.dead_letters.items())
            if held > dead_lettered[place]
        ),
    ]


def keys(broken: Iterable[str]) -> list[str]:
    """Names the tables that could store an id twice."""
    return [
        f"the primary key of {table} is missing, invalid or on other columns: restore it at once" for table in broken
    ]


def behind(account: Account, topic_id: str, log: Log, reasons: Mapping[int, str]) -> list[str]:
    """Names the partitions whose records are not all in the ledger; `reasons` says why, by kafka_partition."""
    unknown = "is the consumer running and not paused? See `rtp status`"
    return [
        f"partition {number}: {left} records up to offset {log[number][1]} are not in the ledger; "
        + reasons.get(number, unknown)
        for number, left in sorted(lag(account, topic_id, log).items())
        if left
    ]


def beyond(now: Now, log_after: Log) -> list[str]:
    """Names the partitions of which more is stored than Kafka has; `log_after` was taken after the ledger."""
    ends = {number: log_after.get(number, (0, 0))[1] for number in now}
    return [
        f"partition {number}: the ledger is at {row.next_offset}, beyond the log's end {ends[number]}: "
        "Kafka has lost records that are stored, or the ledger was edited"
        for number, row in sorted(now.items())
        if row.next_offset > ends[number]
    ]


def holes(found: Iterable[Hole]) -> list[str]:
    """Names the records that can no longer be stored."""
    return [
        f"partition {hole.kafka_partition}: Kafka deleted offsets {hole.from_offset} to {hole.to_offset} before they "
        "were consumed; accept the loss with `rtp resume --accept-holes`"
        for hole in found
    ]


def unread(now: Now, log: Log) -> list[Hole]:
    """Returns the holes between the ledger and the start of the log, whether the consumer has noted them or not."""
    starts = {number: start for number, (start, _) in log.items()}
    return [
        Hole(row.topic_id, number, row.generation, row.next_offset, starts[number])
        for number, row in sorted(now.items())
        if row.next_offset < starts.get(number, 0)
    ]


def lag(account: Account, topic_id: str, log: Log) -> dict[int, int]:
    """Returns how many offsets of each partition are not in the ledger yet."""
    now = account.of_topic(topic_id)
    return {
        number: max(0, end - (now[number].next_offset if number in now else start))
        for number, (start, end) in log.items()
    }


def _difference(held: int, expected: int) -> str:
    if held < expected:
        return f"{expected - held:,} were deleted by something other than `rtp purge`"
    return f"{held - expected:,} were written by something other than the consumer"
