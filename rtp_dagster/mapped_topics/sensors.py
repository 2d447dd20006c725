"""`mapped_topics_sensor`: how far the consumer has read each mapped topic, and what became of the records."""

import json
from dataclasses import asdict

import dagster as dg

from rtp_dagster.mapped_topics.assets import topic_key
from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Event, Tick, read_cursor, sensor
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka import topics
from rtp_workers.postgres.account import Account, read_account, summed
from rtp_workers.reconcile import balance
from rtp_workers.reconcile.consumed_topics import consumed_topics

INTERVAL_S = 30
Figures = dict[str, int]


@sensor(INTERVAL_S, "Observes each mapped topic: its lag, its rows, its duplicates and its dead letters.")
def mapped_topics_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Reports an observation of each topic whose figures have changed since the last tick."""
    settings, endpoints = platform.settings(), platform.endpoints()
    names = consumed_topics(endpoints, settings)
    if not names:
        return dg.SkipReason("no topic is mapped: RTP_TOPICS names none that has a complete section")
    with platform.reader(PROBE_S) as connection:
        account = read_account(connection)
    found = {name: figures for name in names if (figures := _figures(endpoints, name, account)) is not None}
    before = read_cursor(context.cursor)
    events: list[Event] = [_observation(name, now) for name, now in found.items() if before.get(name) != now]
    lag = sum(figures["lag_records"] for figures in found.values())
    sentence = f"{len(found)} mapped topics, {lag:,} records wait"
    return dg.SensorResult(skip_reason=sentence, asset_events=events, cursor=json.dumps(found))


def _figures(endpoints: Endpoints, topic: str, account: Account) -> Figures | None:
    """Returns a topic's figures; None if the topic has just been deleted."""
    described = topics.describe(endpoints, topic, timeout_s=PROBE_S)
    if described is None:
        return None
    log = topics.log_offsets(endpoints, topic, timeout_s=PROBE_S)
    counts = asdict(summed(account.of_topic(described.topic_id).values()))
    return {"lag_records": sum(balance.lag(account, described.topic_id, log).values()), **counts}


def _observation(topic: str, now: Figures) -> dg.AssetObservation:
    text = f"{now['lag_records']:,} records wait; {now['inserted']:,} rows, {now['dead_lettered']:,} dead letters"
    metadata = {
        "lag_records": now["lag_records"],
        "rows": now["inserted"],
        "duplicates": now["duplicates"],
        "dead_letters": now["dead_lettered"],
        "skipped": now["skipped"],
    }
    return dg.AssetObservation(topic_key(topic), description=text, metadata=metadata)
