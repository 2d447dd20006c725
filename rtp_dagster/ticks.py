"""What all sensors share: ticks that do not fail while a server is away, and cursors that survive an upgrade."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, ParamSpec

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from rtp_workers.errors import ConfigError, RtpError

P = ParamSpec("P")
FOR_NOW = "skipped for now: "  # how a skip reason begins if the next tick may succeed
Tick = dg.SensorResult | dg.SkipReason
Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def sensor(
    interval_s: int, description: str, job: UnresolvedAssetJobDefinition | None = None
) -> Callable[[Callable[..., Tick]], dg.SensorDefinition]:
    """Makes a sensor that is on by default. While a server is away, its ticks are skipped and say why.

    Args:
        interval_s: the shortest time between two ticks.
        description: one sentence for the sensor's page in Dagster.
        job: the job that its runs belong to; None for a sensor that only reports.
    """
    running = dg.DefaultSensorStatus.RUNNING

    def made(tick: Callable[..., Tick]) -> dg.SensorDefinition:
        decorate = dg.sensor(
            job=job, minimum_interval_seconds=interval_s, default_status=running, description=description
        )
        return decorate(_skips_while_away(tick))

    return made


def _skips_while_away(tick: Callable[P, Tick]) -> Callable[P, Tick]:
    """Turns the project's own errors into a skip reason. A server that is away is news, not a failed tick."""

    @functools.wraps(tick)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Tick:
        try:
            return tick(*args, **kwargs)
        except ConfigError as error:
            return dg.SkipReason(str(error))
        except RtpError as error:
            return dg.SkipReason(f"{FOR_NOW}{error}")

    return guarded


def read_cursor(text: str | None) -> dict[str, Any]:
    """Returns the object that the cursor holds; ``{}`` if there is none, or if it is not ours."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
