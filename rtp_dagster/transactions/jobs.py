"""`check_transactions`: runs every check, on request and every hour."""

import dagster as dg

from rtp_dagster.backfill.files import CSV_FILES
from rtp_dagster.transactions.verdicts import TRANSACTIONS

check_transactions = dg.define_asset_job(
    "check_transactions",
    selection=dg.AssetSelection.checks_for_assets(TRANSACTIONS, CSV_FILES),
    description="Evaluates every check on transactions and on the CSV files.",
)
hourly_checks = dg.ScheduleDefinition(
    name="hourly_checks",
    job=check_transactions,
    cron_schedule="7 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Reconciles once an hour.",
)
