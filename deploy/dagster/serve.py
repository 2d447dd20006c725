"""Starts the code server, after it has closed what its killed predecessor left open: ``python serve.py ARGUMENTS``.

Every run is a process beside the code server in this container. Whatever the instance still calls started when the
container starts has no process any more; Dagster cannot know that, and would wait for hours. Marked as failed, a run is
retried (``run_retries`` in dagster.yaml), and a backfill goes on where it stood.
"""

import os
import sys

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

GONE = "batch-processor was restarted: the process of this run is gone"

with DagsterInstance.get() as instance:
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        instance.report_run_failed(run, GONE)
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.CANCELING])):
        instance.report_run_canceled(run, GONE)

os.execvp("dagster", ["dagster", "api", "grpc", *sys.argv[1:]])
