"""`live_transactions` and `transactions`: external assets, fed by producer and consumer. Dagster only watches them."""

from datetime import timedelta

import dagster as dg

from rtp_workers.record.transaction import FIELDS

# A column is null in rows stored by a version that did not have it. load_id is also null if no file sent the record.
NULLABLE = frozenset({"topic_id", "generation", "load_id"})
PROVENANCE = {
    "source": ("text", "csv:FILE, live, api, or unknown"),
    "kafka_partition": ("integer", "partition that the record came from"),
    "kafka_offset": ("bigint", "its offset there"),
    "topic_id": ("text", "Kafka's own id of the topic"),
    "generation": ("integer", "generation of the partition's log: it grows when Kafka has lost stored records"),
    "load_id": ("bigint", "the load of a file that sent the record, as in csv_loads"),
    "ingested_at": ("timestamptz", "when the row was written"),
}
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24), warn_window=timedelta(hours=1))


def column_schema() -> dg.TableSchema:
    """Returns the table's columns, derived from the declaration of the record."""
    fields = [
        dg.TableColumn(
            field.name,
            field.rule.pg_type,
            field.rule.meaning,
            constraints=dg.TableColumnConstraints(nullable=not field.required, unique=field.name == "transaction_id"),
        )
        for field in FIELDS
    ]
    provenance = [
        dg.TableColumn(name, kind, meaning, constraints=dg.TableColumnConstraints(nullable=name in NULLABLE))
        for name, (kind, meaning) in PROVENANCE.items()
    ]
    return dg.TableSchema([*fields, *provenance])


live_transactions = dg.AssetSpec(
    "live_transactions",
    deps=["transactions_topic"],
    description="Transactions that the live producer generates and its API accepts (`rtp produce`), sent to the topic.",
    group_name="ingestion",
    kinds={"kafka", "python"},
    owners=["team:data-platform"],
)

transactions = dg.AssetSpec(
    "transactions",
    deps=["csv_backfill", "live_transactions"],
    description=(
        "The table in PostgreSQL, fed from the topic by the consumer (`rtp consume`), each record exactly once. "
        "`row_count_sensor` records its growth, `consumer_lag_sensor` how far it is behind."
    ),
    group_name="ingestion",
    kinds={"postgres", "table"},
    owners=["team:data-platform"],
    freshness_policy=FRESH,
    metadata={"dagster/column_schema": column_schema(), "dagster/table_name": "transactions"},
)
