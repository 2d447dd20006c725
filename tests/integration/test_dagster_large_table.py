"""A table that is too large for one count is counted in pieces, and what is wrong is still found."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.storage.tags import SCHEDULE_NAME_TAG

from rtp_workers.postgres.purge import Criteria, purge
from tests.conftest import Stack
from tests.dagster_runs import evaluations, run_job, settings_of, tick
from tests.programs import run_rtp
from tests.reading import query
from tests.records import body, produce

ROWS = 300
MOST_TICKS = 60
OLD = "update transactions set ingested_at = now() - interval '1 hour' returning 1"
HOURLY = {SCHEDULE_NAME_TAG: "hourly_checks"}


@pytest.fixture
def stored(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """300 rows in several blocks of the table; a piece is one block, and every table is large."""
    monkeypatch.setattr("rtp_workers.postgres.piecewise.PIECE_BLOCKS", 1)
    monkeypatch.setattr("rtp_dagster.transactions.counting.COUNTED_ROWS", 10)
    store(stack, "T", ROWS)
    query(stack, OLD)
    return stack


def store(stack: Stack, name: str, count: int) -> None:
    produce(stack, [body(f"{name}{number}") for number in range(count)])
    done = run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    assert done.returncode == 0, done.stderr


def counted(cursor: str | None, ticks: int = MOST_TICKS) -> tuple[dg.AssetCheckEvaluation | None, str | None, int]:
    """Ticks until `ledger_balances` is evaluated; returns that, the cursor, and how many ticks it took."""
    for number in range(ticks):
        found = tick("row_count_sensor", cursor)
        cursor = found.cursor
        for event in found.asset_events:
            if isinstance(event, dg.AssetCheckEvaluation) and event.check_name == "ledger_balances":
                return event, cursor, number + 1
    return None, cursor, ticks


def test_a_large_table_is_counted_in_pieces_whatever_comes_and_goes_meanwhile(stored: Stack) -> None:
    with settings_of(stored):
        first, cursor, ticks = counted(None)
        _, cursor, _ = counted(cursor, 2)  # a second count begins
        store(stored, "U", 5)
        purge(stored.endpoints.need("postgres_dsn"), Criteria(ids=("T1", "T299")))
        second, cursor, _ = counted(cursor)
    assert first is not None
    assert (first.passed, first.metadata["rows"].value) == (True, ROWS)
    assert ticks > 2
    assert second is not None
    assert (second.passed, second.metadata["rows_missing"].value) == (True, 0)
    # Rows that are younger than 20 s are left for the next count.
    assert second.metadata["rows"].value in (ROWS - 2, ROWS - 2 + 5)


def test_rows_that_somebody_deleted_from_a_large_table_are_missed_by_the_second_count(stored: Stack) -> None:
    with settings_of(stored):
        query(stored, "delete from transactions where transaction_id in ('T7', 'T8') returning 1")
        found, _, ticks = counted(None)
    assert found is not None
    assert (found.passed, found.metadata["rows_missing"].value) == (False, 2)
    assert "transactions had 298 rows" in str(found.description)
    assert ticks > 4, "one count that disagrees is not enough"


def test_a_run_that_starts_by_itself_relies_on_the_last_count_unless_that_has_failed(stored: Stack) -> None:
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stored):
        found, _, _ = counted(None)
        assert found is not None
        unknown = evaluations(run_job("check_transactions", instance=instance, tags=HOURLY))["ledger_balances"]
        instance.report_runless_asset_event(found)
        query(stored, "delete from transactions where transaction_id = 'T7' returning 1")
        hourly = evaluations(run_job("check_transactions", instance=instance, tags=HOURLY))["ledger_balances"]
        by_hand = evaluations(run_job("check_transactions", instance=instance))["ledger_balances"]
        after = evaluations(run_job("check_transactions", instance=instance, tags=HOURLY))["ledger_balances"]
    assert unknown.metadata["rows"].value == ROWS
    assert (hourly.passed, "counted in pieces" in str(hourly.description)) == (True, True)
    assert (by_hand.passed, by_hand.metadata["rows_missing"].value) == (False, 1)
    assert (after.passed, after.metadata["rows_missing"].value) == (False, 1)
