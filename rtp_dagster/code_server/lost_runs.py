"""Finds runs whose process is gone. Dagster itself cannot know that: it would show them as running for hours.

Once a run is marked as failed, Dagster retries it (the instance's ``run_retries``), and a backfill resumes. The daemon
starts the retry through the code server, and gives up if that does not answer. So a run is marked once the server
answers, and again until its retry exists.
"""

from __future__ import annotations

import logging
import time

import grpc
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from sqlalchemy.exc import OperationalError

GONE = "the platform was stopped or killed during this run, and its process is gone"
LOOK_BACK = 50  # how many failed runs to look at
GIVE_UP_S = 600
LOOK_S = 3


def find_lost() -> set[str]:
    """Returns the ids of runs to look after. Call it before serving, when no run of this server can be running."""
    with DagsterInstance.get() as instance:
        open_runs = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]))
        failed = RunsFilter(statuses=[DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "false"})
        # Interrupted by a stop: the daemon tried once to start the retry while no server answered, and gave up.
        given_up = [
            run
            for run in instance.get_runs(failed, limit=LOOK_BACK)
            if AUTO_RETRY_RUN_ID_TAG not in run.tags and auto_reexecution_should_retry_run(instance, run, None)
        ]
    return {run.run_id for run in (*open_runs, *given_up)}


def look_after(run_ids: set[str], target: str) -> None:
    """Reports lost runs to the instance until each is settled, for at most `GIVE_UP_S` seconds.

    Args:
        run_ids: what `find_lost` returned.
        target: the code server's gRPC address. It may not answer yet.
    """
    log = logging.getLogger("dagster.code_server")
    log.info("Looking after %d runs that have lost their process", len(run_ids))
    deadline = time.monotonic() + GIVE_UP_S
    with grpc.insecure_channel(target) as channel:
        grpc.channel_ready_future(channel).result(GIVE_UP_S)
    with DagsterInstance.get() as instance:
        while run_ids and time.monotonic() < deadline:
            try:
                run_ids = {run_id for run_id in run_ids if not settled(instance, instance.get_run_by_id(run_id))}
            except OperationalError as error:
                log.warning("The instance's database is away: %s", error.orig)
            time.sleep(LOOK_S)
    if run_ids:
        log.warning("Not retried within %d s: %s", GIVE_UP_S, ", ".join(sorted(run_ids)))


def settled(instance: DagsterInstance, run: DagsterRun | None) -> bool:
    """Reports the run as failed if it is not yet, and tells whether nothing is left to do for it."""
    if run is None:
        return True
    if run.status == DagsterRunStatus.STARTED:
        instance.report_run_failed(run, GONE)
        return False
    if run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, GONE)
        return True
    if run.status != DagsterRunStatus.FAILURE or AUTO_RETRY_RUN_ID_TAG in run.tags:
        return True
    if run.tags.get(WILL_RETRY_TAG) == "false":  # the daemon has tried to retry it, and failed
        if not auto_reexecution_should_retry_run(instance, run, None):
            return True
        instance.report_run_failed(run, GONE)
    return False
