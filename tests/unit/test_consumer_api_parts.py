"""The plain parts of the consumer's API: ages from log ends, quantiles, the balance line, the CPU budget."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from rtp_workers.consumer import balance_line
from rtp_workers.consumer.api_pace import CpuBudget
from rtp_workers.consumer.api_status import letter_text, not_ready
from rtp_workers.consumer.log_ends import COARSE_EVERY_S, FINE_SAMPLES, LogEnds
from rtp_workers.consumer.state import ConsumerState, Histogram
from rtp_workers.consumer.watching import Watcher, cumulative, quantile
from rtp_workers.postgres.account import Account, LedgerRow, Snapshot
from rtp_workers.postgres.latest import LetterPreview


def test_a_record_waits_since_the_end_first_passed_it() -> None:
    ends = LogEnds()
    for second in range(10):
        ends.note(100.0 + second, {0: 10 * second})
    assert ends.waiting_s(0, 45, 110.0) == 110.0 - 105.0
    assert ends.waiting_s(0, 49, 110.0) == 5.0
    assert ends.waiting_s(0, 50, 110.0) == 4.0
    assert ends.waiting_s(0, 90, 110.0) == 0.0
    assert ends.waiting_s(7, 0, 110.0) == 0.0


def test_what_was_there_before_the_first_look_has_an_unknown_age() -> None:
    ends = LogEnds()
    ends.note(100.0, {0: 10})
    ends.note(101.0, {0: 20})
    assert ends.waiting_s(0, 9, 105.0) is None
    assert ends.waiting_s(0, 10, 105.0) == 4.0
    assert ends.watched_s(105.0) == 5.0


def test_ages_beyond_the_fine_samples_are_known_to_a_minute() -> None:
    ends = LogEnds()
    for sample in range(4 * FINE_SAMPLES):
        ends.note(sample / 2, {0: sample})
    now_s = 2.0 * FINE_SAMPLES
    waited = ends.waiting_s(0, 200, now_s)
    assert waited is not None
    assert abs(waited - (now_s - 100)) <= COARSE_EVERY_S
    exact = ends.waiting_s(0, 4 * FINE_SAMPLES - 100, now_s)
    assert exact is not None
    assert abs(exact - 50) <= 1


def test_lag_before_the_first_look_is_as_old_as_what_was_stored_last() -> None:
    state = ConsumerState(topic_id="a", positions={0: 5}, log={0: (0, 9)}, assigned={0})
    state.appended_at_s = time.monotonic() - 3_600
    watcher = Watcher(state)
    watcher.sample()
    assert watcher.now.lag_records == 4
    assert watcher.now.lag_s == pytest.approx(3_600, abs=5)
    state.positions = {0: 9}
    watcher.sample()
    assert (watcher.now.lag_records, watcher.now.lag_s) == (0, 0.0)


def test_a_topic_made_again_starts_with_no_memory_of_ages() -> None:
    state = ConsumerState(topic_id="a", positions={0: 0}, log={0: (0, 0)}, assigned={0})
    watcher = Watcher(state)
    watcher.sample()
    state.topic_id, state.log = "b", {0: (0, 4)}
    watcher.sample()
    assert watcher.lag_s(0, 0) < 1


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([10, 10, 0], 0.5, 1.0),
        ([0, 10, 0], 0.5, 1.5),
        ([0, 10, 0], 1.0, 2.0),
        ([0, 0, 3], 0.95, 2.0),
    ],
)
def test_a_quantile_is_linear_within_its_bucket(counts: list[int], share: float, expected: float | None) -> None:
    assert quantile((1.0, 2.0), counts, share) == expected


def test_prometheus_buckets_add_up_to_infinity() -> None:
    histogram = Histogram((1, 10))
    for value in (0.5, 1.0, 5.0, 50.0):
        histogram.observe(value)
    assert cumulative(histogram) == [("1.0", 2.0), ("10.0", 3.0), ("+Inf", 4.0)]


def row(**fields: Any) -> LedgerRow:
    values: dict[str, Any] = {"first_offset": 0, "inserted": 0, "duplicates": 0, "dead_lettered": 0, "skipped": 0}
    values |= fields
    accounted = sum(values[name] for name in ("inserted", "duplicates", "dead_lettered", "skipped"))
    values.setdefault("next_offset", values["first_offset"] + accounted)
    return LedgerRow(topic_id="a", kafka_partition=0, topic="t", group_id="g", **values)


def counted(rows: int, letters: int, ledger: list[LedgerRow], purged: int = 0) -> Snapshot:
    return Snapshot(Account(ledger, purged), {0: rows}, 0, {("a", 0): letters} if letters else {}, [], [])


def test_the_balance_says_what_was_compared() -> None:
    found = balance_line.of_snapshot(counted(90, 2, [row(inserted=100, duplicates=3, dead_lettered=2)], purged=10))
    assert found.balances
    assert found.counted
    assert "90 rows counted = 100 inserted − 10 purged" in found.says
    assert "105 offsets = 100 inserted + 3 duplicate + 2 dead-lettered + 0 skipped" in found.says


@pytest.mark.parametrize(
    "snapshot",
    [
        counted(99, 0, [row(inserted=100)]),
        counted(101, 0, [row(inserted=100)]),
        counted(100, 1, [row(inserted=100)]),
        counted(100, 0, [row(inserted=100, next_offset=101)]),
        Snapshot(Account([row(inserted=1)]), {0: 1}, 0, {}, ["transactions"], []),
    ],
)
def test_whatever_does_not_agree_is_said(snapshot: Snapshot) -> None:
    found = balance_line.of_snapshot(snapshot)
    assert not found.balances
    assert found.problems
    assert found.says.startswith(found.problems[0])


def test_tables_too_large_to_count_are_not_claimed_to_be_counted() -> None:
    found = balance_line.of_account(Account([row(inserted=5_000_000)], 7))
    assert found.balances
    assert not found.counted
    assert "4,999,993 rows, too many to count" in found.says
    assert not balance_line.of_account(Account([row(inserted=5, next_offset=6)])).balances


def test_readiness_names_every_reason() -> None:
    state = ConsumerState(settled_at=1.0)
    assert not_ready(state) is None
    state.problems = {"postgres": "is away", "hole:3": "records are gone"}
    state.paused = True
    reason = not_ready(state) or ""
    assert all(part in reason for part in ("is away", "records are gone"))
    state.problems = {}
    assert not_ready(state) is None, "a pause is wanted, and no trouble"
    assert not_ready(ConsumerState()) is not None


@pytest.mark.parametrize(
    ("value", "size", "text", "cut"),
    [
        (None, None, None, False),
        (b"", 0, "", False),
        (b"abc", 3, "abc", False),
        ("☃".encode() * 500, 1_500, "☃" * 500, False),
        ("☃".encode() * 501, 1_503, "☃" * 500, True),
        (b"x" * 2_000, 9_000, "x" * 500, True),
        (b"\xff\xff", 2, "��", False),
    ],
)
def test_the_preview_of_a_value_is_its_beginning(
    value: bytes | None, size: int | None, text: str | None, cut: bool
) -> None:
    found = json.loads(letter_text(LetterPreview(json.dumps({"value_bytes": size}), value)))
    assert (found["value"], found["value_cut"]) == (text, cut)


def test_the_budget_makes_wait_for_as_long_as_was_overspent() -> None:
    # So small a share that the time a busy machine takes to spend 0.1 CPU seconds refills next to nothing.
    budget = CpuBudget(share=0.001, burst_s=0.02)
    assert budget.missing_s() == 0
    spend_until = time.thread_time() + 0.1
    while time.thread_time() < spend_until:
        pass
    missing_s = budget.missing_s()
    assert 20 < missing_s < 200
