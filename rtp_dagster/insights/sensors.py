"""`insights_sensor`: marks the days that were touched. The automation conditions of the assets do the rest."""

import json
import time
from dataclasses import astuple

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

    The cursor holds how far the tick has looked. Dagster stores it after the events, so if a tick dies, the next one
    marks the same days again.
    """
    before = read_cursor(context.cursor)
    left = [str(day) for day in before.get("left", [])]
    seen = Seen(*before["seen"]) if len(before.get("seen", [])) == 3 else Seen()
    now_s, marked_at_s = time.time(), float(before.get("marked_at_s", 0))
    if not left and 0 <= now_s - marked_at_s < PAUSE_S:
        wait_s = PAUSE_S - (now_s - marked_at_s)
        return dg.SensorResult(
            skip_reason=f"days were marked just now; the next look is in {wait_s:.0f} s", cursor=context.cursor
        )
    if not left:
        with opened(platform) as connection:
            left, seen = touched(connection, seen)
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
