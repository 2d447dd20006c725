"""`dead_letter_sensor`: records how many records are refused, and judges whether that is too many."""

import json
import time
from collections.abc import Sequence
from dataclasses import astuple

import dagster as dg

from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Event, Tick, read_cursor, sensor
from rtp_dagster.transactions.measures.window import WINDOW_S, Sample, kept, lately, sample_of
from rtp_dagster.transactions.verdicts import TRANSACTIONS, judge_dead_letters
from rtp_dagster.verdict import is_news
from rtp_workers.postgres.account import read_account

INTERVAL_S = 30


@sensor(
    INTERVAL_S,
    "Observes new dead letters by reason; fails the check dead_letter_ratio if there are too many.",
)
def dead_letter_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Reports an observation of `transactions` when dead letters arrive, and `dead_letter_ratio` when it changes.

    The ratio of the last minutes comes from the ledger's counters at earlier ticks. No table is counted, however many
    rows a backfill has just written.
    """
    before = read_cursor(context.cursor)
    seen = [Sample(*sample) for sample in before.get("samples", [])]
    with platform.reader(PROBE_S) as connection:
        samples = kept(seen, sample_of(read_account(connection), time.time()), WINDOW_S)
        recent = lately(connection, samples, WINDOW_S)
    verdict = judge_dead_letters(recent, platform.settings())
    now, events = samples[-1], _observation(samples, recent.reasons)
    told = {name: before[name] for name in ("passed", "told_s") if name in before}
    if is_news(verdict, told.get("passed"), now.at_s - told.get("told_s", 0.0)):
        events.append(verdict.evaluation(TRANSACTIONS, "dead_letter_ratio"))
        told = {"passed": verdict.passed, "told_s": now.at_s}
    return dg.SensorResult(
        skip_reason=verdict.sentence,
        asset_events=events,
        cursor=json.dumps({**told, "samples": [astuple(sample) for sample in samples]}),
    )


def _observation(samples: Sequence[Sample], reasons: dict[str, int]) -> list[Event]:
    """Returns an event about the dead letters since the last tick; an empty list if there were none."""
    total = samples[-1].dead_lettered
    new = total - (samples[-2].dead_lettered if len(samples) > 1 else 0)
    if not new:
        return []
    figures: dict[str, int | dg.MetadataValue] = {
        "dead_letters_total": total,
        "dead_letters_since_last_tick": new,
        "reasons": dg.MetadataValue.json(reasons),
    }
    return [dg.AssetObservation(TRANSACTIONS, description=f"{total:,} dead letters ever, {new:+,}", metadata=figures)]
