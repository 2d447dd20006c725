"""Insights on a real PostgreSQL: computed for the days that were touched, as a role of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from rtp_dagster.definitions import defs
from rtp_dagster.insights.days import make_tables, opened
from rtp_dagster.platform import Platform
from rtp_workers.errors import AttentionError
from rtp_workers.postgres.connection import connect, translated
from rtp_workers.postgres.purge import Criteria, purge
from rtp_workers.postgres.roles import INSIGHTS
from tests.conftest import Stack
from tests.dagster_runs import evaluations, run_job, settings_of, tick
from tests.reading import query

INSERT = """
insert into transactions (transaction_id, occurred_at, amount, customer_id, category, currency, status, source,
                          kafka_partition, kafka_offset, ingested_at)
values (%s, %s, %s, 'c1', %s, %s, %s, 'live', 0, 0, {ingested_at})
"""
INSIGHTS_GROUP = dg.AssetSelection.groups("insights")
READ = "postgres_read_dsn"
HOURLY = {"dagster/schedule_name": "hourly_insight_checks"}
AGREE = "select day::text, currency, category, transactions, amount, refunds, declines from insights.daily_activity"


def store(stack: Stack, *rows: Sequence[Any], ingested_at: str = "now()") -> None:
    """Stores (id, day, amount, category, currency, status) as the consumer does it."""
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True)
    try:
        with connection.cursor() as cursor:
            for name, day, *values in rows:
                cursor.execute(INSERT.format(ingested_at=ingested_at), (name, f"{day}T10:00:00Z", *values))
    finally:
        connection.close()


def after_the_pause(found: Any) -> str:
    """Returns a tick's cursor as it is when the pause since then is over."""
    return json.dumps({**json.loads(found.cursor), "marked_at_s": 0})


def marked(found: Any) -> list[str]:
    return [event.partition for event in found.asset_events]


def compute(instance: dg.DagsterInstance, days: list[str]) -> None:
    """Computes these days in one run, as the automation does it."""
    instance.add_dynamic_partitions("days", days)
    span = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
    for name in ("daily_activity", "customer_activity"):
        result = dg.materialize([defs().resolve_assets_def(name)], instance=instance, tags=span)
        assert result.success


def agree() -> dict[str, bool]:
    return {name: found.passed for name, found in evaluations(run_job("check_insights")).items()}


def test_days_are_marked_computed_and_marked_again_only_when_they_are_touched(stack: Stack) -> None:
    store(
        stack,
        ("a", "2026-01-01", "10.50", "food", "EUR", "completed"),
        ("b", "2026-01-01", "-2.25", "food", "EUR", "refunded"),
        ("c", "2026-01-01", "5", None, None, "declined"),
        ("d", "2026-01-02", "7", "food", "EUR", None),
    )
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack):
        first = tick("insights_sensor", instance=instance)
        again = tick("insights_sensor", after_the_pause(first), instance=instance)
        compute(instance, marked(first))
        store(stack, ("e", "2026-01-02", "1", "food", "EUR", None))
        late = tick("insights_sensor", after_the_pause(again), instance=instance)
        compute(instance, marked(late))
        purge(stack.endpoints.need("postgres_dsn"), Criteria(ids=("a",)))
        purged = tick("insights_sensor", after_the_pause(late), instance=instance)
        compute(instance, marked(purged))
    assert marked(first) == ["2026-01-01", "2026-01-02"]
    assert marked(again) == []
    assert marked(late) == ["2026-01-02"]
    assert marked(purged) == ["2026-01-01"]
    rows = {(row["day"], row["currency"], row["category"]): row for row in query(stack, AGREE, dsn=READ)}
    food = rows["2026-01-01", "EUR", "food"]
    assert (food["transactions"], str(food["amount"]), food["refunds"]) == (1, "-2.25", 1)
    assert rows["2026-01-01", "", ""]["declines"] == 1
    assert rows["2026-01-02", "EUR", "food"]["transactions"] == 2
    customers = query(stack, "select sum(transactions) as n from insights.customer_activity", dsn=READ)
    assert customers[0]["n"] == 4


def test_while_records_flow_days_are_marked_at_intervals_and_none_is_forgotten(stack: Stack) -> None:
    with settings_of(stack):
        store(stack, ("a", "2026-04-01", "1", "x", "EUR", None))
        first = tick("insights_sensor")
        store(stack, ("b", "2026-04-02", "1", "x", "EUR", None))
        paused = tick("insights_sensor", first.cursor)
        later = tick("insights_sensor", after_the_pause(first))
        idle = tick("insights_sensor", after_the_pause(later))
        store(stack, ("c", "2026-04-03", "1", "x", "EUR", None))
        at_once = tick("insights_sensor", idle.cursor)
    assert marked(first) == ["2026-04-01"]
    assert "the next look is in" in str(paused.skip_message)
    assert (paused.asset_events, paused.cursor) == ([], first.cursor)
    assert marked(later) == ["2026-04-02"]
    assert (marked(idle), marked(at_once)) == ([], ["2026-04-03"]), "what comes after a quiet time does not wait"


def test_the_first_look_at_a_large_table_takes_several_ticks_and_forgets_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtp_dagster.insights.days.PIECE_BLOCKS", 1)
    many = [(f"{day}-{n}", f"2026-05-0{day}", "1", "x", "EUR", None) for day in (1, 2, 3) for n in range(60)]
    cursor, skipped = None, []
    with settings_of(stack):
        store(stack, *many)
        while True:
            found = tick("insights_sensor", cursor)
            if found.asset_events:
                break
            skipped.append(str(found.skip_message))
            cursor = found.cursor
            if len(skipped) == 1:
                store(stack, ("late", "2026-05-09", "1", "x", "EUR", None))
        later = tick("insights_sensor", after_the_pause(found))
    assert len(skipped) > 1
    assert all("of transactions for the first time" in text for text in skipped)
    assert marked(found)[:3] == ["2026-05-01", "2026-05-02", "2026-05-03"], "each day is marked once, at the end"
    assert "2026-05-09" in marked(found) + marked(later)


def test_rows_of_a_transaction_that_was_open_during_a_tick_are_found_by_the_next(stack: Stack) -> None:
    open_one = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test")
    with settings_of(stack):
        with open_one.cursor() as cursor:
            row = ("a", "2026-03-01T10:00:00Z", "1", "x", "EUR", None)
            cursor.execute(INSERT.format(ingested_at="now()"), row)
        store(stack, ("b", "2026-03-02", "1", "x", "EUR", None))
        during = tick("insights_sensor")
        open_one.commit()
        open_one.close()
        after = tick("insights_sensor", after_the_pause(during))
        quiet = tick("insights_sensor", after_the_pause(after))
    assert marked(during) == ["2026-03-02"]
    assert "2026-03-01" in marked(after)
    assert marked(quiet) == []


def test_the_checks_find_a_wrong_and_a_missing_day(stack: Stack) -> None:
    old = "now() - interval '2 hours'"
    store(
        stack, ("a", "2026-01-01", "1", "x", "EUR", None), ("b", "2026-01-02", "1", "x", "EUR", None), ingested_at=old
    )
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack):
        assert agree() == {"sums_agree": True, "no_day_is_missing": False}
        compute(instance, ["2026-01-01", "2026-01-02"])
        assert agree() == {"sums_agree": True, "no_day_is_missing": True}
        wrong = "set amount = 9, computed_at = now() - interval '1 hour' where day = '2026-01-01' returning 1"
        query(stack, f"update insights.daily_activity {wrong}", dsn="postgres_insights_dsn")
        assert agree() == {"sums_agree": False, "no_day_is_missing": True}


def test_an_hourly_run_on_a_large_table_compares_some_days_until_one_is_wrong(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtp_dagster.transactions.counting.COUNTED_ROWS", -1)
    monkeypatch.setattr("rtp_dagster.insights.days.DRAWN_ROWS", 1)
    days = [f"2026-01-0{n}" for n in range(1, 7)]
    rows = [(day, day, "1", "x", "EUR", None) for day in days]
    store(stack, *rows, ingested_at="now() - interval '2 hours'")
    wrong = "set amount = 9, computed_at = now() - interval '1 hour' where day <> '2026-01-06' returning 1"
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack):

        def passed(**tags: str) -> tuple[bool, int]:
            found = evaluations(run_job("check_insights", instance=instance, tags=tags))
            compared = found["sums_agree"].metadata.get("days_compared")
            return all(each.passed for each in found.values()), 6 if compared is None else int(str(compared.value))

        compute(instance, days)
        assert passed(**HOURLY) == (True, 6), "the first time, all days are compared"
        assert passed(**HOURLY) == (True, 1)
        query(stack, f"update insights.daily_activity {wrong}", dsn="postgres_insights_dsn")
        tries = [passed(**HOURLY) for _ in range(8)]
    assert (False, 1) in tries, "a wrong day is drawn sooner or later"
    assert tries[-1] == (False, 6), "after a failure, all days are compared"


@pytest.mark.parametrize("statement", ["delete from transactions", "select * from dead_letters", "create table t ()"])
def test_the_role_of_the_insights_writes_nothing_else(stack: Stack, statement: str) -> None:
    connection = connect(stack.endpoints.need("postgres_insights_dsn"), "rtp-test", autocommit=True)
    try:
        assert connection.info.user == INSIGHTS
        with pytest.raises(AttentionError), translated("try"), connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def test_two_make_the_tables_at_once(stack: Stack) -> None:
    def make() -> None:
        with opened(Platform()) as connection:
            make_tables(connection)

    with settings_of(stack):
        threads = [threading.Thread(target=make) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        make()
    assert query(stack, "select count(*) as n from insights.daily_activity", dsn=READ)[0]["n"] == 0


def test_a_day_is_requested_by_its_automation_condition_when_it_is_new_and_when_it_is_touched_again(
    stack: Stack,
) -> None:
    wanted = dg.AssetKey("daily_activity")
    with dg.DagsterInstance.ephemeral() as instance, settings_of(stack):
        instance.add_dynamic_partitions("days", ["2026-01-01", "2026-01-02"])
        new = evaluate(instance)
        assert new.get_requested_partitions(wanted) == {"2026-01-01", "2026-01-02"}
        compute(instance, ["2026-01-01", "2026-01-02"])
        quiet = evaluate(instance, new.cursor)
        assert quiet.total_requested == 0
        instance.report_runless_asset_event(dg.AssetMaterialization("touched_days", partition="2026-01-02"))
        touched = evaluate(instance, quiet.cursor)
        assert touched.get_requested_partitions(wanted) == {"2026-01-02"}


def evaluate(instance: dg.DagsterInstance, cursor: Any = None) -> dg.EvaluateAutomationConditionsResult:
    return dg.evaluate_automation_conditions(
        defs=defs(), instance=instance, asset_selection=INSIGHTS_GROUP, cursor=cursor
    )
