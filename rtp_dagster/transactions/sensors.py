"""`row_count_sensor` and `consumer_lag_sensor`: record the consumer's progress on `transactions`."""

import json
import time
from dataclasses import astuple
from typing import Any

import dagster as dg

from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Event, Tick, read_cursor, sensor
from rtp_dagster.transactions.checks import at_a_tick
from rtp_dagster.transactions.counting import count_piece, is_large
from rtp_dagster.transactions.history import ROW_COUNT
from rtp_dagster.transactions.live import arrived, live_events
from rtp_dagster.transactions.measures.lag import measure_lag
from rtp_dagster.transactions.measures.window import WINDOW_S, Sample, kept, sample_of
from rtp_dagster.transactions.verdicts import TRANSACTIONS, judge_lag
from rtp_dagster.verdict import is_news
from rtp_workers.errors import RtpError
from rtp_workers.postgres.account import read_account

INTERVAL_S = 30
NOT_EVALUATED = "; checks not evaluated: "
NOT_COUNTED = "; live_transactions is not counted: "


@sensor(
    INTERVAL_S,
    "Records how many rows transactions has, its checks, and what came live; skips while no rows come.",
)
def row_count_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Reports a materialization of `transactions` if its row count has changed since the last tick.

    After a materialization, Dagster shows every check as not evaluated. So the same tick evaluates the checks. If Kafka
    does not answer in time, the next tick evaluates them. Each tick also counts a piece of a large table.
    """
    with platform.reader(PROBE_S) as connection:
        account = read_account(connection)
    rows = account.stored_rows
    before, now = read_cursor(context.cursor), time.time()
    samples = kept([Sample(*sample) for sample in before.get("samples", [])], sample_of(account, now), WINDOW_S)
    live, live_until, text = _live(platform, before.get("live_until"))
    stored = {"rows": rows, "at_s": now, "samples": [astuple(sample) for sample in samples], "live_until": live_until}
    new = before.get("rows") != rows
    told = f"recorded: {rows:,} rows{text}" if new else f"no new rows: {rows:,}{text}"
    events: list[Event] = [_row_count(rows, before, now)] if new else []
    if new or before.get("unchecked"):
        checked, why_not = _checks(platform, samples)
        events += checked
        told += why_not
        stored["unchecked"] = bool(why_not)
    if is_large(account):
        counted, stored["counting"] = count_piece(platform, account, before.get("counting"))
        events += counted
    return dg.SensorResult(skip_reason=told, asset_events=[*events, *live], cursor=json.dumps(stored))


@sensor(
    INTERVAL_S,
    "Observes how far the consumer is behind; fails lag_is_low above the limits, passes it below.",
)
def consumer_lag_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Reports an observation of `transactions` while records wait, and `lag_is_low` when its result changes."""
    verdict = judge_lag(measure_lag(platform, platform.look()), platform.settings())
    before, now = read_cursor(context.cursor), time.time()
    behind = bool(verdict.metadata["lag_records"])
    events: list[Event] = []
    if behind or before.get("behind", True):
        observed = {name: value for name, value in verdict.metadata.items() if name.startswith("lag_")}
        events.append(dg.AssetObservation(TRANSACTIONS, description=verdict.sentence, metadata=observed))
    if is_news(verdict, before.get("passed"), now - before.get("told_s", 0.0)):
        events.append(verdict.evaluation(TRANSACTIONS, "lag_is_low"))
        before = {"passed": verdict.passed, "told_s": now}
    if not events:
        return dg.SkipReason(verdict.sentence)
    return dg.SensorResult(
        skip_reason=f"recorded: {verdict.sentence}",
        asset_events=events,
        cursor=json.dumps({**before, "behind": behind}),
    )


def _checks(platform: Platform, samples: list[Sample]) -> tuple[list[Event], str]:
    """Returns the evaluations of the checks, and what to say if there are none."""
    try:
        found = at_a_tick(platform, samples)
    except RtpError as error:  # the row count is known nevertheless
        return [], f"{NOT_EVALUATED}{error}"
    return [verdict.evaluation(TRANSACTIONS, name) for name, verdict in found.items()], ""


def _live(platform: Platform, since: object) -> tuple[list[Event], object, str]:
    """Returns the event of `live_transactions`, the end of the counted time, and a remark if counting failed."""
    try:
        rows, seconds, until = arrived(platform, since)
    except RtpError as error:
        return [], None, f"{NOT_COUNTED}{error}"
    return live_events(rows, seconds), until, ""


def _row_count(rows: int, before: dict[str, Any], now: float) -> dg.AssetMaterialization:
    metadata: dict[str, int | float] = {ROW_COUNT: rows}
    if "rows" in before:
        metadata["rows_since_last_tick"] = rows - before["rows"]
        metadata["rows_per_s"] = round((rows - before["rows"]) / max(now - before["at_s"], 0.001), 2)
    return dg.AssetMaterialization(TRANSACTIONS, description=f"{rows:,} rows", metadata=metadata)
