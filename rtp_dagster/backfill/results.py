"""What a backfill did, as recorded in Dagster's event log."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import dagster as dg

from rtp_dagster.plots import bar_chart
from rtp_workers.batch.load_file import LoadReport
from rtp_workers.batch.refused_file import raw_row
from rtp_workers.postgres.load_outcomes import Outcomes

PREVIEW_ROWS = 10
PREVIEW_CHARACTERS = 120
BARS = 20


@dataclass(frozen=True, slots=True)
class Backfill:
    """The loads of one run.

    Attributes:
        topic_id: the topic that the offsets belong to; empty if nothing was sent.
        last_offsets: kafka_partition -> offset of the last record that Kafka acknowledged, over all files.
        reports: one per file, in the order of loading.
    """

    topic_id: str = ""
    last_offsets: dict[int, int] = field(default_factory=dict)
    reports: tuple[LoadReport, ...] = ()


def together(reports: Iterable[LoadReport]) -> Backfill:
    """Combines the reports of several loads into one backfill."""
    loaded = tuple(reports)
    offsets: dict[int, int] = {}
    for report in loaded:
        for number, offset in report.last_offsets.items():
            offsets[number] = max(offset, offsets.get(number, -1))
    return Backfill(next((report.topic_id for report in loaded), ""), offsets, loaded)


def rate_per_s(report: LoadReport) -> float:
    """Returns the rows per second of this run; 0.0 if an earlier run had settled every row."""
    new = report.rows_read - report.resumed_rows
    return new / report.seconds if new and report.seconds else 0.0


def metadata(backfill: Backfill) -> dict[str, dg.MetadataValue]:
    """Returns the figures, a chart of the rates, how foreign files were read, and the first refused rows."""
    found = figures(backfill)
    rates = {report.file: rate_per_s(report) for report in backfill.reports[:BARS] if rate_per_s(report)}
    if rates:
        found["load_rate"] = bar_chart("Rows acknowledged by Kafka per second, by file", "rows/s", rates)
    mappings = [report.mapping for report in backfill.reports if report.mapping]
    if mappings:
        found["mapping"] = dg.MetadataValue.md("\n\n".join(f"```toml\n{mapping}```" for mapping in mappings))
    refused = refused_preview(backfill.reports)
    if refused:
        found["refused_rows"] = dg.MetadataValue.table(refused)
    return found


def figures(backfill: Backfill) -> dict[str, dg.MetadataValue]:
    """Returns the sums over all files, and a table with one row per file."""
    reports = backfill.reports
    new, seconds = sum(r.rows_read - r.resumed_rows for r in reports), sum(r.seconds for r in reports)
    return {
        "files": dg.MetadataValue.int(len(reports)),
        "rows_read": dg.MetadataValue.int(sum(r.rows_read for r in reports)),
        "rows_acknowledged": dg.MetadataValue.int(sum(r.acknowledged for r in reports)),
        "rows_refused": dg.MetadataValue.int(sum(r.refused for r in reports)),
        "rows_settled_before": dg.MetadataValue.int(sum(r.resumed_rows for r in reports)),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "rows_per_s": dg.MetadataValue.float(round(new / seconds if seconds else 0.0, 1)),
        "per_file": dg.MetadataValue.table([_record(report) for report in reports], _SCHEMA),
        "last_offsets": dg.MetadataValue.json(
            {str(number): at for number, at in sorted(backfill.last_offsets.items())}
        ),
    }


def outcomes_table(endings: Sequence[tuple[LoadReport, Outcomes]]) -> dict[str, dg.MetadataValue]:
    """Returns a table of how each file's records ended in PostgreSQL: new, stored before (by what), dead letters."""
    if not endings:
        return {}
    rows = [
        dg.TableRecord(
            {
                "file": report.file,
                "load": report.load_id or 0,
                "new": ended.inserted,
                "already_stored": ended.duplicates - ended.own_repeats,
                "stored_by": ", ".join(f"{source.removeprefix('csv:')} {n:,}" for source, n in ended.stored_by[:3]),
                "changed": ended.changed,
                "dead_letters": ended.dead_letters,
                "purged": ended.purged,
            }
        )
        for report, ended in endings
    ]
    return {
        "rows_new": dg.MetadataValue.int(sum(ended.inserted for _, ended in endings)),
        "rows_already_stored": dg.MetadataValue.int(sum(e.duplicates - e.own_repeats for _, e in endings)),
        "rows_dead_letters": dg.MetadataValue.int(sum(ended.dead_letters for _, ended in endings)),
        "how_rows_ended": dg.MetadataValue.table(rows),
    }


def refused_preview(reports: Sequence[LoadReport]) -> list[dg.TableRecord]:
    """Returns the first refused rows of each file, at most `PREVIEW_ROWS`. A list that was deleted is left out."""
    records: list[dg.TableRecord] = []
    for report in reports:
        if report.refused_file is None or not report.refused_file.exists():
            continue
        with report.refused_file.open(newline="", encoding="utf-8") as file:
            for row in islice(csv.DictReader(file), PREVIEW_ROWS - len(records)):
                shown = {name: raw_row(str(row[name]))[:PREVIEW_CHARACTERS] for name in ("reason", "detail", "row")}
                records.append(dg.TableRecord({"file": report.file, "line": int(row["line"]), **shown}))
    return records


def _record(report: LoadReport) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "file": report.file,
            "rows_read": report.rows_read,
            "acknowledged": report.acknowledged,
            "refused": report.refused,
            "settled_before": report.resumed_rows,
            "seconds": round(report.seconds, 3),
            "rows_per_s": round(rate_per_s(report), 1),
            "refused_file": report.refused_at,
        }
    )


_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("file", "string"),
        dg.TableColumn("rows_read", "int", "data rows of the file, including those of earlier runs"),
        dg.TableColumn("acknowledged", "int", "records that Kafka has"),
        dg.TableColumn("refused", "int", "rows that could not become records"),
        dg.TableColumn("settled_before", "int", "rows that an earlier run had settled"),
        dg.TableColumn("seconds", "float", "of this run"),
        dg.TableColumn("rows_per_s", "float", "of this run"),
        dg.TableColumn("refused_file", "string", "where the refused rows are listed"),
    ]
)
