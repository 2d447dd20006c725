"""Whatever a consumer may get wrong, the comparison at the end of a soak names it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.records import body
from tests.soak.feed import Sent
from tests.soak.model import Letter, Log, Row, Senders, Stored, compare

ONE, OTHER = Decimal("1.01"), Decimal("1.02")
FIRST = Sent(body("feed-1", amount="1.01"), "feed-1", ONE)
CONTRADICTING = Sent(body("feed-1", amount="1.02"), "feed-1", OTHER)
BROKEN = Sent(b"not JSON")
# By kafka_partition and kafka_offset; 0 3 and 1 2 are markers of transactions, 1 3 was aborted.
FED = {(0, 0): FIRST, (0, 1): FIRST, (1, 0): CONTRADICTING, (1, 1): BROKEN}
VALUES = {at: sent.value for at, sent in FED.items()} | {
    (0, 2): body("upstream-0-0", amount="0.05"),
    (1, 4): body("T1", amount="5"),
    (1, 5): body("T1", amount="5.00"),
}
LOG = Log(VALUES, {0: 4, 1: 6})
SENDERS = Senders(FED, {"T1": Decimal(5)}, {"upstream-0-0": Decimal("0.05")}, {"upstream-1-0"})
ROWS = [Row("feed-1", ONE, (0, 0)), Row("upstream-0-0", Decimal("0.05"), (0, 2)), Row("T1", Decimal(5), (1, 4))]
LETTERS = [
    Letter((1, 0), CONTRADICTING.value, "conflicting_duplicate"),
    Letter((1, 1), BROKEN.value, "not_json"),
]
SUMS = {"inserted": 3, "duplicates": 2, "dead_lettered": 2, "skipped": 3}
STORED = Stored(ROWS, LETTERS, SUMS, LOG.ends)


def test_nothing_differs_where_every_offset_is_accounted_for() -> None:
    assert compare(LOG, SENDERS, STORED) == []


def test_either_of_two_contradicting_records_in_two_partitions_may_be_the_row() -> None:
    rows = [Row("feed-1", OTHER, (1, 0)), *ROWS[1:]]
    letters = [replace(LETTERS[0], at=at, value=FIRST.value) for at in ((0, 0), (0, 1))] + LETTERS[1:]
    sums = {**SUMS, "duplicates": 1, "dead_lettered": 3}
    assert compare(LOG, SENDERS, replace(STORED, rows=rows, letters=letters, sums=sums)) == []


STORED_WRONG = {
    "missing rows": replace(STORED, rows=ROWS[1:]),
    "unexpected rows": replace(STORED, rows=[*ROWS, Row("feed-9", ONE, (0, 3))]),
    "rows with the same id": replace(STORED, rows=[*ROWS, ROWS[0]]),
    "rows that are not the first": replace(STORED, rows=[replace(ROWS[0], at=(0, 1)), *ROWS[1:]]),
    "rows that are": replace(STORED, rows=[replace(ROWS[0], amount=Decimal(9)), *ROWS[1:]]),
    "missing dead letters": replace(STORED, letters=LETTERS[1:]),
    "unexpected dead letters": replace(STORED, letters=[*LETTERS, replace(LETTERS[1], at=(0, 1))]),
    "of another value": replace(STORED, letters=[LETTERS[0], replace(LETTERS[1], value=b"not")]),
    "of another value or reason": replace(STORED, letters=[replace(LETTERS[0], reason="not_json"), LETTERS[1]]),
    "duplicates is 3": replace(STORED, sums={**SUMS, "duplicates": 3}),
    "skipped is 2": replace(STORED, sums={**SUMS, "skipped": 2}),
    "ledger ends": replace(STORED, ends={0: 4, 1: 5}),
}


@pytest.mark.parametrize("said", STORED_WRONG)
def test_what_postgres_has_wrong_is_named(said: str) -> None:
    assert said in "\n".join(compare(LOG, SENDERS, STORED_WRONG[said]))


WRONG_SENDERS = {
    "acknowledged, but not": replace(SENDERS, accepted={**FED, (0, 9): FIRST}),
    "sent by nobody": replace(SENDERS, accepted={at: FED[at] for at in FED if at != (0, 1)}),
    "committed, but not": replace(SENDERS, committed={"upstream-7-0": ONE}),
    "aborted, but": replace(SENDERS, aborted={"upstream-0-0"}),
    "in a file, but not": replace(SENDERS, loaded={**SENDERS.loaded, "T2": ONE}),
    "of another amount": replace(SENDERS, loaded={"T1": Decimal(6)}),
}


@pytest.mark.parametrize("said", WRONG_SENDERS)
def test_what_kafka_has_wrong_is_named(said: str) -> None:
    assert said in "\n".join(compare(LOG, WRONG_SENDERS[said], STORED))
