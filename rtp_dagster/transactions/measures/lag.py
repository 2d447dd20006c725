"""How far the consumer is behind, in records (from the offsets) and in seconds (from the broker's time index)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rtp_dagster.platform import PROBE_S, Look, Platform
from rtp_workers.kafka.waiting import waiting_s
from rtp_workers.settings import DagsterSettings

AGES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 4 * 3600.0, 24 * 3600.0)


@dataclass(frozen=True, slots=True)
class Lag:
    """What waits in Kafka.

    Attributes:
        records: how many records wait, by kafka_partition.
        waiting_s: how long the oldest of them has waited, by kafka_partition.
    """

    records: Mapping[int, int]
    waiting_s: Mapping[int, float]


def measure_lag(platform: Platform, look: Look) -> Lag:
    """Asks Kafka how long the waiting records have waited. Raises whatever `waiting_s` raises."""
    settings, wanted = platform.settings(), next_offsets(look)
    waiting = (
        waiting_s(platform.endpoints(), settings.topic, wanted, ages(settings), timeout_s=PROBE_S) if wanted else {}
    )
    return Lag(look.lag, waiting)


def ages(settings: DagsterSettings) -> list[float]:
    """Returns the ages to ask Kafka about, in seconds: `AGES_S` and the limit itself."""
    return sorted({*AGES_S, settings.alert_lag_s})


def next_offsets(look: Look) -> dict[int, int]:
    """Returns the offset to consume next, for each partition that has records waiting."""
    stored = look.ledger_now
    return {
        number: stored[number].next_offset if number in stored else look.log[number][0]
        for number, left in look.lag.items()
        if left
    }
