"""`dead_letter_sensor`: how many records are refused, and whether that is too many."""

import json
import time

import dagster as dg

from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Tick, read_cursor, skips_while_away
from rtp_dagster.transactions.checks import DEAD_LETTER_WINDOW_S
from rtp_dagster.transactions.sensors import is_news
from rtp_dagster.transactions.verdicts import TRANSACTIONS, judge_dead_letters
from rtp_workers.postgres.balance import recent
from rtp_workers.postgres.queries import totals

INTERVAL_S = 30


@dg.sensor(
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Observes new dead letters by reason; fails the check dead_letter_ratio where there are too many.",
)
@skips_while_away
def dead_letter_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Reports an observation of `transactions` when dead letters came, and `dead_letter_ratio` when it changes."""
    with platform.reader(PROBE_S) as connection:
        total = totals(connection).dead_letters
        lately = recent(connection, DEAD_LETTER_WINDOW_S)
    verdict = judge_dead_letters(lately, platform.settings())
    before, now = read_cursor(context.cursor), time.time()
    new = total - before.get("total", 0)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation | dg.AssetMaterialization] = []
    if new:
        figures = {"dead_letters_total": total, "dead_letters_since_last_tick": new}
        reasons = dg.MetadataValue.json(lately.reasons)
        events.append(
            dg.AssetObservation(
                TRANSACTIONS, description=f"{total:,} dead letters, {new:+,}", metadata={**figures, "reasons": reasons}
            )
        )
    if is_news(verdict, before.get("passed"), now - before.get("told_s", 0.0)):
        events.append(verdict.evaluation("dead_letter_ratio"))
        before = {"passed": verdict.passed, "told_s": now}
    if not events:
        return dg.SkipReason(f"no new dead letters; {verdict.sentence}")
    return dg.SensorResult(
        skip_reason=f"recorded: {verdict.sentence}", asset_events=events, cursor=json.dumps({**before, "total": total})
    )
