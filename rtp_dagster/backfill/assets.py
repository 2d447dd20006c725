"""`csv_backfill`: loads CSV files into Kafka as ``rtp load`` does, then waits until the consumer has written them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from rtp_dagster.backfill.interruption import interruption_noted
from rtp_dagster.backfill.ledger_wait import await_offsets
from rtp_dagster.backfill.results import Backfill, figures, metadata, outcomes_table, rate_per_s, together
from rtp_dagster.platform import Platform
from rtp_dagster.retries import FIRST_WAIT_S, RETRIES, retried
from rtp_workers.batch.attempts import attempt_load
from rtp_workers.batch.folder import FoundFile, list_data
from rtp_workers.batch.load_errors import CancelledError
from rtp_workers.batch.load_file import LoadOptions, LoadProgress, LoadReport
from rtp_workers.errors import ConfigError, RtpError, TransientError
from rtp_workers.postgres import load_outcomes
from rtp_workers.postgres.csv_loads import LoadRunningError
from rtp_workers.settings import DagsterSettings

SHOW_EVERY_S = 10.0
SHOWN_NAMES = 100
LOCKED_RETRIES, LOCKED_WAIT_S = 20, 15.0  # another loader may need minutes for the file


class BackfillConfig(dg.Config):
    """What to load.

    Attributes:
        files: names of CSV files directly in the data folder; None: all of them. A file that was loaded before is
            recognised by its content, which takes one reading.
        ledger_timeout_s: how long the consumer may take to write what was loaded; None:
            RTP_BACKFILL_LEDGER_TIMEOUT_S.
    """

    files: list[str] | None = None
    ledger_timeout_s: float | None = None


@dg.op(ins={"topic": dg.In(dg.Nothing), "files": dg.In(dg.Nothing)})
def load_files(context: dg.OpExecutionContext, config: BackfillConfig, platform: Platform) -> Backfill:
    """Loads the files one after another. Each resumes where an earlier run stopped.

    A cancelled run stores what Kafka has acknowledged, and ends. A file that fails does not hold up the others: the
    run fails after them. Transient errors are retried; for minutes, if another loader is busy with the file.
    """
    settings = platform.settings()
    reports: list[LoadReport] = []
    problems: dict[str, RtpError] = {}
    with retried(context.retry_number):
        files = chosen_files(settings, config.files, context.log.warning)
    with interruption_noted() as interrupted:
        for file in files:
            options = LoadOptions(on_progress=_progress_log(context), cancelled=interrupted)
            try:
                reports.append(attempt_load(str(file.path), platform.endpoints(), settings, options))
            except CancelledError as error:
                context.log.info(str(error))
                break
            except RtpError as error:
                context.log.error(f"{file.name}: {error}")
                problems[file.name] = error
            else:
                context.log.info(summary(reports[-1]))
    backfill = together(reports)
    if problems:
        raise _failure(problems, backfill, context.retry_number) from next(iter(problems.values()))
    context.add_output_metadata(figures(backfill))
    return backfill


@dg.op(out=dg.Out(dg.Nothing))
def await_ledger(
    context: dg.OpExecutionContext, config: BackfillConfig, platform: Platform, backfill: Backfill
) -> dg.Output[None]:
    """Waits until the consumer's ledger has passed the last record of these files. Other traffic is not waited for."""
    settings = platform.settings()
    timeout_s = config.ledger_timeout_s or settings.backfill_ledger_timeout_s
    started = time.monotonic()
    if backfill.last_offsets:
        with retried(context.retry_number):
            await_offsets(platform, backfill.topic_id, backfill.last_offsets, timeout_s, context.log.info)
    waited = dg.MetadataValue.float(round(time.monotonic() - started, 3))
    with platform.reader() as connection:
        endings = [
            (report, load_outcomes.read(connection, report.load_id))
            for report in backfill.reports
            if report.load_id is not None
        ]
    found = {**metadata(backfill), **outcomes_table(endings), "ledger_waited_s": waited}
    return dg.Output(None, metadata=found)


@dg.config_mapping
def backfill_config(config: BackfillConfig) -> Mapping[str, Any]:
    """Passes the asset's config on to its two steps."""
    return {step: {"config": config.model_dump()} for step in ("load_files", "await_ledger")}


@dg.graph_asset(
    ins={"transactions_topic": dg.AssetIn(dagster_type=dg.Nothing), "csv_files": dg.AssetIn(dagster_type=dg.Nothing)},
    config=backfill_config,
    group_name="ingestion",
    kinds={"csv", "kafka"},
    owners=["team:data-platform"],
    description=(
        "Loads CSV files of the data folder into the topic as `rtp load` does (same resume, same refusals), "
        "then waits until they are in PostgreSQL."
    ),
)
def csv_backfill(transactions_topic: Any, csv_files: Any) -> Any:
    """Loads the files, then waits for the consumer."""
    return await_ledger(load_files(topic=transactions_topic, files=csv_files))


def chosen_files(settings: DagsterSettings, names: list[str] | None, warn: Callable[[str], None]) -> list[FoundFile]:
    """Returns the CSV files of the data folder, or only those with these names.

    Args:
        settings: name the data folder.
        names: file names; None: all files.
        warn: called with a sentence about each entry that cannot be loaded.

    Raises:
        dg.Failure: no CSV file in the folder has this name. A run's config must not reach files elsewhere.
    """
    try:
        listing = list_data(settings)
    except ConfigError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    for entry in listing.refused:
        warn(f"{entry.name} is not loaded: {entry.reason}")
    found = {file.name: file for file in listing.files}
    unknown = [name for name in names or () if name not in found]
    if unknown:
        there = ", ".join([*list(found)[:SHOWN_NAMES], *(["..."] if len(found) > SHOWN_NAMES else [])]) or "none"
        raise dg.Failure(
            f"no CSV named {', '.join(unknown)} in {settings.data_dir}; the files there are: {there}. "
            "Give names of files in that folder",
            allow_retries=False,
        )
    return [found[name] for name in names] if names else list(found.values())


def summary(report: LoadReport) -> str:
    """Returns one line about a finished load."""
    if report.rows_read == report.resumed_rows:
        return f"{report.file}: loaded before, {report.rows_read:,} rows"
    return (
        f"{report.file}: {report.rows_read:,} rows read, {report.acknowledged:,} acknowledged, "
        f"{report.refused:,} refused; {report.resumed_rows:,} of them before; "
        f"{report.seconds:.1f} s, {rate_per_s(report):,.0f} rows/s"
    )


def _failure(problems: Mapping[str, RtpError], backfill: Backfill, attempt: int) -> Exception:
    """Returns the exception that ends the step: a retry if an error may pass or another loader may finish."""
    if all(isinstance(error, LoadRunningError) for error in problems.values()) and attempt < LOCKED_RETRIES:
        return dg.RetryRequested(LOCKED_RETRIES, LOCKED_WAIT_S)
    if any(isinstance(error, TransientError) for error in problems.values()) and attempt < RETRIES:
        return dg.RetryRequested(RETRIES, FIRST_WAIT_S * 2**attempt)
    text = "; ".join(f"{name}: {error}" for name, error in problems.items())
    return dg.Failure(f"not loaded: {text}", metadata=metadata(backfill), allow_retries=False)


def _progress_log(context: dg.OpExecutionContext) -> Callable[[LoadProgress], None]:
    shown_at = time.monotonic()

    def show(progress: LoadProgress) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at < SHOW_EVERY_S:
            return
        shown_at = time.monotonic()
        share = f"{progress.read_bytes / progress.size_bytes:.0%} read, " if progress.size_bytes else ""
        waiting = f"; Kafka has taken nothing for {progress.waiting_s:.0f} s" if progress.waiting_s else ""
        context.log.info(
            f"{progress.file}: {share}{progress.acknowledged:,} acknowledged, {progress.refused:,} refused{waiting}"
        )

    return show
