"""`insights_sensor`: marks the days that were touched. The automation conditions of the assets do the rest."""

import json
import time
from dataclasses import astuple, fields
from typing import Any

import dagster as dg

from rtp_dagster.insights.assets import DAYS, TOUCHED
from rtp_dagster.insights.days import Seen, opened, touched
from rtp_dagster.platform import Platform
from rtp_dagster.ticks import Event, Tick, read_cursor, sensor

INTERVAL_S = 120
# While records flow, some days are touched all the time, and each run takes seconds of CPU time.
PAUSE_S = 600
DAYS_A_TICK = 400

insights_automation = dg.AutomationConditionSensorDefinition(
    "insights_automation",
    target=dg.AssetSelection.groups("insights"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
)


@sensor(
    INTERVAL_S,
    "Marks the days for which transactions were added or purged.",
)
def insights_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Reports `touched_days` for each day that had rows written or purged since the last tick.

    The first look at a large table takes several ticks, and marks days only at its end, so that each day is computed
    once. The cursor holds how far the tick has looked. Dagster stores it after the events, so if a tick dies, the next
    one marks the same days again.
    """
    before = read_cursor(context.cursor)
    left = [str(day) for day in before.get("left", [])]
    seen = _seen(before)
    now_s, marked_at_s = time.time(), float(before.get("marked_at_s", 0))
    looking = not left or seen.is_first_look
    if looking and 0 <= now_s - marked_at_s < PAUSE_S:
        wait_s = PAUSE_S - (now_s - marked_at_s)
        return dg.SensorResult(
            skip_reason=f"days were marked just now; the next look is in {wait_s:.0f} s", cursor=context.cursor
        )
    if looking:
        with opened(platform) as connection:
            days, seen = touched(connection, seen)
        left = sorted({*left, *days})
    if seen.is_first_look:
        return dg.SensorResult(
            skip_reason=f"looked at {seen.block / seen.blocks:.0%} of transactions for the first time",
            cursor=json.dumps({"seen": astuple(seen), "left": left}),
        )
    now, later = left[:DAYS_A_TICK], left[DAYS_A_TICK:]
    cursor = json.dumps({"seen": astuple(seen), "left": later, "marked_at_s": round(now_s, 1) if now else marked_at_s})
    if not now:
        return dg.SensorResult(skip_reason="no day was touched", cursor=cursor)
    events: list[Event] = [dg.AssetMaterialization(TOUCHED, partition=day) for day in now]
    return dg.SensorResult(
        skip_reason=f"{len(now):,} days were touched" + (f", {len(later):,} more wait" if later else ""),
        asset_events=events,
        dynamic_partitions_requests=[DAYS.build_add_request(now)],
        cursor=cursor,
    )


def _seen(before: dict[str, Any]) -> Seen:
    """Returns how far the last tick had looked. A cursor of another version means a first look."""
    stored = before.get("seen")
    if not isinstance(stored, list) or len(stored) not in (len(fields(Seen)), len(fields(Seen)) - 2):
        return Seen()
    return Seen(*stored)
