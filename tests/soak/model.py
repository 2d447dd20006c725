"""What the log and the senders say must be in PostgreSQL, compared with what is there; pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from tests.soak import upstream
from tests.soak.feed import Sent

At = tuple[int, int]  # kafka_partition, kafka_offset
EXAMPLES = 5
CONFLICT = "conflicting_duplicate"


@dataclass(frozen=True)
class Senders:
    """What those who sent know.

    Attributes:
        accepted: the feed's records, by where Kafka has acknowledged them.
        loaded: transaction_id -> amount of every valid row of every loaded file.
        committed: transaction_id -> amount, sent in transactions that were committed.
        aborted: transaction_id, sent in transactions that were aborted.
    """

    accepted: Mapping[At, Sent]
    loaded: Mapping[str, Decimal]
    committed: Mapping[str, Decimal]
    aborted: Collection[str]


@dataclass(frozen=True)
class Row:
    """A row of `transactions`, as far as it is compared."""

    transaction_id: str
    amount: Decimal
    at: At


@dataclass(frozen=True)
class Letter:
    """A row of `dead_letters`, as far as it is compared."""

    at: At
    value: bytes | None
    reason: str


@dataclass(frozen=True)
class Stored:
    """What PostgreSQL holds; `sums` and `ends` are the ledger's."""

    rows: list[Row]
    letters: list[Letter]
    sums: Mapping[str, int]
    ends: Mapping[int, int]


@dataclass(frozen=True)
class Log:
    """What Kafka holds: the value of every record that is not aborted, and the end of each partition."""

    values: Mapping[At, bytes | None]
    ends: Mapping[int, int]


def compare(log: Log, senders: Senders, stored: Stored) -> list[str]:
    """Returns what differs, a sentence each; nothing where every offset is accounted for as it must be."""
    valid, broken = _read(log, senders)
    rows = {row.transaction_id: row for row in stored.rows}
    wanted = {each.at for each in _contradicting(valid, rows)} | broken
    sums = {
        "inserted": len(valid),
        "duplicates": sum(len(group) for group in valid.values()) - len(valid) - (len(wanted) - len(broken)),
        "dead_lettered": len(wanted),
        "skipped": sum(log.ends.values()) - len(log.values),
    }
    letters = {letter.at: letter for letter in stored.letters}
    return [
        *_senders_problems(log, senders, valid, broken),
        *_differ("rows", rows, valid),
        *_repeated(stored.rows),
        *_misplaced(valid, rows),
        *_differ("dead letters", letters, wanted),
        *_altered(log, letters, broken),
        *(
            f"ledger: {name} is {stored.sums[name]}, not {sums[name]}"
            for name in sums
            if stored.sums[name] != sums[name]
        ),
        *([] if dict(stored.ends) == dict(log.ends) else [f"ledger ends at {stored.ends}, the log at {log.ends}"]),
    ]


def _read(log: Log, senders: Senders) -> tuple[dict[str, list[Row]], set[At]]:
    """Returns the valid records by id, in order, and where the others are."""
    valid: dict[str, list[Row]] = defaultdict(list)
    broken: set[At] = set()
    for at, value in sorted(log.values.items(), key=lambda item: item[0]):
        sent = senders.accepted.get(at) or _foreign(value)
        if sent.transaction_id is None or sent.amount is None:
            broken.add(at)
        else:
            valid[sent.transaction_id].append(Row(sent.transaction_id, sent.amount, at))
    return valid, broken


def _foreign(value: bytes | None) -> Sent:
    """Returns a record that is not the feed's: of a file or of a transaction, all of which are valid."""
    try:
        found = json.loads(value or b"", parse_float=Decimal)
        return Sent(value, found["transaction_id"], Decimal(found["amount"]))
    except (ValueError, TypeError, KeyError, InvalidOperation):
        return Sent(value)


def _contradicting(valid: Mapping[str, list[Row]], rows: Mapping[str, Row]) -> Iterable[Row]:
    """Yields the records whose id has a row of another content: which came first is the consumers' affair."""
    for transaction_id, group in valid.items():
        row = rows.get(transaction_id, group[0])
        yield from (each for each in group if each.amount != row.amount)


def _senders_problems(log: Log, senders: Senders, valid: Mapping[str, list[Row]], broken: Collection[At]) -> list[str]:
    lost = [at for at, sent in senders.accepted.items() if at not in log.values or log.values[at] != sent.value]
    amounts = {key: {row.amount for row in group} for key, group in valid.items()}
    missing = [key for key, amount in senders.committed.items() if amounts.get(key) != {amount}]
    unsent = [at for at in broken if at not in senders.accepted]
    unsent += [row.at for group in valid.values() for row in group if not _is_known(row, senders)]
    wrong = [key for key, amount in senders.loaded.items() if key in amounts and amounts[key] != {amount}]
    return [
        *_some("acknowledged, but not in the log as sent", lost),
        *_some("in the log, but sent by nobody", unsent),
        *_some("committed, but not in the log as sent", missing),
        *_some("aborted, but in the log", [key for key in senders.aborted if key in amounts]),
        *_some("in a file, but not in the log", [key for key in senders.loaded if key not in amounts]),
        *_some("of another amount than in the file", wrong),
    ]


def _is_known(row: Row, senders: Senders) -> bool:
    known = row.at in senders.accepted or row.transaction_id in senders.loaded
    return known or row.transaction_id.startswith(f"{upstream.PREFIX}-")


def _repeated(rows: list[Row]) -> list[str]:
    seen: dict[str, int] = defaultdict(int)
    for row in rows:
        seen[row.transaction_id] += 1
    return _some("rows with the same id", [key for key, count in seen.items() if count > 1])


def _misplaced(valid: Mapping[str, list[Row]], rows: Mapping[str, Row]) -> list[str]:
    """A row is one of its id's records; of those in the same partition, none comes before it."""
    wrong = []
    for transaction_id, row in rows.items():
        group = valid.get(transaction_id, [])
        if row not in group or any(each.at < row.at for each in group if each.at[0] == row.at[0]):
            wrong.append(f"{row}, of {group}")
    return _some("rows that are not the first of their records", wrong)


def _altered(log: Log, letters: Mapping[At, Letter], broken: Collection[At]) -> list[str]:
    wrong = [
        letter
        for at, letter in letters.items()
        if letter.value != log.values.get(at) or (letter.reason == CONFLICT) is (at in broken)
    ]
    return _some("dead letters of another value or reason", wrong)


def _differ(what: str, found: Collection[object], wanted: Collection[object]) -> list[str]:
    return [
        *_some(f"missing {what}", [each for each in wanted if each not in found]),
        *_some(f"unexpected {what}", [each for each in found if each not in wanted]),
    ]


def _some(what: str, found: Collection[object]) -> list[str]:
    """Returns one sentence with the first few of them, none where there are none."""
    examples = ", ".join(str(each) for each in list(found)[:EXAMPLES])
    return [f"{len(found)} {what}: {examples}"] if found else []
