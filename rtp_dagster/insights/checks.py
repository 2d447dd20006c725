"""Checks that the insights agree with `transactions`.

Runs that start by themselves compare a large table only for some days, drawn at random, with about as many rows however
large the table is. A run that a person starts, or one after a failure, compares all days in one pass over the table.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from rtp_dagster.by_itself import last_evaluation, starts_by_itself
from rtp_dagster.insights.days import Difference, differences, drawn_days, make_tables, opened
from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.retries import retried
from rtp_dagster.transactions.counting import is_large
from rtp_dagster.verdict import Verdict
from rtp_workers.postgres.account import read_account

DAILY = dg.AssetKey("daily_activity")
NAMES = ("sums_agree", "no_day_is_missing")
LATELY_S = 1800.0  # a day with rows newer than this may still wait for the sensor's pause, and for its run
SHOWN = 10


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "sums_agree", asset=DAILY, description="Count and sum of each day are those of transactions."
        ),
        dg.AssetCheckSpec("no_day_is_missing", asset=DAILY, description="Every day that has transactions is computed."),
    ]
)
def insights_agree(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
    """Compares each day or some days, except days that received rows in the last minutes."""
    with retried(context.op_execution_context.retry_number), opened(platform) as connection:
        make_tables(connection)
        days = drawn_days(connection) if _only_some(context, platform) else None
        found = differences(connection, LATELY_S, days)
    wrong, missing = [day for day in found if not day.missing], [day for day in found if day.missing]
    verdicts = {
        "sums_agree": judge(wrong, "differ from transactions"),
        "no_day_is_missing": judge(missing, "are missing"),
    }
    for name, verdict in verdicts.items():
        yield verdict.result({} if days is None else {"days_compared": len(days)}, asset=DAILY, check_name=name)


def _only_some(context: dg.AssetCheckExecutionContext, platform: Platform) -> bool:
    """Tells whether some days are enough: nobody has asked, the table is large, and the last evaluations passed."""
    if not starts_by_itself(context.op_execution_context.run.tags):
        return False
    with platform.reader(PROBE_S) as reader:
        if not is_large(read_account(reader)):
            return False
    last = [last_evaluation(context.instance, dg.AssetCheckKey(DAILY, name)) for name in NAMES]
    return all(evaluation is not None and evaluation.passed for evaluation in last)


def judge(days: Sequence[Difference], what: str) -> Verdict:
    """Passes if there are no such days; else fails and names the first ones. `what` says what is wrong with them."""
    if not days:
        return Verdict(True, f"no days {what}", metadata={"days": 0})
    each = ", ".join(f"{day.day} ({day.stored:,} of {day.transactions:,})" for day in days[:SHOWN])
    more = f" and {len(days) - SHOWN:,} more" if len(days) > SHOWN else ""
    remedy = "materialize these partitions of daily_activity and customer_activity"
    return Verdict(False, f"{len(days):,} days {what}: {each}{more}; {remedy}", metadata={"days": len(days)})
