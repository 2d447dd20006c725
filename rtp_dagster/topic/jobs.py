"""`setup_topics`: materializes the topic only."""

import dagster as dg

setup_topics = dg.define_asset_job(
    "setup_topics", selection=["transactions_topic"], description="Creates the Kafka topic, or verifies it."
)
