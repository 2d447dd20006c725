"""``rtp status``: shows services, rows, lag per partition, rates and dead letters in one table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from rtp_workers.batch.file_states import counts, folder_states
from rtp_workers.cli.terminal import console
from rtp_workers.consumer.disk import full_disk
from rtp_workers.counted import counted
from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.errors import RtpError
from rtp_workers.local.kafka_jars import kafka_version
from rtp_workers.postgres.connection import connect
from rtp_workers.reconcile.status import PROBE_S, status
from rtp_workers.reconcile.topic_logs import read_topic_logs
from rtp_workers.reconcile.verify import reader_dsn
from rtp_workers.settings import PlatformSettings, load

STATEMENT_MS = 2_000
SHOWN_FILES, SHOWN_CHARACTERS = 10, 300
PARTS = ("kafka", "postgres", "producer", "consumer", "dagster")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def command(as_json: bool) -> int:
    """Show services, rows, lag per partition, rates and dead letters; exit 1 if Kafka or PostgreSQL is away."""
    settings = load(PlatformSettings)
    endpoints = resolve(settings)
    report = status(
        _with_default_urls(endpoints, settings),
        settings.topic,
        settings.reading_token,
        settings.group_id,
        lambda: read_topic_logs(endpoints, settings, PROBE_S),
    )
    # Kafka does not report its version to clients; the version of our own broker is pinned.
    report["kafka"]["version"] = kafka_version() if report["kafka"]["up"] and not settings.kafka_bootstrap else None
    report["disk"] = full_disk(settings.home)
    report["files"] = _files(settings, endpoints) if report["postgres"]["up"] else None
    if as_json:
        click.echo(json.dumps(report))
    else:
        console().print(_table(report, settings.topic))
    return 0 if report["kafka"]["up"] and report["postgres"]["up"] else 1


def _with_default_urls(endpoints: Endpoints, settings: PlatformSettings) -> Endpoints:
    """Fills in the default addresses of our services, for workers that were started one by one."""
    return replace(
        endpoints,
        producer_url=endpoints.producer_url or f"http://127.0.0.1:{settings.producer_port}",
        consumer_url=endpoints.consumer_url or f"http://127.0.0.1:{settings.consumer_port}",
        dagster_url=endpoints.dagster_url or f"http://127.0.0.1:{settings.dagster_port}",
    )


def _files(settings: PlatformSettings, endpoints: Endpoints) -> dict[str, Any] | None:
    """Returns how many files of the data folder are loaded, and why the others are not; None: not known."""
    try:
        connection = connect(
            reader_dsn(endpoints), "rtp-status", autocommit=True, options=f"-c statement_timeout={STATEMENT_MS}"
        )
        try:
            states = folder_states(settings, connection)
        finally:
            connection.close()
    except RtpError:
        return None
    out = [
        {"file": state.name, "state": state.state, "reason": state.reason}
        for state in states
        if state.state in ("failed", "refused")
    ]
    return {**counts(states), "not_loaded": out}


def _table(report: dict[str, Any], topic: str) -> Table:
    table = Table("", "", title=f"rtp: topic {topic}", show_header=False)
    for part in PARTS:
        found = report[part]
        table.add_row(part, _state(found), Text(found["detail"] or found.get("version") or ""))
    if report["disk"] is not None:
        table.add_row("disk", Text("full", "red"), Text(report["disk"]))
    table.add_section()
    table.add_row("rows", _figure(report["rows"]), _per_s(report["rows_per_s"]))
    table.add_row(
        "dead letters", _figure(report["dead_letters"]), "`rtp dead-letters list`" if report["dead_letters"] else ""
    )
    paused = f"paused: {report['paused_reason'] or 'no reason given'}" if report["paused"] else ""
    table.add_row("lag", _figure(report["lag"]), Text(paused, "yellow"))
    for number, left in (report["lag_by_partition"] or {}).items():
        table.add_row(f"  partition {number}", _figure(left), "")
    for why in report["why_waiting"]:
        table.add_row("  why", "", Text(why))
    _add_losses(table, report["losses"] or [])
    _add_files(table, report["files"])
    _add_topics(table, report)
    table.add_row("last write", report["last_write_at"] or "-", "")
    return table


def _add_losses(table: Table, losses: list[dict[str, Any]]) -> None:
    """Adds a line for what Kafka has lost of the stored records, until a person confirms it."""
    if losses:
        lost = sum(loss["records_at_most"] for loss in losses)
        what = "stored here. `rtp losses --confirm` ends this line"
        table.add_row("lost by Kafka", Text(f"up to {lost:,}", "yellow"), what)


def _add_files(table: Table, files: dict[str, Any] | None) -> None:
    if files is None:
        return
    new = f"{files['new']:,} not loaded yet" if files["new"] else ""
    table.add_row("files", f"{files['loaded']:,} loaded", new)
    for entry in files["not_loaded"][:SHOWN_FILES]:
        reason = " ".join(entry["reason"].split())[:SHOWN_CHARACTERS]
        table.add_row(Text(f"  {entry['file']}"), Text(entry["state"], "red"), Text(reason))
    if len(files["not_loaded"]) > SHOWN_FILES:
        table.add_row("", f"{len(files['not_loaded']) - SHOWN_FILES:,} more", "see --json")


def _state(part: dict[str, Any]) -> Text:
    if part["busy"]:
        return Text("busy", "yellow")
    return Text("up", "green") if part["up"] else Text("down", "red")


def _figure(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _per_s(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}/s"


def _add_topics(table: Table, report: dict[str, Any]) -> None:
    """Adds a line for each topic that is not our own: what came from it, or why it waits."""
    for found in report["topics"] or []:
        trouble = "; ".join(found["problems"].values())
        rows = f"{counted(found['inserted'], 'row')}, {counted(found['dead_lettered'], 'dead letter')}"
        table.add_row(f"topic {found['topic']}", f"lag {_figure(found['lag_records'])}", Text(trouble or rows))
    for name, reason in (report["topics_not_consumed"] or {}).items():
        table.add_row(f"topic {name}", Text("waits", "yellow"), Text(reason))
