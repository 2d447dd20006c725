"""What sensors share: a tick that never fails because a server is away, and cursors that survive a new version."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, ParamSpec

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from rtp_workers.errors import RtpError

P = ParamSpec("P")
Tick = dg.SensorResult | dg.SkipReason
Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def sensor(
    interval_s: int, description: str, job: UnresolvedAssetJobDefinition | None = None
) -> Callable[[Callable[..., Tick]], dg.SensorDefinition]:
    """Makes a sensor that runs from the start, and whose tick is skipped with the reason while a server is away.

    Args:
        interval_s: seconds between two ticks, at least.
        description: one sentence for Dagster's page.
        job: what its runs are of; None for a sensor that only reports.
    """
    running = dg.DefaultSensorStatus.RUNNING

    def made(tick: Callable[..., Tick]) -> dg.SensorDefinition:
        decorate = dg.sensor(
            job=job, minimum_interval_seconds=interval_s, default_status=running, description=description
        )
        return decorate(_skips_while_away(tick))

    return made


def _skips_while_away(tick: Callable[P, Tick]) -> Callable[P, Tick]:
    """Turns the project's own errors into a skip reason: a server that is away is news, not a failed tick."""

    @functools.wraps(tick)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Tick:
        try:
            return tick(*args, **kwargs)
        except RtpError as error:
            return dg.SkipReason(str(error))

    return guarded


def read_cursor(text: str | None) -> dict[str, Any]:
    """Returns the cursor's object; ``{}`` if it is missing or not ours."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
