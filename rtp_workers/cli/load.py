"""``rtp load``: CSV files into Kafka, with a progress bar, resumable."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rtp_workers.batch.attempts import attempt_load
from rtp_workers.batch.load_file import LoadOptions, LoadProgress, LoadReport
from rtp_workers.batch.planning import Overrides, plan_file
from rtp_workers.batch.source_file import open_source
from rtp_workers.cli import dry_run
from rtp_workers.cli.dry_run import DryRun
from rtp_workers.cli.terminal import console, say
from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.errors import RtpError
from rtp_workers.settings import LoaderSettings, load

Show = Callable[[LoadProgress], None]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--dry-run", "only_look", is_flag=True, help="Show the mapping and what would be refused; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--source", help="Section of the mapping file, instead of the one whose pattern fits the name.")
@click.option("--delimiter", help="What separates cells, instead of what the file looks like; \\t is a tab.")
@click.option("--encoding", help="The file's encoding, instead of what it looks like, e.g. cp1252.")
@click.option("--wait", "wait_s", default=30.0, help="Seconds to wait for a file that is still being written.")
def command(
    files: tuple[str, ...],
    only_look: bool,
    as_json: bool,
    source: str | None,
    delimiter: str | None,
    encoding: str | None,
    wait_s: float,
) -> int:
    """Load CSV FILEs into Kafka; - reads stdin. A load that was stopped goes on where it was."""
    settings = load(LoaderSettings)
    overrides = Overrides(source, "\t" if delimiter == "\\t" else delimiter, encoding)
    if only_look:
        _show_dry_runs([_dry_run(path, settings, overrides, wait_s) for path in files], as_json)
        return 0
    reports, failed = _load_all(files, resolve(settings), settings, LoadOptions(overrides, wait_s))
    if as_json:
        click.echo(json.dumps({"files": [_as_json(report) for report in reports]}))
    else:
        for report in reports:
            say(_as_text(report))
    return 1 if failed else 0


def _dry_run(path: str, settings: LoaderSettings, overrides: Overrides, wait_s: float) -> DryRun:
    with open_source(path, wait_s=wait_s) as source:
        planned = plan_file(source, settings, overrides)
        return dry_run.dry_run(source.name, planned, sample_is_all=not source.read(1))


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


def _as_json(report: LoadReport) -> dict[str, object]:
    return {
        "file": report.file,
        "rows_read": report.rows_read,
        "acknowledged": report.acknowledged,
        "refused": report.refused,
        "seconds": round(report.seconds, 3),
        "resumed_rows": report.resumed_rows,
        "refused_file": str(report.refused_file) if report.refused_file else None,
    }


def _as_text(report: LoadReport) -> str:
    new = report.rows_read - report.resumed_rows
    rate = f", {new / report.seconds:,.0f} rows/s" if report.seconds > 0.1 else ""
    text = f"{report.file}: {report.acknowledged:,} of {report.rows_read:,} rows acknowledged by Kafka"
    if report.resumed_rows:
        text += f" ({report.resumed_rows:,} by an earlier run)"
    text += f", {report.seconds:.1f} s{rate}"
    if report.refused_file:
        text += f"\n  {report.refused:,} refused, listed in {report.refused_file}"
    return text
