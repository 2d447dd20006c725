"""Daily totals of the transactions, in the schema `insights`. Only `definitions.py` imports this folder.

To remove them, delete this folder and its lines there, and run ``drop schema insights cascade``.
"""

import dagster as dg

from rtp_dagster.insights.assets import customer_activity, daily_activity, touched_days
from rtp_dagster.insights.checks import insights_agree
from rtp_dagster.insights.jobs import check_insights, hourly_insight_checks
from rtp_dagster.insights.sensors import insights_automation, insights_sensor

ASSETS: list[dg.AssetSpec | dg.AssetsDefinition] = [touched_days, daily_activity, customer_activity]
CHECKS = [insights_agree]
JOBS = [check_insights]
SCHEDULES = [hourly_insight_checks]
SENSORS = [insights_sensor, insights_automation]
