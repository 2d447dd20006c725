"""`daily_activity` and `customer_activity`: tables by day, recomputed for each day whose transactions changed."""

import warnings
from typing import TYPE_CHECKING

import dagster as dg
from dagster_shared.utils.warnings import BetaWarning

from rtp_dagster.insights.days import make_tables, opened, recompute
from rtp_dagster.platform import Platform
from rtp_dagster.plots import bar_chart
from rtp_dagster.retries import retried

if TYPE_CHECKING:
    import pandas as pd

DAYS = dg.DynamicPartitionsDefinition(name="days")
TOUCHED = dg.AssetKey("touched_days")
PREVIEW_ROWS, BARS = 20, 12
# A day is computed if it was touched after its computation was last requested: so a touch during that run is not lost.
# A day that was never computed is computed too, unless its run failed: a person sees the failure and decides.
TOUCHED_OR_MISSING = (
    dg.AutomationCondition.any_deps_updated().since(dg.AutomationCondition.newly_requested())
    | (dg.AutomationCondition.missing() & ~dg.AutomationCondition.execution_failed())
) & ~dg.AutomationCondition.in_progress()

touched_days = dg.AssetSpec(
    TOUCHED,
    deps=["transactions"],
    description="The days to which rows were added, or from which some were purged, as `insights_sensor` found them.",
    group_name="insights",
    kinds={"postgres"},
    owners=["team:data-platform"],
    partitions_def=DAYS,
)


def _asset(table: str, description: str) -> dg.AssetsDefinition:
    with warnings.catch_warnings():
        # This policy is still in beta, but Dagster's version is pinned.
        warnings.simplefilter("ignore", BetaWarning)
        return _computed(table, description)


def _computed(table: str, description: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=table,
        deps=[TOUCHED],
        partitions_def=DAYS,
        # Many days share a run: starting a run takes seconds, computing a day milliseconds.
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=TOUCHED_OR_MISSING,
        group_name="insights",
        kinds={"postgres", "pandas", "table"},
        owners=["team:data-platform"],
        description=description,
        metadata={"dagster/table_name": f"insights.{table}"},
    )
    def computed(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
        with retried(context.retry_number), opened(platform) as connection:
            make_tables(connection)
            frame = recompute(connection, table, context.partition_keys)
        context.log.info(f"{table}: {len(context.partition_keys):,} days, {len(frame):,} rows")
        return dg.MaterializeResult(metadata=shown(frame))

    return computed


daily_activity = _asset(
    "daily_activity",
    "Transactions per day, by currency and category: count, sum, average, declines and refunds (negative amounts, or "
    "the status refunded). Days are in UTC. An empty text means that the currency or category is not known.",
)
customer_activity = _asset(
    "customer_activity",
    "What each customer did on a day, by currency: count, sum, refunds and declines.",
)


def shown(frame: "pd.DataFrame") -> dict[str, dg.MetadataValue]:
    """Returns the figures, a preview and a chart of the rows that were computed."""
    found: dict[str, dg.MetadataValue] = {
        "days": dg.MetadataValue.int(int(frame["day"].nunique())),
        "rows": dg.MetadataValue.int(len(frame)),
        "transactions": dg.MetadataValue.int(int(frame["transactions"].sum())),
    }
    if frame.empty:
        return found
    head = frame.drop(columns="computed_at").head(PREVIEW_ROWS)
    if "average" in head:
        head["average"] = head["average"].map(lambda average: round(average, 2))  # else 16 digits after the point
    head = head.astype(str)
    records = [dg.TableRecord({str(name): value for name, value in row.items()}) for row in head.to_dict("records")]
    found["preview"] = dg.MetadataValue.table(records)
    by = "category" if "category" in frame else "customer_id"
    counts = frame.groupby(by)["transactions"].sum().sort_values(ascending=False).head(BARS)
    bars = {str(name) or "not known": float(count) for name, count in counts.items()}
    found["chart"] = bar_chart(f"Transactions by {by.removesuffix('_id')}", "transactions", bars)
    return found
