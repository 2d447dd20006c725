"""`batch_backfill`: topic -> load -> wait for the consumer -> checks."""

import dagster as dg

from rtp_dagster.transactions.verdicts import TRANSACTIONS

batch_backfill = dg.define_asset_job(
    "batch_backfill",
    selection=dg.AssetSelection.assets("transactions_topic", "csv_backfill").without_checks()
    | dg.AssetSelection.checks_for_assets(TRANSACTIONS),
    description="Loads the CSVs of the data folder (all, or those of the run config), waits for them, and checks.",
)
