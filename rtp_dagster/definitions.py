"""What Dagster loads: only wiring. Each folder next to this file is a domain: its assets, jobs, sensors and checks."""

import dagster as dg

from rtp_dagster import insights
from rtp_dagster.alerts.sensors import alert_sensor
from rtp_dagster.backfill.assets import csv_backfill
from rtp_dagster.backfill.files import csv_files, files_are_loaded
from rtp_dagster.backfill.jobs import batch_backfill
from rtp_dagster.backfill.sensors import csv_arrival_sensor
from rtp_dagster.dead_letters.jobs import replay_dead_letters
from rtp_dagster.dead_letters.sensors import dead_letter_sensor
from rtp_dagster.mapped_topics.assets import mapped_topics, topic_asset, topic_key
from rtp_dagster.mapped_topics.sensors import mapped_topics_sensor
from rtp_dagster.platform import Platform, step_outputs
from rtp_dagster.retention.jobs import daily_trim, trim_history
from rtp_dagster.topic.assets import transactions_topic
from rtp_dagster.topic.jobs import setup_topics
from rtp_dagster.transactions.assets import live_transactions, transactions
from rtp_dagster.transactions.checks import CHECKS
from rtp_dagster.transactions.jobs import check_transactions, hourly_checks
from rtp_dagster.transactions.sensors import consumer_lag_sensor, row_count_sensor


@dg.definitions
def defs() -> dg.Definitions:
    """Returns everything in the code location. The mapped topics are looked up once, when the location is loaded."""
    topics = mapped_topics()
    table = transactions.replace_attributes(deps=[*transactions.deps, *map(topic_key, topics)])
    return dg.Definitions(
        assets=[
            transactions_topic,
            *map(topic_asset, topics),
            csv_files,
            csv_backfill,
            live_transactions,
            table,
            *insights.ASSETS,
        ],
        asset_checks=[*CHECKS, files_are_loaded, *insights.CHECKS],
        jobs=[setup_topics, batch_backfill, check_transactions, replay_dead_letters, trim_history, *insights.JOBS],
        sensors=[
            csv_arrival_sensor,
            row_count_sensor,
            consumer_lag_sensor,
            dead_letter_sensor,
            mapped_topics_sensor,
            alert_sensor,
            *insights.SENSORS,
        ],
        schedules=[hourly_checks, daily_trim, *insights.SCHEDULES],
        resources={"platform": Platform(), "io_manager": step_outputs},
        # Steps run in the run's process: they mostly wait for servers, and each extra process costs 3 s and 130 MB.
        executor=dg.in_process_executor,
    )
