"""`csv_arrival_sensor`: starts a run of `batch_backfill` for each CSV file of the data folder until it is loaded."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from rtp_dagster.backfill.arrivals import Arrivals, Memory, arrivals, digest, signature
from rtp_dagster.backfill.files import CHECK, CSV_FILES, judge_files, reasons, waiting_text
from rtp_dagster.backfill.jobs import batch_backfill
from rtp_dagster.backfill.partitions import Files, Shown, dynamic_request, file_events
from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Event, Tick, read_cursor, sensor
from rtp_dagster.verdict import REPEAT_S, Verdict
from rtp_workers.batch.file_states import FileState, counts, note_folder, states_of
from rtp_workers.postgres.csv_files import last_attempts

INTERVAL_S = 20
FILE_TAG = "rtp/file"
OPEN_RUNS = 1_000


@sensor(
    INTERVAL_S,
    "Starts batch_backfill for each CSV file until it is loaded; half-written files wait.",
    batch_backfill,
)
def csv_arrival_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Requests one run for each settled file that is not loaded, a few at a time, and says what is not loaded and why.

    A file is done when it is loaded, not when a run was requested. After a transient error it is retried, and the
    wait doubles each time. A file that is not understood is retried when it or the mapping file changes.
    """
    settings, now_s = platform.settings(), time.time()
    before = read_cursor(context.cursor)
    with platform.reader(PROBE_S) as connection:
        tried = last_attempts(connection)
        states = states_of(settings, tried)
        note_folder(platform.endpoints(), states, tried, now_s)
        chosen = arrivals(states, Memory.read(before), running_files(context), now_s, settings.arrival_runs_per_tick)
        files = Files(states, tried, chosen.waiting)
        news, shown = file_events(files, Shown.read(before.get("shown")), connection, now_s)
    if chosen.ready:
        platform.look()  # while a server is away, runs would only fail; they are requested when it is back
    verdict = judge_files(states, chosen.waiting)
    events, told = _news(verdict, before.get("told"), now_s)
    return dg.SensorResult(
        run_requests=[run_request(state, now_s) for state in chosen.ready],
        skip_reason=None if chosen.ready else _skip_reason(states, chosen),
        cursor=json.dumps({**chosen.memory.written(), "told": told, "shown": astuple(shown)}),
        asset_events=[*events, *news],
        dynamic_partitions_requests=dynamic_request(news),
    )


def run_request(state: FileState, now_s: float) -> dg.RunRequest:
    """Returns the request for a run that loads this file. Its key is always new: Dagster skips a key it has seen."""
    return dg.RunRequest(
        run_key=f"{digest(state.name)}-{signature(state)}-{now_s:.0f}",
        run_config={"ops": {"csv_backfill": {"config": {"files": [state.name]}}}},
        tags={FILE_TAG: state.name},
    )


def running_files(context: dg.SensorEvaluationContext) -> set[str]:
    """Returns the names of the files that have a queued or running run."""
    wanted = dg.RunsFilter(job_name=batch_backfill.name, statuses=NOT_FINISHED_STATUSES)
    runs = context.instance.get_runs(wanted, limit=OPEN_RUNS)
    return {run.tags[FILE_TAG] for run in runs if FILE_TAG in run.tags}


def _news(verdict: Verdict, told: Any, now_s: float) -> tuple[list[Event], list[Any]]:
    """Returns the check's evaluation if it is news, and what has been reported by now."""
    says = hashlib.blake2b(_without_figures(verdict.sentence).encode(), digest_size=6).hexdigest()
    if isinstance(told, list) and len(told) == 2 and told[0] == says and now_s - float(told[1]) < REPEAT_S:
        return [], told
    return [verdict.evaluation(CSV_FILES, CHECK)], [says, now_s]


def _without_figures(sentence: str) -> str:
    """Returns the sentence without its digits: a wait that gets shorter is not news."""
    return "".join(letter for letter in sentence if not letter.isdigit())


def _skip_reason(states: list[FileState], chosen: Arrivals) -> str:
    by_state: Mapping[str, int] = counts(states)
    text = f"nothing to load: {by_state['loaded']:,} of {len(states):,} files are loaded"
    if chosen.waiting:
        text += f"; waiting: {waiting_text(chosen.waiting)}"
    out = [state for state in states if state.state in ("failed", "refused")]
    return text + (f"; not loaded: {reasons(out)}" if out else "")
