"""`alert_sensor`: sends a message when a check fails or recovers, a run fails for good, or a file is not loaded."""

import json
import time
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import is_reserved_asset_job_name
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    AUTOMATION_CONDITION_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
    WILL_RETRY_TAG,
)

from rtp_dagster.alerts.causes import Cause, Message, after, messages, read_told
from rtp_dagster.alerts.webhook import send
from rtp_dagster.backfill.files import CHECK, CSV_FILES
from rtp_dagster.backfill.sensors import FILE_TAG
from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Tick, read_cursor, sensor
from rtp_workers.batch.file_states import FileState, folder_states
from rtp_workers.errors import RtpError
from rtp_workers.settings import DagsterSettings

INTERVAL_S = 30
RUNS_OF_S = 24 * 3600  # failed runs of the last day are looked at; each is reported once
RUNS = 100
FILES = 100  # the most files that are reported one by one
FILE_KEYS = "file "
# Tags of runs that were not launched by hand.
BY_ITSELF = {FILE_TAG, SENSOR_NAME_TAG, SCHEDULE_NAME_TAG, AUTOMATION_CONDITION_TAG}
SHOWN_CHARACTERS = 500
PASSING_ATTEMPTS = 3  # a failure that may pass by itself is reported after this many


@sensor(
    INTERVAL_S,
    "Sends a message to RTP_ALERT_WEBHOOK_URL when something fails or recovers, once per cause.",
)
def alert_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> Tick:
    """Compares what is wrong now with what was reported. A message that cannot be sent is sent at a later tick."""
    settings, now_s = platform.settings(), time.time()
    url = settings.alert_webhook_url.get_secret_value() if settings.alert_webhook_url is not None else ""
    if not url:
        return dg.SkipReason("RTP_ALERT_WEBHOOK_URL is not set, so no alerts are sent")
    before = read_cursor(context.cursor)
    since_s = float(before.get("since_s", now_s - INTERVAL_S))
    told = read_told(before.get("told"))
    base = platform_url(platform, settings)
    causes = [*failing_checks(context, base), *failed_runs(context.instance, base, since_s, now_s)]
    files = unloaded_files(platform, settings, base)
    unknown = FILE_KEYS if files is None else None
    sent, problem = _send_all(url, messages([*causes, *(files or [])], told, now_s, unknown))
    cursor = {"since_s": since_s, "told": {key: astuple(known) for key, known in after(told, sent).items()}}
    count = len(causes) + len(files or [])
    wrong = f"{count:,} things are wrong" if count else "nothing is wrong"
    return dg.SensorResult(
        skip_reason=problem or f"{wrong}; sent {sum(bool(message.text) for message in sent)} messages",
        cursor=json.dumps(cursor),
    )


def platform_url(platform: Platform, settings: DagsterSettings) -> str:
    """Returns Dagster's address for a browser."""
    found = settings.dagster_public_url or platform.endpoints().dagster_url
    return (found or f"http://127.0.0.1:{settings.dagster_port}").rstrip("/")


def failing_checks(context: dg.SensorEvaluationContext, base: str) -> list[Cause]:
    """Returns the checks whose latest evaluation failed. A check that was never evaluated is left out."""
    repository = context.repository_def
    keys = list(repository.asset_graph.asset_check_keys) if repository is not None else []
    latest = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    causes = []
    for key, record in sorted(latest.items(), key=lambda item: str(item[0])):
        evaluation = record.evaluation if record.status is AssetCheckExecutionRecordStatus.FAILED else None
        # Not this check: files are reported one by one, since each file that fails is a cause of its own.
        if evaluation is None or key.name == CHECK:
            continue
        asset = key.asset_key.to_user_string()
        text = f"{key.name} on {asset} fails: {_short(evaluation.description or 'it gives no reason')}"
        link = f"{base}/assets/{quote(asset)}?view=checks&checkDetail={quote(key.name)}"
        causes.append(Cause(f"check {key.name} on {asset}", text, link))
    return causes


def failed_runs(instance: dg.DagsterInstance, base: str, since_s: float, now_s: float) -> list[Cause]:
    """Returns the runs that failed and are not retried, since alerts began, or of the last day if that is shorter.

    Runs that start automatically for the same file or the same assets are one cause. Otherwise each attempt would be
    reported.
    """
    begin = max(datetime.fromtimestamp(since_s, UTC), datetime.fromtimestamp(now_s, UTC) - timedelta(seconds=RUNS_OF_S))
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=begin)
    causes: dict[str, Cause] = {}
    for record in instance.get_run_records(wanted, limit=RUNS):  # the newest first
        run = record.dagster_run
        if run.tags.get(WILL_RETRY_TAG) == "true" or AUTO_RETRY_RUN_ID_TAG in run.tags:
            continue
        what = run_title(run)
        text = f"The run {run.run_id[:8]} of {what} failed and is not retried. Its page says why."
        key = f"runs of {what}" if BY_ITSELF & run.tags.keys() else f"run {run.run_id}"
        at_s = record.update_timestamp.timestamp()
        causes.setdefault(key, Cause(key, text, f"{base}/runs/{run.run_id}", recovers=False, since_s=at_s))
    return list(causes.values())


def run_title(run: dg.DagsterRun) -> str:
    """Returns a readable name for what a run does."""
    if FILE_TAG in run.tags:
        return f"{run.job_name} of {run.tags[FILE_TAG]}"
    if is_reserved_asset_job_name(run.job_name) and run.asset_selection:
        return ", ".join(sorted(key.to_user_string() for key in run.asset_selection))
    return run.job_name


def unloaded_files(platform: Platform, settings: DagsterSettings, base: str) -> list[Cause] | None:
    """Returns the files that cannot be loaded, those beyond `FILES` as one cause; None if they cannot be found now."""
    try:
        with platform.reader(PROBE_S) as connection:
            states = folder_states(settings, connection)
    except RtpError:
        return None
    link = f"{base}/assets/{CSV_FILES.to_user_string()}?view=checks&checkDetail={CHECK}"
    out = [state for state in states if _is_unloaded(state)]
    causes = [Cause(f"{FILE_KEYS}{state.name}", _unloaded(state), link) for state in out[:FILES]]
    if len(out) > FILES:
        rest = f"{len(out) - FILES:,} more files are not loaded. `rtp files` says why."
        causes.append(Cause(f"{FILE_KEYS}number {FILES + 1} and more", rest, link))
    return causes


def _unloaded(state: FileState) -> str:
    reason = _short(state.reason).rstrip(".")
    text = reason if reason.startswith(state.name) else f"{state.name} is not loaded: {reason}"
    return text if state.state == "refused" else f"{text}. It is {state.next_step}."


def _is_unloaded(state: FileState) -> bool:
    if state.state == "refused":
        return True
    tried = state.last.attempts if state.last is not None else 0
    return state.state == "failed" and (state.retry_at_s is None or tried >= PASSING_ATTEMPTS)


def _send_all(url: str, wanted: Sequence[Message]) -> tuple[list[Message], str | None]:
    """Sends the messages. Returns those that were sent or needed no sending, and what went wrong with the others."""
    sent: list[Message] = []
    for message in wanted:
        try:
            if message.text:
                send(url, message.text)
        except RtpError as error:
            return sent, str(error)
        sent.append(message)
    return sent, None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "..."
