"""Reports runs as failed that have lost their process: ``python lost_runs.py RUN_ID...``.

A failed run is retried (``run_retries`` in dagster.yaml), and a backfill goes on where it stood. The daemon creates the
retry through the code server, and gives up when that does not answer: so it is told once the server does, and again
until the retry is there.
"""

import subprocess
import sys
import time

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

GONE = "batch-processor was restarted: the process of this run is gone"
GIVE_UP_S = 600
LOOK_S = 3


def serving() -> bool:
    """Returns whether the code server answers."""
    return subprocess.run([sys.executable, "/opt/health/code_location_ok.py"], check=False).returncode == 0


def settled(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Reports the run where that is still to do, and returns whether nothing is left to do for it."""
    if run.status == DagsterRunStatus.STARTED:
        instance.report_run_failed(run, GONE)
        return False
    if run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, GONE)
        return True
    if run.status != DagsterRunStatus.FAILURE or AUTO_RETRY_RUN_ID_TAG in run.tags:
        return True
    if run.tags.get(WILL_RETRY_TAG) == "false":  # the daemon has tried, and failed
        if not auto_reexecution_should_retry_run(instance, run, None):
            return True
        instance.report_run_failed(run, GONE)
    return False


def main(run_ids: set[str]) -> None:
    """Looks after the runs until each is settled."""
    deadline = time.monotonic() + GIVE_UP_S
    while not serving() and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    with DagsterInstance.get() as instance:
        while run_ids and time.monotonic() < deadline:
            for run_id in list(run_ids):
                run = instance.get_run_by_id(run_id)
                if run is None or settled(instance, run):
                    run_ids.remove(run_id)
            time.sleep(LOOK_S)


main(set(sys.argv[1:]))
