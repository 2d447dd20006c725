"""Starts the code server, and has the runs looked after that its predecessor lost: ``python serve.py ARGUMENTS``.

Every run is a process beside the code server in this container. What the instance calls started when the container
starts has no process any more, which Dagster cannot know: it would wait for hours. See `lost_runs.py`.
"""

import os
import subprocess
import sys

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

LOOK_BACK = 50  # failed runs at most

with DagsterInstance.get() as instance:
    open_runs = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]))
    given_up = instance.get_runs(
        RunsFilter(statuses=[DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "false"}), limit=LOOK_BACK
    )
    # Interrupted by a stop: the daemon tried the retry while nobody answered here, once, and gave up.
    given_up = [
        run
        for run in given_up
        if AUTO_RETRY_RUN_ID_TAG not in run.tags and auto_reexecution_should_retry_run(instance, run, None)
    ]
    lost = [run.run_id for run in (*open_runs, *given_up)]

if lost:
    # Through a shell that ends at once, so that the container's init becomes its parent.
    subprocess.run(["sh", "-c", 'python /opt/dagster/lost_runs.py "$@" &', "sh", *lost], check=True)
os.execvp("dagster", ["dagster", "api", "grpc", *sys.argv[1:]])
