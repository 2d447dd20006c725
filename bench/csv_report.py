"""How right the guessed mappings are: ``make csv-report`` prints files x fields, right / wrong / asked for.

The files are the shapes in bench/csv_shapes and, where it is there, ../shared/data/real. A wrong guess that was not
asked about is what must not happen, so it comes first.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rtp_workers.mapping.columns.dialect import find_dialect
from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.rows.convert import Converter
from rtp_workers.mapping.sources import Section
from rtp_workers.record.transaction import FIELD_NAMES

SHAPES = Path(__file__).parent / "csv_shapes"
REAL = Path(__file__).parents[2] / "shared" / "data" / "real"
NEWLINES = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}
ROLES_OF = {
    "occurred_at": ("occurred_at", "date", "time", "time_zone", "year", "month", "day", "step"),
    "amount": ("amount", "debit", "credit", "direction", "quantity"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One file and what is true of it.

    Attributes:
        expect: role -> column names joined by ``|`` where either (or both) is right; ``*`` where anything is;
            ``?`` where only asking is right.
        first: field -> value of the first row that is loaded.
        refused: reasons, in file order.
    """

    name: str
    data: bytes
    expect: dict[str, str]
    first: dict[str, str]
    refused: tuple[str, ...] | None


def shapes() -> Iterator[Shape]:
    """Yields every shape of bench/csv_shapes."""
    for path in sorted(SHAPES.glob("*.toml")):
        for name, entry in tomllib.loads(path.read_text("utf-8")).items():
            yield _shape(name, entry)


def _shape(name: str, entry: dict[str, Any]) -> Shape:
    text = entry["text"].replace("\n", NEWLINES[entry.get("newline", "lf")])
    refused = tuple(entry["refused"]) if "refused" in entry else None
    return Shape(name, text.encode(entry.get("encoding", "utf-8")), entry["expect"], entry.get("first", {}), refused)


def judge(shape: Shape) -> dict[str, str]:
    """Returns field -> ``right``, ``wrong``, ``asked`` (needlessly) or ``missed`` (an optional field left out)."""
    plan = infer(shape.data, f"{shape.name}.csv")
    asked = {question.field for question in plan.undecided}
    verdicts = {field: _verdict(field, shape, plan, asked) for field in FIELD_NAMES if field != "attributes"}
    if not plan.undecided and shape.first:
        for field, value in shape.first.items():
            if first_values(shape, plan).get(field) != value:
                verdicts[field] = "wrong"
    return {field: verdict for field, verdict in verdicts.items() if verdict}


def first_values(shape: Shape, plan: FilePlan) -> dict[str, str]:
    """Returns the fields of the first row that would be loaded."""
    dialect, rows = find_dialect(shape.data, Section().given, shape.name)
    converter = Converter(plan)
    converted = converter.convert([row.cells for row in rows if len(row.cells) == dialect.row_width])
    return dict(zip(converter.columns, converted.rows[0], strict=True)) if converted.rows else {}


def _verdict(field: str, shape: Shape, plan: FilePlan, asked: set[str]) -> str:
    roles = ROLES_OF.get(field, (field,))
    wanted = {role: shape.expect[role] for role in roles if role in shape.expect}
    if "?" in wanted.values():
        return "right" if field in asked else "wrong"
    if field in asked:
        return "asked"
    if all(choice == "*" for choice in wanted.values()) and wanted:
        return "right"
    got = {role: plan.uses[role].columns for role in roles if role in plan.uses}
    if not wanted:
        return "wrong" if got else ""
    if not got:
        return "missed" if field not in ("occurred_at", "amount") else "wrong"
    fits = all(role in got and _matches(got[role], choice) for role, choice in wanted.items() if choice != "*")
    return "right" if fits and set(got) <= set(wanted) else "wrong"


def _matches(columns: tuple[str, ...], choice: str) -> bool:
    allowed = choice.split("|")
    return "*" in allowed or columns[0] in allowed


def report(console: Console) -> int:
    """Prints the table; returns how many fields are wrong without having been asked for."""
    totals: Counter[str] = Counter()
    table = Table(
        "file", "right", "wrong", "asked for", "left out", "which", title="Mappings guessed from bench/csv_shapes"
    )
    for shape in shapes():
        verdicts = judge(shape)
        counts = Counter(verdicts.values())
        totals.update(counts)
        which = ", ".join(f"{field} {verdict}" for field, verdict in verdicts.items() if verdict != "right")
        cells = (str(counts[kind] or "") for kind in ("right", "wrong", "asked", "missed"))
        table.add_row(shape.name, *cells, which, style="red" if counts["wrong"] else None)
    table.add_section()
    table.add_row("all", *(str(totals[kind]) for kind in ("right", "wrong", "asked", "missed")), "")
    console.print(table)
    return totals["wrong"]


def main() -> int:
    """Prints the report; non-zero where a guess is wrong."""
    return 1 if report(Console()) else 0


if __name__ == "__main__":
    sys.exit(main())
