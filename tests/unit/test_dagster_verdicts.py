"""What the checks and sensors make of figures."""

from __future__ import annotations

from typing import Any

import pytest
from dagster import AssetCheckSeverity, AssetMaterialization

from rtp_dagster.backfill.ledger_wait import waiting_records
from rtp_dagster.platform import Look
from rtp_dagster.ticks import read_cursor
from rtp_dagster.transactions.live import live_events
from rtp_dagster.transactions.measures.lag import Lag, next_offsets
from rtp_dagster.transactions.measures.moment import LedgerAndLog, Quiet
from rtp_dagster.transactions.verdicts import (
    judge_balance,
    judge_dead_letters,
    judge_freshness,
    judge_kafka,
    judge_keys,
    judge_lag,
)
from rtp_dagster.verdict import REPEAT_S, is_news
from rtp_workers.postgres.account import Account, Counted, LedgerRow
from rtp_workers.postgres.recent import Recent
from rtp_workers.settings import DagsterSettings

LIMITS: dict[str, Any] = {
    "alert_lag_records": 100,
    "alert_lag_s": 60,
    "alert_quiet_s": 300,
    "alert_dead_letter_ratio": 0.01,
}
SETTINGS = DagsterSettings(**LIMITS)


def row(
    number: int, next_offset: int, *, inserted: int | None = None, topic_id: str = "now", first: int = 0
) -> LedgerRow:
    count = next_offset - first if inserted is None else inserted
    return LedgerRow(topic_id, number, "transactions", "g", first, next_offset, count, 0, 0, 0)


def look(log: dict[int, tuple[int, int]], *rows: LedgerRow) -> Look:
    return Look("now", log, Account(list(rows)))


def test_lag_counts_from_the_ledger_and_from_the_logs_start_where_there_is_none() -> None:
    found = look({0: (0, 10), 1: (5, 9), 2: (0, 7)}, row(0, 4), row(2, 7), row(1, 9, topic_id="before"))
    assert found.lag == {0: 6, 1: 4, 2: 0}
    assert next_offsets(found) == {0: 4, 1: 5}


def test_the_balance_holds_over_history_and_purges() -> None:
    verdict = judge_balance(Counted(Account([row(0, 10), row(0, 5, topic_id="before")], 3), 12, 0), SETTINGS)
    assert verdict.passed
    assert verdict.metadata["rows_missing"] == 0


@pytest.mark.parametrize(
    ("counted", "word"),
    [
        (Counted(Account([row(0, 10)]), 9, 0), "9 rows, the ledger says 10"),
        (Counted(Account([row(0, 10)]), 11, 0), "11 rows, the ledger says 10"),
        (Counted(Account([row(0, 10, inserted=9)]), 9, 0), "10 offsets, but 9 accounted for"),
        (Counted(Account([row(0, 10)]), 10, 2), "dead_letters has 2 rows, the ledger says 0"),
    ],
    ids=["row deleted", "row added", "ledger edited", "dead letter added"],
)
def test_the_balance_names_what_does_not_agree(counted: Counted, word: str) -> None:
    verdict = judge_balance(counted, SETTINGS)
    assert not verdict.passed
    assert verdict.severity is AssetCheckSeverity.ERROR
    assert word in verdict.sentence


def test_a_ledger_inside_the_log_matches_kafka_though_the_stream_moved_on_meanwhile() -> None:
    assert judge_kafka(LedgerAndLog(look({0: (0, 10)}, row(0, 12)), {0: (0, 13)}), SETTINGS).passed


def test_a_ledger_beyond_the_log_or_before_its_start_does_not_match_kafka() -> None:
    assert (
        "beyond the log's end 10"
        in judge_kafka(LedgerAndLog(look({0: (0, 10)}, row(0, 12)), {0: (0, 10)}), SETTINGS).sentence
    )
    hole = judge_kafka(LedgerAndLog(look({0: (8, 10)}, row(0, 5)), {0: (8, 10)}), SETTINGS)
    assert not hole.passed
    assert "offsets 5 to 8" in hole.sentence


def test_a_broken_key_is_an_error_that_names_the_table() -> None:
    assert judge_keys([], SETTINGS).passed
    verdict = judge_keys(["transactions"], SETTINGS)
    assert (verdict.passed, verdict.severity) == (False, AssetCheckSeverity.ERROR)
    assert "transactions" in verdict.sentence


def test_a_quiet_source_warns_and_a_stuck_consumer_is_an_error() -> None:
    assert judge_freshness(Quiet(300.0, 5), SETTINGS).passed
    quiet, stuck = judge_freshness(Quiet(301.0, 0), SETTINGS), judge_freshness(Quiet(301.0, 5), SETTINGS)
    assert (quiet.passed, quiet.severity) == (False, AssetCheckSeverity.WARN)
    assert (stuck.passed, stuck.severity) == (False, AssetCheckSeverity.ERROR)
    assert not judge_freshness(Quiet(None, 0), SETTINGS).passed


def test_dead_letters_warn_above_the_limit_and_are_an_error_at_ten_times_it() -> None:
    assert judge_dead_letters(Recent(300, 99, 1, {"not_json": 1}), SETTINGS).passed
    assert judge_dead_letters(Recent(300, 0, 0, {}), SETTINGS).passed
    warned = judge_dead_letters(Recent(300, 95, 5, {}), SETTINGS)
    assert (warned.passed, warned.severity) == (False, AssetCheckSeverity.WARN)
    flooded = judge_dead_letters(Recent(300, 80, 20, {}), SETTINGS)
    assert (flooded.passed, flooded.severity) == (False, AssetCheckSeverity.ERROR)


def test_lag_alerts_by_records_or_by_time_and_recovers_below_both() -> None:
    assert judge_lag(Lag({0: 60, 1: 40}, {0: 1.0}), SETTINGS).passed
    assert not judge_lag(Lag({0: 60, 1: 41}, {0: 1.0}), SETTINGS).passed
    late = judge_lag(Lag({0: 1}, {0: 60.0}), SETTINGS)
    assert not late.passed
    assert late.metadata["lag_s"] == 60.0
    assert late.metadata["lag_records_partition_0"] == 1


def test_a_failure_is_told_at_every_tick_and_a_pass_when_it_is_new_or_an_hour_old() -> None:
    good, bad = judge_keys([], SETTINGS), judge_keys(["transactions"], SETTINGS)
    assert is_news(good, None, 0)
    assert not is_news(good, True, 1)
    assert is_news(bad, True, 1)
    assert is_news(bad, False, 1)
    assert is_news(good, False, 1)
    assert is_news(good, True, REPEAT_S + 1)


def test_a_load_waits_for_its_own_last_offsets_of_its_own_topic() -> None:
    account = Account([row(0, 10), row(1, 5), row(2, 99, topic_id="before")])
    assert waiting_records(account, "now", {0: 9, 1: 5, 2: 0}) == {1: 1, 2: 1}
    assert waiting_records(account, "now", {0: 9, 1: 4}) == {}


@pytest.mark.parametrize("text", [None, "", "[]", "not json", "7"])
def test_a_cursor_that_is_not_ours_is_an_empty_one(text: str | None) -> None:
    assert read_cursor(text) == {}


def test_what_came_live_is_told_by_source_with_rate_and_share() -> None:
    (event,) = live_events({"csv": 60, "live": 30, "api": 10}, 20.0)
    assert isinstance(event, AssetMaterialization)
    figures = {name: value.value for name, value in event.metadata.items() if name != "by_source"}
    assert figures == {"rows": 40, "rows_per_s": 2.0, "share": 0.4, "seconds": 20.0, "rows_live": 30, "rows_api": 10}
    assert live_events({"csv": 60}, 20.0) == live_events({}, 0.0) == []
