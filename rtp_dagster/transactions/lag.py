"""How far the consumer is behind, measured: records from the offsets, seconds from the broker's time index."""

from __future__ import annotations

from rtp_dagster.platform import PROBE_S, Look, Platform
from rtp_dagster.transactions.verdicts import Verdict, judge_lag, lag_by_partition, next_offsets
from rtp_workers.kafka.waiting import waiting_s
from rtp_workers.settings import DagsterSettings

AGES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 4 * 3600.0, 24 * 3600.0)


def ages(settings: DagsterSettings) -> list[float]:
    """Returns the ages to ask for, in seconds: those of `AGES_S`, and the limit itself."""
    return sorted({*AGES_S, settings.alert_lag_s})


def measured_lag(platform: Platform, look: Look) -> Verdict:
    """Asks how long the waiting records have waited, and judges them; errors as in `waiting_s`."""
    settings, wanted = platform.settings(), next_offsets(look)
    waiting = (
        waiting_s(platform.endpoints(), settings.topic, wanted, ages(settings), timeout_s=PROBE_S) if wanted else {}
    )
    return judge_lag(lag_by_partition(look), waiting, settings)
