"""What the sensors have recorded about `transactions`, drawn over time."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from rtp_dagster.plots import line_chart
from rtp_dagster.transactions.verdicts import TRANSACTIONS
from rtp_dagster.verdict import Metadata
from rtp_workers.settings import DagsterSettings

POINTS = 400
ROW_COUNT = "dagster/row_count"


def row_chart(instance: dg.DagsterInstance, settings: DagsterSettings) -> Metadata:
    """Draws the row counts. Returns nothing until the first one is recorded."""
    series = row_series(instance)
    return {"rows_over_time": line_chart("Rows in transactions", "rows", series)} if series else {}


def lag_chart(instance: dg.DagsterInstance, settings: DagsterSettings) -> Metadata:
    """Draws the lag, and the alert's limit if the lag comes near it. Returns nothing until a lag is recorded."""
    series, limit = lag_series(instance), settings.alert_lag_records
    if not series:
        return {}
    near = max(value for _, value in series) * 2 > limit
    return {"lag_over_time": line_chart("Records that wait in Kafka", "records", series, limit if near else None)}


def row_series(instance: dg.DagsterInstance) -> list[tuple[float, float]]:
    """Returns (Unix time, rows) of the latest materializations, oldest first."""
    records = instance.fetch_materializations(TRANSACTIONS, limit=POINTS).records
    return _series([(r.timestamp, r.asset_materialization) for r in records], ROW_COUNT)


def lag_series(instance: dg.DagsterInstance) -> list[tuple[float, float]]:
    """Returns (Unix time, records that wait) of the latest observations, oldest first."""
    records = instance.fetch_observations(TRANSACTIONS, limit=POINTS).records
    return _series([(r.timestamp, r.asset_observation) for r in records], "lag_records")


def _series(
    events: Sequence[tuple[float, dg.AssetMaterialization | dg.AssetObservation | None]], name: str
) -> list[tuple[float, float]]:
    found = []
    for at_s, event in events:
        value = event.metadata[name].value if event is not None and name in event.metadata else None
        if isinstance(value, int | float):
            found.append((at_s, float(value)))
    return found[::-1]
