"""`check_insights`: compares the insights with `transactions`, on request and every hour."""

import dagster as dg

from rtp_dagster.insights.checks import DAILY

check_insights = dg.define_asset_job(
    "check_insights",
    selection=dg.AssetSelection.checks_for_assets(DAILY),
    description="Compares each day of the insights with transactions.",
)
hourly_insight_checks = dg.ScheduleDefinition(
    name="hourly_insight_checks",
    job=check_insights,
    cron_schedule="27 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Compares once an hour.",
)
