"""Running Dagster's definitions inside the test's own process, on the stack's servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData

from rtp_dagster.definitions import defs
from rtp_dagster.platform import Platform
from rtp_dagster.ticks import FOR_NOW
from rtp_dagster.transactions.sensors import NOT_COUNTED, NOT_EVALUATED
from tests.conftest import Stack
from tests.waiting import wait_until

PARTIAL = (NOT_EVALUATED, NOT_COUNTED)
ANSWERED_S = 60.0  # a tick takes a second, and gives up after 5
Evaluations = dict[str, dg.AssetCheckEvaluation]


@contextmanager
def settings_of(stack: Stack, **settings: str) -> Iterator[None]:
    """Sets the environment to the stack's, and `settings` on top of it, while the block runs."""
    with patch.dict(os.environ, {**stack.env, **settings}, clear=True):
        yield


def run_job(
    name: str,
    config: dict[str, Any] | None = None,
    instance: dg.DagsterInstance | None = None,
    tags: dict[str, str] | None = None,
) -> Any:
    """Runs a job to its end and returns Dagster's result, of a failed run too."""
    job = defs().resolve_job_def(name)
    return job.execute_in_process(run_config=config, raise_on_error=False, instance=instance, tags=tags)


def backfill_config(*files: str, ledger_timeout_s: float = 120.0) -> dict[str, Any]:
    """Returns the run config that loads these files, or all of them."""
    config: dict[str, Any] = {"ledger_timeout_s": ledger_timeout_s}
    if files:
        config["files"] = list(files)
    return {"ops": {"csv_backfill": {"config": config}}}


def evaluations(result: Any) -> Evaluations:
    """Returns the run's check evaluations by name."""
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def failure_text(result: Any) -> str:
    """Returns what the run's failed steps say."""
    failed = [event for event in result.all_events if event.is_step_failure]
    texts = []
    for event in failed:
        data = event.step_failure_data
        texts.append(str(data.error))
        if data.user_failure_data is not None:
            texts.append(str(data.user_failure_data.description))
    return "\n".join(texts)


def tick(name: str, cursor: str | None = None, *, instance: dg.DagsterInstance | None = None) -> SensorExecutionData:
    """Returns what a sensor's next tick does in which every server answered in time.

    On a crowded machine a server may need longer than a tick waits. The daemon then ticks again, and so does this.
    """

    def answered() -> SensorExecutionData | None:
        found = one_tick(name, cursor, instance=instance)
        text = str(found.skip_message)
        return None if text.startswith(FOR_NOW) or any(part in text for part in PARTIAL) else found

    found = wait_until(answered, ANSWERED_S, f"a tick of {name} with an answer of each server")
    assert found is not None
    return found


def one_tick(
    name: str, cursor: str | None = None, *, instance: dg.DagsterInstance | None = None
) -> SensorExecutionData:
    """Evaluates one tick of a sensor, as the daemon does it, and returns what it would do."""
    loaded = defs()
    with nullcontext(instance) if instance is not None else dg.DagsterInstance.ephemeral() as used:
        context = dg.build_sensor_context(
            instance=used, cursor=cursor, sensor_name=name, resources={"platform": Platform()}, definitions=loaded
        )
        return loaded.get_repository_def().get_sensor_def(name).evaluate_tick(context)
