"""`live_transactions`: counts the rows that did not come from CSV files since the last tick, by source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import dagster as dg

from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Event
from rtp_workers.postgres.by_source import arrived_by_source, server_time

LIVE = dg.AssetKey("live_transactions")
CSV = "csv"
# A row carries the time at which its transaction began. The consumer's take milliseconds, or 15 s when it is stuck.
SETTLED_S = 20.0
FIRST_S = 60.0  # how far the first tick looks back


def arrived(platform: Platform, since: object) -> tuple[dict[str, int], float, str]:
    """Counts the rows that arrived since the last tick.

    Args:
        platform: where PostgreSQL is.
        since: the end of the time that the last tick counted, as it returned it; anything else means a first tick.

    Returns:
        Rows by source, the seconds that they cover, and the end of that time as text.

    Raises:
        TransientError: PostgreSQL is away, or more rows arrived than a tick can count.
    """
    with platform.reader(PROBE_S) as connection:
        until = server_time(connection) - timedelta(seconds=SETTLED_S)
        begin = _instant(since) or until - timedelta(seconds=FIRST_S)
        if begin >= until:
            return {}, 0.0, begin.isoformat()
        return arrived_by_source(connection, begin, until), (until - begin).total_seconds(), until.isoformat()


def live_events(rows: Mapping[str, int], seconds: float) -> list[Event]:
    """Returns a materialization of `live_transactions`; an empty list if none of its rows arrived."""
    live = {source: count for source, count in rows.items() if source != CSV}
    new, total = sum(live.values()), sum(rows.values())
    if not new or not seconds:
        return []
    records = [
        dg.TableRecord(
            {"source": source, "rows": count, "rows_per_s": round(count / seconds, 2), "share": round(count / total, 4)}
        )
        for source, count in sorted(rows.items())
    ]
    per_s, share = new / seconds, new / total
    figures = {"rows": new, "rows_per_s": round(per_s, 2), "share": round(share, 4), "seconds": round(seconds, 1)}
    by_source = {f"rows_{source}": count for source, count in live.items()}
    return [
        dg.AssetMaterialization(
            LIVE,
            description=f"{new:,} rows, {per_s:,.1f} rows/s, {share:.0%} of all that arrived",
            metadata={**figures, **by_source, "by_source": dg.MetadataValue.table(records)},
        )
    ]


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
