"""`trim_history`: deletes old runs and events. Dagster itself deletes only old ticks (see dagster.yaml)."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from rtp_dagster.platform import Platform
from rtp_dagster.retries import retried
from rtp_workers.postgres.connection import connect, translated

BATCH_RUNS = 100
# What sensors record belongs to no run, and Dagster has no call to delete it. The newest evaluation of a check stays,
# because it is the check's state.
_EVENTS = "delete from event_logs where run_id = '' and timestamp < %s"
_CHECKS = """
delete from asset_check_executions as old
using asset_check_executions as newer
where old.create_timestamp < %s and newer.asset_key = old.asset_key and newer.check_name = old.check_name
  and newer.id > old.id
"""


class TrimConfig(dg.Config):
    """How long records are kept, in days: runs with their logs, and what sensors recorded at every tick."""

    keep_runs_days: int = 30
    keep_recorded_days: int = 7


@dg.op
def delete_old_history(context: dg.OpExecutionContext, config: TrimConfig, platform: Platform) -> None:
    """Deletes older records. The platform's own tables and the latest state of the assets stay as they are."""
    now = datetime.now(UTC)
    with retried(context.retry_number):
        runs = delete_runs(context.instance, now - timedelta(days=config.keep_runs_days))
        dsn = platform.endpoints().dagster_postgres_dsn
        events = delete_events(dsn, now - timedelta(days=config.keep_recorded_days)) if dsn else 0
    context.add_output_metadata({"runs": runs, "events": events})
    context.log.info(f"deleted {runs:,} old runs and {events:,} old events of sensors")


@dg.job(description="Deletes runs older than 30 days, and what sensors recorded more than 7 days ago.")
def trim_history() -> None:
    """One step."""
    delete_old_history()


daily_trim = dg.ScheduleDefinition(
    name="daily_trim",
    job=trim_history,
    cron_schedule="40 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps runs for 30 days, and what sensors recorded for 7.",
)


def delete_runs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Deletes finished runs created before that time, with their events, and returns how many."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    wanted = dg.RunsFilter(statuses=ended, created_before=before)
    deleted = 0
    while records := instance.get_run_records(wanted, limit=BATCH_RUNS):
        for record in records:
            instance.delete_run(record.dagster_run.run_id)
        deleted += len(records)
    return deleted


def delete_events(dsn: str, before: datetime) -> int:
    """Deletes the events that sensors recorded before that time from Dagster's own database, and returns how many.

    Raises:
        TransientError: the server is away.
        AttentionError: Dagster's tables are not those of the version that we use.
    """
    connection = connect(dsn, "rtp-dagster-trim", autocommit=True)
    try:
        naive_utc = before.replace(tzinfo=None)  # Dagster's columns have no time zone
        with translated("delete old events of Dagster"), connection.cursor() as cursor:
            cursor.execute(_EVENTS, (naive_utc,))
            events = cursor.rowcount
            cursor.execute(_CHECKS, (naive_utc,))
        return events
    finally:
        connection.close()
