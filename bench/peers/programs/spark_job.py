"""Spark Structured Streaming: one topic into PostgreSQL, foreachBatch with JDBC. Runs in an environment of its own."""

from __future__ import annotations

import json
import os
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, from_json

TEXTS = ("customer_id", "merchant", "category", "currency", "payment_method", "status", "country")
SCHEMA = ", ".join(f"{name} string" for name in ("transaction_id", "occurred_at", "amount", *TEXTS))


def main() -> None:
    """Runs until SIGTERM."""
    given: dict[str, Any] = json.loads(os.environ["PEER"])
    builder = SparkSession.builder.master(given["master"]).appName("peer")
    for name, value in given["spark"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    source = spark.readStream.format("kafka").options(**given["kafka"]).load()
    record = from_json(col("value").cast("string"), SCHEMA).alias("r")
    rows = source.select(record).select(
        "r.transaction_id",
        col("r.occurred_at").cast("timestamp").alias("occurred_at"),
        col("r.amount").cast("decimal(38,18)").alias("amount"),
        *(f"r.{name}" for name in TEXTS),
    )

    def write(batch: DataFrame, batch_id: int) -> None:
        batch.write.format("jdbc").options(**given["jdbc"]).mode("append").save()

    started = rows.writeStream.foreachBatch(write).option("checkpointLocation", given["checkpoint"]).start()
    started.awaitTermination()


if __name__ == "__main__":
    main()
