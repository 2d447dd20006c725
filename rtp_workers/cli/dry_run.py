"""What ``rtp load --dry-run`` shows: the mapping and why, five transactions, refused rows, and open questions."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader
from rtp_workers.batch.planning import PlannedFile
from rtp_workers.batch.preview import Preview
from rtp_workers.batch.rows import RefusedRow
from rtp_workers.counted import counted
from rtp_workers.mapping.plan import ColumnUse, FilePlan
from rtp_workers.mapping.section_text import question_text
from rtp_workers.postgres.csv_loads import Progress
from rtp_workers.record.transaction import FIELD_NAMES, RULES, Kind, fields_of

SHOWN_ROWS = 5
SHOWN_REFUSALS = 20
TIME_S = 0.6
BLOCK_BYTES = 128 * 1024
# Most characters by the kind of a field. A longer text is cut with an ellipsis. Free texts share the remaining space.
WIDTHS: dict[Kind, int] = {"id": 14, "instant": 25, "decimal": 14, "party": 14, "text": 20, "choice": 16, "code": 3}
WIDENED = fields_of("text")
# A narrow terminal hides the last fields of these kinds first. An amount keeps its currency.
HIDDEN_FIRST = [
    name for name in reversed(FIELD_NAMES) if name in fields_of("code", "choice", "party", "id") and name != "currency"
]
SHORT_NAMES = {
    "currency": "cur",
    "country": "in",
    "transaction_id": "id",
    "customer_id": "customer",
    "payment_method": "method",
}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}


@dataclass(slots=True)
class DryRun:
    """What a load would do, judged by the file's beginning.

    Attributes:
        sample: the first transactions as they would be stored.
        refused: every refused row of the rows looked at.
        rows: rows looked at; ``whole_file`` if these are all.
        repeated_ids: rows with the id of an earlier row.
        preview: how the file compares with earlier ones of its source; None if nobody looked.
    """

    file: str
    plan: FilePlan
    sample: list[dict[str, Any]] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    rows: int = 0
    repeated_ids: int = 0
    whole_file: bool = True
    preview: Preview | None = None


def dry_run(file_name: str, planned: PlannedFile, *, sample_is_all: bool = False) -> DryRun:
    """Converts the beginning of a file as a load would, for as long as a person is willing to wait."""
    result = DryRun(file_name, planned.plan)
    if planned.plan.undecided:
        return result
    reader = BlockReader(
        io.BytesIO(_whole_lines(planned.sample, sample_is_all)), planned.plan.dialect.encoding, BLOCK_BYTES
    )
    chunks = ChunkReader(reader, planned.plan, Progress())
    ids: set[str] = set()
    until = time.monotonic() + TIME_S
    for chunk in chunks.chunks():
        for value in chunk.encoded.values:
            transaction = json.loads(value)
            result.repeated_ids += transaction["transaction_id"] in ids
            ids.add(transaction["transaction_id"])
            if len(result.sample) < SHOWN_ROWS:
                result.sample.append(transaction)
        result.refused += chunk.encoded.refused
        result.rows = chunk.progress.rows_read
        if time.monotonic() > until:
            result.whole_file = False
            break
    result.whole_file = result.whole_file and sample_is_all
    return result


def _whole_lines(sample: bytes, is_all: bool) -> bytes:
    return sample if is_all else sample[: max(sample.rfind(b"\n"), sample.rfind(b"\r")) + 1] or sample


def as_json(result: DryRun) -> dict[str, Any]:
    """Returns the shape that scripts rely on (docs/mapping.md)."""
    plan = result.plan
    return {
        "file": result.file,
        "encoding": plan.dialect.encoding,
        "delimiter": plan.dialect.delimiter,
        "escape": "backslash" if plan.dialect.escapes else "none",
        "header_line": plan.dialect.header_line,
        "section": plan.section,
        "canonical": plan.canonical,
        "mapping": {
            use.role: {"columns": list(use.columns), "confidence": use.confidence, "why": use.why}
            for use in _uses(plan)
        },
        "rules": _rules(plan),
        "undecided": [{"field": q.field, "question": q.question, "lines": list(q.lines)} for q in plan.undecided],
        "ignored_columns": list(plan.attributes),
        "notes": list(plan.notes),
        "memory": _memory(result.preview),
        "rows": result.rows,
        "whole_file": result.whole_file,
        "repeated_ids": result.repeated_ids,
        "refused": [{"line": row.line, "reason": row.reason, "detail": row.detail} for row in result.refused],
        "sample": result.sample,
    }


def _memory(seen: Preview | None) -> dict[str, Any] | None:
    if seen is None:
        return None
    known = seen.planned.memory
    return {
        "compared": seen.compared,
        "source": None if known is None else known.name,
        "remark": seen.remark,
        "contradiction": seen.contradiction or None,
    }


def _uses(plan: FilePlan) -> list[ColumnUse]:
    if plan.canonical:
        return [ColumnUse(name, (name,), 1.0, "the field's own name") for name in plan.dialect.columns]
    return list(plan.uses.values())


def _rules(plan: FilePlan) -> dict[str, Any]:
    rules = plan.rules
    return {
        "date_order": rules.date_order,
        "time_zone": rules.time_zone,
        "ambiguous": rules.ambiguous,
        "open": list(rules.open_rules),
        "decimal_mark": rules.decimal_mark,
        "sign": rules.sign,
        "amount_unit": rules.amount_unit,
        "currency": rules.constants.get("currency") or rules.currency,
        "id": rules.id_rule,
        "id_columns": list(plan.id_columns),
        "id_columns_left_out": list(plan.ids_left_out),
    }


def show(result: DryRun, console: Console) -> None:
    """Prints the dry run for a person."""
    console.print(_heading(result))
    console.print(mapping_table(result.plan))
    if result.plan.attributes:
        console.print(Text("kept in attributes: ", style="bold") + Text(", ".join(result.plan.attributes)))
    for note in result.plan.notes:
        console.print(Text("· ", style="dim") + Text(note, style="dim"))
    if result.preview is not None:
        console.print(Text("· ", style="dim") + Text(result.preview.remark, style="dim"))
        if result.preview.contradiction:
            console.print(Text("it would not be loaded: ", style="bold red") + Text(result.preview.contradiction))
    console.print()
    if result.plan.undecided:
        console.print(_questions(result))
        return
    if result.sample:
        console.print(sample_table(result.sample, console.width))
    console.print(_refused(result))


def _heading(result: DryRun) -> Text:
    dialect = result.plan.dialect
    header = f"header on line {dialect.header_line}" if dialect.header_line else "no header"
    delimiter = DELIMITERS.get(dialect.delimiter, repr(dialect.delimiter))
    escapes = ", backslash escapes" if dialect.escapes else ""
    mapped = f"{escapes}, mapping [{result.plan.section}]" if result.plan.section else escapes
    text = Text(result.file, style="bold")
    return text.append(f"  {dialect.encoding}, {delimiter}, {header}{mapped}", style="not bold dim")


def mapping_table(plan: FilePlan, column: str = "column") -> Table:
    """Returns which column, or other source of the cells, is which field, and why."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    table.add_column("field", no_wrap=True, style="cyan")
    table.add_column(column, overflow="fold")
    table.add_column("sure", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", style="dim")
    for use in _uses(plan):
        colour = "green" if use.confidence >= 0.85 else "yellow" if use.confidence >= 0.6 else "red"
        table.add_row(use.role, " + ".join(use.columns), Text(f"{use.confidence:.0%}", style=colour), use.why)
    rules = plan.rules
    if plan.rules.id_rule == "derived" and not plan.canonical:
        without = f", without {', '.join(plan.ids_left_out)}" if plan.ids_left_out else ""
        table.add_row("transaction_id", "(derived)", "", f"from {plan.source} and the row's own cells{without}")
    for name, value in rules.constants.items():
        table.add_row(name, f"= {value}", Text("100%", style="green"), "mapping")
    return table


def sample_table(sample: list[dict[str, Any]], width: int) -> Group:
    """Returns the first transactions. A narrow terminal hides the fields that matter least."""
    shown = [name for name in FIELD_NAMES if RULES[name].kind in WIDTHS and any(row.get(name) for row in sample)]
    labels = {name: SHORT_NAMES.get(name, name) for name in shown}
    longest = {name: max(len(labels[name]), *(cell_len(_cell(row, name)) for row in sample)) for name in shown}
    widths = {name: min(longest[name], max(WIDTHS[RULES[name].kind], len(labels[name]))) for name in shown}
    hidden = []
    for name in HIDDEN_FIRST:
        if sum(widths.values()) + len(widths) - 1 > width and name in widths:
            hidden.append(name)
            del widths[name]
    spare = width - sum(widths.values()) - len(widths)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name in widths:
        room = widths[name] + max(0, spare) if name in WIDENED else widths[name]
        justify: JustifyMethod = "right" if RULES[name].kind == "decimal" else "left"
        table.add_column(
            labels[name], justify=justify, no_wrap=True, overflow="ellipsis", width=max(1, min(room, longest[name]))
        )
    for row in sample:
        table.add_row(*(Text(_cell(row, name), overflow="ellipsis", no_wrap=True) for name in widths))
    first = "first transaction as it" if len(sample) == 1 else f"first {len(sample)} transactions as they"
    title = f"{first} would be stored"
    note = f" (a wider terminal also shows {', '.join(hidden)})" if hidden else ""
    return Group(Text(title, style="bold underline").append(note, style="not bold not underline dim"), table)


def _cell(row: dict[str, Any], name: str) -> str:
    return str(row.get(name, ""))


def _refused(result: DryRun) -> Group:
    scope = "of the file" if result.whole_file else "at the file's beginning"
    lines = [Text(f"\n{counted(result.rows, 'row')} {scope}: {len(result.refused):,} would be refused", style="bold")]
    by_reason = Counter(row.reason for row in result.refused)
    for reason, count in by_reason.most_common():
        example = next(row for row in result.refused if row.reason == reason)
        numbers = ", ".join(str(row.line) for row in result.refused if row.reason == reason)[:60]
        lines.append(
            Text(f"  {count:>6,}  {reason}", style="yellow").append(f"  {example.detail} (line {numbers})", style="dim")
        )
    if result.repeated_ids:
        repeats = counted(result.repeated_ids, "row repeats", "rows repeat")
        lines.append(Text(f"{repeats} an id: duplicates, or dead letters if the content differs", "yellow"))
    return Group(*lines)


def _questions(result: DryRun) -> Group:
    parts: list[Any] = [Text("nothing is loaded until these questions are answered:", style="bold red")]
    parts += [Text(f"  ? {question.field}: {question.question}") for question in result.plan.undecided]
    parts.append(Text("\nadd to data/sources.toml, without the # of the lines that are right:", style="bold"))
    text = question_text(result.plan.undecided, result.plan, result.file)
    parts.append(
        Padding(Syntax(text.rstrip(), "toml", theme="ansi_dark", background_color="default", word_wrap=True), (0, 2))
    )
    return Group(*parts)
