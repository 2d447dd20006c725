"""``rtp load``: sends CSV files to Kafka, shows progress, resumes, and reports what became of the records."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rtp_workers.batch.attempts import attempt_load
from rtp_workers.batch.load_file import LoadOptions, LoadProgress, LoadReport
from rtp_workers.batch.object_names import expanded
from rtp_workers.batch.planning import Overrides
from rtp_workers.batch.preview import preview
from rtp_workers.batch.source_file import open_source, store_access
from rtp_workers.cli import dry_run
from rtp_workers.cli.dry_run import DryRun
from rtp_workers.cli.terminal import console, say
from rtp_workers.counted import counted
from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.errors import RtpError
from rtp_workers.postgres.connection import connect
from rtp_workers.reconcile.load_endings import LoadEnding, await_ending, in_words
from rtp_workers.settings import LoaderSettings, load

Show = Callable[[LoadProgress], None]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--dry-run", "only_look", is_flag=True, help="Show the mapping and the rows that would be refused; send nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--source", help="Section of the mapping file, instead of the one whose pattern matches the name.")
@click.option("--delimiter", help="The cells' separator, instead of what was found in the file; \\t is a tab.")
@click.option("--encoding", help="The file's encoding, instead of what was found, e.g. cp1252.")
@click.option(
    "--overlap",
    type=click.Choice(["same", "other"]),
    help="Whether rows that look like stored ones come from the same account or another.",
)
@click.option("--again", is_flag=True, help="Send every row, even if it was loaded before; no row is stored twice.")
@click.option("--final", is_flag=True, help="The file is complete, even if its last line has no newline.")
@click.option("--wait", "wait_s", default=30.0, help="Seconds to wait for a file that is still being written.")
def command(files: tuple[str, ...], only_look: bool, as_json: bool, **given: Any) -> int:
    """Load CSV FILEs into Kafka; - reads stdin. A load that was stopped resumes where it stopped.

    A FILE may be an object: s3://bucket/exports/*.csv.gz, in quotes because of the *; also gs://, az:// and https://.
    """
    settings = load(LoaderSettings)
    delimiter = "\t" if given["delimiter"] == "\\t" else given["delimiter"]
    overrides = Overrides(given["source"], delimiter, given["encoding"], given["overlap"])
    files = expanded(files, settings)
    if only_look:
        return _look_at_all(files, settings, overrides, given["wait_s"], as_json=as_json)
    options = LoadOptions(overrides, given["wait_s"], given["final"], given["again"])
    endpoints = resolve(settings)
    reports, failed = _load_all(files, endpoints, settings, options)
    endings = _endings(endpoints, reports)
    if as_json:
        click.echo(json.dumps({"files": [_as_json(report, endings.get(report.load_id)) for report in reports]}))
    else:
        for report in reports:
            say(_as_text(report, endings.get(report.load_id)))
    useless = any(_needs_a_person(report, endings.get(report.load_id)) for report in reports)
    return 1 if failed or useless else 0


def _endings(endpoints: Endpoints, reports: Sequence[LoadReport]) -> dict[int | None, LoadEnding]:
    """Returns what became of the records, by load number; loads of stdin have none."""
    numbered = [report for report in reports if report.load_id is not None]
    if not numbered:
        return {}
    connection = connect(endpoints.need("postgres_ingest_dsn"), "rtp load", autocommit=True)
    try:
        return {
            report.load_id: await_ending(connection, report.load_id, report.topic_id)
            for report in numbered
            if report.load_id is not None
        }
    finally:
        connection.close()


def _needs_a_person(report: LoadReport, ending: LoadEnding | None) -> bool:
    """Tells whether rows of a file that was read should be in the table but are not."""
    if report.warnings or report.rows_gone:
        return True
    if ending is None or ending.waiting or not ending.outcomes.counted:
        return False
    outcomes = ending.outcomes
    return outcomes.inserted + outcomes.duplicates <= outcomes.purged


def _look_at_all(
    files: tuple[str, ...], settings: LoaderSettings, overrides: Overrides, wait_s: float, *, as_json: bool
) -> int:
    found, failed = [], 0
    for path in files:
        try:
            found.append(_dry_run(path, settings, overrides, wait_s))
        except RtpError as error:
            if len(files) == 1:
                raise
            failed += 1
            say(f"error: {error}", err=True)
    _show_dry_runs(found, as_json)
    return 1 if failed else 0


def _dry_run(path: str, settings: LoaderSettings, overrides: Overrides, wait_s: float) -> DryRun:
    access = store_access(path, settings)
    with open_source(path, wait_s=wait_s, max_ratio=settings.loader_max_ratio, access=access) as source:
        seen = preview(source, settings, overrides, resolve(settings).postgres_ingest_dsn)
        shown = dry_run.dry_run(source.name, seen.planned, sample_is_all=not source.read(1))
        shown.preview = seen
        return shown


def _show_dry_runs(results: list[DryRun], as_json: bool) -> None:
    if as_json:
        shapes = [dry_run.as_json(result) for result in results]
        click.echo(json.dumps(shapes[0] if len(shapes) == 1 else {"files": shapes}))
        return
    for result in results:
        dry_run.show(result, console())


def _load_all(
    files: tuple[str, ...], endpoints: Endpoints, settings: LoaderSettings, options: LoadOptions
) -> tuple[list[LoadReport], int]:
    reports, failed = [], 0
    with _bar() as show:
        for path in files:
            try:
                reports.append(attempt_load(path, endpoints, settings, replace(options, on_progress=show)))
            except RtpError as error:
                if len(files) == 1:
                    raise
                failed += 1
                say(f"error: {error}", err=True)
    return reports, failed


@contextmanager
def _bar() -> Iterator[Show]:
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows acknowledged, {task.fields[refused]:,} refused{task.fields[trouble]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def show(progress: LoadProgress) -> None:
            if progress.file not in tasks:
                tasks[progress.file] = bar.add_task(progress.file, rows=0, refused=0, trouble="")
            trouble = f"; waiting for Kafka ({progress.waiting_s:.0f} s)" if progress.waiting_s else ""
            bar.update(
                tasks[progress.file],
                completed=progress.read_bytes,
                total=progress.size_bytes,
                rows=progress.acknowledged,
                refused=progress.refused,
                trouble=trouble,
            )

        yield show


def _as_json(report: LoadReport, ending: LoadEnding | None) -> dict[str, object]:
    return {
        "file": report.file,
        "rows_read": report.rows_read,
        "acknowledged": report.acknowledged,
        "refused": report.refused,
        "seconds": round(report.seconds, 3),
        "resumed_rows": report.resumed_rows,
        "refused_file": report.refused_at or None,
        "load_id": report.load_id,
        "ended": None if ending is None else _ended_as_json(ending),
        "rows_gone": report.rows_gone,
        "warnings": list(report.warnings),
    }


def _ended_as_json(ending: LoadEnding) -> dict[str, object]:
    outcomes = ending.outcomes
    return {
        "new": outcomes.inserted,
        "already_stored": outcomes.duplicates - outcomes.own_repeats,
        "stored_by": dict(outcomes.stored_by),
        "changed": outcomes.changed,
        "dead_letters": outcomes.dead_letters,
        "purged": outcomes.purged,
        "waiting": ending.waiting,
    }


def _as_text(report: LoadReport, ending: LoadEnding | None) -> str:
    if report.rows_gone:
        return (
            f"{report.file}: was loaded before, but {report.rows_gone:,} of its rows have been purged since; "
            "nothing was loaded now. `rtp load --again` brings them back"
        )
    new = report.rows_read - report.resumed_rows
    rate = f", {new / report.seconds:,.0f} rows/s" if report.seconds > 0.1 else ""
    text = f"{report.file}: {report.acknowledged:,} of {counted(report.rows_read, 'row')} acknowledged by Kafka"
    if report.resumed_rows:
        text += f" ({report.resumed_rows:,} by an earlier run)"
    text += f", {report.seconds:.1f} s{rate}"
    if ending is not None:
        text += f"\n  {in_words(ending)}"
    for warning in report.warnings:
        text += f"\n  {warning}"
    if report.refused_at:
        text += f"\n  {report.refused:,} refused, listed in {report.refused_at}"
    return text
