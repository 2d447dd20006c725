"""The comparison of a snapshot with the log: pure, so every disagreement can be tried."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rtp_workers.postgres.account import Account, LedgerRow, Snapshot
from rtp_workers.postgres.control import Hole
from rtp_workers.reconcile.balance import lag
from rtp_workers.reconcile.verify import compare

NOW, EARLIER = "topic-now", "topic-deleted"
ROWS = [
    LedgerRow(EARLIER, 0, "transactions", "g", 0, 5, inserted=4, duplicates=0, dead_lettered=1, skipped=0),
    LedgerRow(NOW, 0, "transactions", "g", 100, 110, inserted=7, duplicates=1, dead_lettered=1, skipped=1),
    LedgerRow(NOW, 1, "transactions", "g", 0, 3, inserted=3, duplicates=0, dead_lettered=0, skipped=0),
]
LOG = {0: (105, 110), 1: (0, 3), 2: (0, 0)}
GOOD = Snapshot(
    account=Account(ROWS, purged_rows=2),
    rows={0: 9, 1: 3},
    foreign_rows=0,
    dead_letters={(EARLIER, 0): 1, (NOW, 0): 1},
    broken_keys=[],
    open_holes=[],
)


def edited(**counters: Any) -> Account:
    """Returns the account with the last ledger row's counters changed."""
    return Account([*ROWS[:2], replace(ROWS[2], **counters)], purged_rows=2)


def problems(found: Snapshot, log: dict[int, tuple[int, int]] | None = None) -> list[str]:
    verification = compare(found, NOW, log or LOG, log or LOG)
    assert verification.ok is (not verification.problems)
    return verification.problems


def test_what_agrees_is_ok_and_counts_the_topic_as_it_is_now() -> None:
    found = compare(GOOD, NOW, LOG, LOG)
    assert found.problems == []
    assert (found.kafka_records, found.rows) == (13, 12)
    assert (found.inserted, found.duplicates, found.dead_lettered, found.skipped) == (10, 1, 1, 1)


@pytest.mark.parametrize(
    ("damaged", "expected"),
    [
        (replace(GOOD, rows={0: 8, 1: 3}), "1 were deleted by something other"),
        (replace(GOOD, rows={0: 9, 1: 4}), "1 were written by something other"),
        (replace(GOOD, rows={0: 8, 1: 4}), "partition 1: 4 rows, but only 3 were inserted"),
        (replace(GOOD, account=Account(ROWS, purged_rows=1)), "transactions has 12 rows, the ledger says 13"),
        (replace(GOOD, dead_letters={(NOW, 0): 1}), "dead_letters has 1 rows, the ledger says 2"),
        (replace(GOOD, dead_letters={(NOW, 0): 2}), "more dead letters (2) than the ledger has"),
        (replace(GOOD, foreign_rows=1), "1 rows come from offsets that no ledger row covers"),
        (replace(GOOD, broken_keys=["transactions"]), "the primary key of transactions"),
        (replace(GOOD, open_holes=[Hole(NOW, 1, 0, 3, 9)]), "offsets 3 to 9"),
        (replace(GOOD, account=edited(skipped=1)), "3 offsets, but 4 accounted for"),
        (replace(GOOD, account=edited(inserted=2, skipped=1)), "the ledger says 11"),
    ],
)
def test_a_disagreement_is_named(damaged: Snapshot, expected: str) -> None:
    assert any(expected in problem for problem in problems(damaged)), problems(damaged)


def test_a_hole_of_a_deleted_topic_needs_nobody() -> None:
    assert problems(replace(GOOD, open_holes=[Hole(EARLIER, 0, 0, 5, 9)])) == []


def test_records_that_are_not_in_the_ledger_are_told_by_partition() -> None:
    found = compare(GOOD, NOW, {0: (105, 112), 1: (0, 3), 2: (4, 9)}, {0: (105, 112), 1: (0, 3), 2: (4, 9)})
    assert [problem.split(" up to")[0] for problem in found.problems] == [
        "partition 0: 2 records",
        "partition 2: 5 records",
    ]
    assert found.kafka_records == 20


def test_a_ledger_beyond_the_end_of_the_log_is_a_problem() -> None:
    assert "beyond the log's end 108" in problems(GOOD, {0: (100, 108), 1: (0, 3)})[0]


def test_a_stream_that_went_on_during_the_comparison_is_none() -> None:
    found = compare(GOOD, NOW, {0: (100, 104), 1: (0, 3)}, {0: (100, 200), 1: (0, 3)})
    assert found.problems == []
    assert found.kafka_records == found.inserted + found.duplicates + found.dead_lettered + found.skipped


def test_lag_without_a_ledger_row_counts_from_the_start_of_the_log() -> None:
    assert lag(Account(ROWS), NOW, {0: (105, 112), 2: (4, 9)}) == {0: 2, 2: 5}
