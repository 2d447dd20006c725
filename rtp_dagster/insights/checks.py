"""Checks that the insights agree with `transactions`. At 50M rows: one pass over the table, about ten seconds."""

from collections.abc import Iterator, Sequence

import dagster as dg

from rtp_dagster.insights.days import Difference, differences, make_tables, opened
from rtp_dagster.platform import Platform
from rtp_dagster.retries import retried
from rtp_dagster.verdict import Verdict

DAILY = dg.AssetKey("daily_activity")
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
    """Compares each day, except days that received rows in the last minutes."""
    with retried(context.op_execution_context.retry_number), opened(platform) as connection:
        make_tables(connection)
        found = differences(connection, LATELY_S)
    wrong, missing = [day for day in found if not day.missing], [day for day in found if day.missing]
    verdicts = {
        "sums_agree": judge(wrong, "differ from transactions"),
        "no_day_is_missing": judge(missing, "are missing"),
    }
    for name, verdict in verdicts.items():
        yield verdict.result(asset=DAILY, check_name=name)


def judge(days: Sequence[Difference], what: str) -> Verdict:
    """Passes if there are no such days; else fails and names the first ones. `what` says what is wrong with them."""
    if not days:
        return Verdict(True, f"no days {what}", metadata={"days": 0})
    each = ", ".join(f"{day.day} ({day.stored:,} of {day.transactions:,})" for day in days[:SHOWN])
    more = f" and {len(days) - SHOWN:,} more" if len(days) > SHOWN else ""
    remedy = "materialize these partitions of daily_activity and customer_activity"
    return Verdict(False, f"{len(days):,} days {what}: {each}{more}; {remedy}", metadata={"days": len(days)})
