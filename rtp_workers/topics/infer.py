"""Documents of a topic -> the mapping found for them, by the same rules as for a CSV's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rtp_workers.mapping.cells.minor_units import minor_digits
from rtp_workers.mapping.cells.words import currency_code
from rtp_workers.mapping.columns.find_number_format import UNIT_LINES
from rtp_workers.mapping.columns.vocabulary import DocumentPath
from rtp_workers.mapping.infer import infer_columns
from rtp_workers.mapping.plan import FilePlan, Question
from rtp_workers.mapping.sources import Section
from rtp_workers.record.documents import Document, cell_text
from rtp_workers.topics.paths import Path, leaves, of_first_items, parse_path, path_text, starts_with
from rtp_workers.topics.sections import AMBIGUOUS, HOW_MUCH

Cells = dict[str, tuple[str, ...]]

MOST_PATHS = 500
# An object with at least this share of the values is the document's subject. Everything around it is wrapping.
WRAPPED = 0.6
NO_TIME_LINES = (
    'occurred_at = "kafka_timestamp"  # when the record was written to Kafka',
    '# columns.occurred_at = "..."  # or the path of the time',
)


def infer_documents(documents: Sequence[Document], section: Section | None = None) -> FilePlan:
    """Finds the mapping of a topic.

    Args:
        documents: a sample, in the order of the topic.
        section: what is known already.
    """
    section = section or Section()
    section = replace(section, ambiguous=section.ambiguous or AMBIGUOUS)
    given = {parse_path(name): name for names in section.columns.values() for name in names}
    rows = [dict(leaves(document)) for document in documents]
    paths = list(dict.fromkeys([*given, *(path for row in rows for path in row)]))[:MOST_PATHS]
    wrapping = _wrapping(paths)
    columns = [DocumentPath(given.get(path) or path_text(path), _steps(path, wrapping)) for path in paths]
    cells = [[cell_text(row.get(path)) for path in paths] for row in rows]
    plan = infer_columns(section, columns, cells)
    if section.decimal_mark is None and _amounts_are_numbers(plan, dict(zip(columns, paths, strict=True)), rows):
        # JSON's own numbers have a point, whatever the texts next to them have.
        plan = infer_columns(replace(section, decimal_mark="."), columns, cells)
    by_name: Cells = {str(name): column for name, column in zip(columns, zip(*cells, strict=True), strict=True)}
    return _without_dropped(_for_topics(_currency_next_to_amount(plan, by_name), by_name), section)


def _amounts_are_numbers(plan: FilePlan, paths: Mapping[str, Path], rows: Sequence[Mapping[Path, Any]]) -> bool:
    """Tells whether no amount of the sample is a text."""
    names = [name for role in HOW_MUCH if role in plan.uses for name in plan.uses[role].columns]
    return bool(names) and not any(isinstance(row.get(paths[name]), str) for row in rows for name in names)


def _wrapping(paths: Sequence[Path]) -> Path:
    """Returns the longest beginning that most paths share."""
    starts = Counter(path[:length] for path in paths for length in range(1, len(path)))
    most = [start for start, count in starts.items() if count >= WRAPPED * len(paths)]
    return max(most, key=len, default=())


def _steps(path: Path, wrapping: Path) -> tuple[str, ...]:
    inner = path[len(wrapping) :] if path[: len(wrapping)] == wrapping else path
    return tuple(map(str, inner))


def _for_topics(plan: FilePlan, cells: Cells) -> FilePlan:
    """Returns the plan with the questions and the id rule of topics."""
    questions = [_about_time(question) for question in plan.undecided]
    if _may_be_minor(plan, cells) and not any("amount_unit" in line for one in questions for line in one.lines):
        name = plan.uses["amount"].columns[0]
        example = next(cell for cell in cells[name] if cell)
        asked = f"{name} holds whole numbers only (e.g. {example}): cents, or the currency's own unit?"
        questions.append(Question("amount", asked, UNIT_LINES))
    notes = [note for note in plan.notes if "ids are derived" not in note and "names the account" not in note]
    if plan.rules.id_rule == "derived":
        notes.append('no path identifies a record: ids are made from where Kafka keeps it (id = "offset")')
    return replace(plan, undecided=tuple(questions), notes=tuple(notes))


def _without_dropped(plan: FilePlan, section: Section) -> FilePlan:
    """Returns the plan without what the section drops, with everything below it, among the attributes."""
    dropped = [of_first_items(parse_path(name)) for name in section.drop]
    kept = [name for name in plan.attributes if not any(starts_with(parse_path(name), gone) for gone in dropped)]
    return replace(plan, attributes=tuple(kept))


def _about_time(question: Question) -> Question:
    if question.kind == "no_time":
        return replace(question, lines=NO_TIME_LINES)
    return question


def _may_be_minor(plan: FilePlan, cells: Cells) -> bool:
    """Tells whether all amounts are whole numbers, as from an API that counts in cents."""
    use = plan.uses.get("amount")
    if use is None or plan.rules.amount_unit == "minor" or use.why == "mapping":
        return False
    codes = _codes(cells[plan.uses["currency"].columns[0]]) if "currency" in plan.uses else frozenset()
    if codes and all(minor_digits(code) == 0 for code in codes):
        return False
    filled = [cell for cell in cells[use.columns[0]] if cell.strip("-0")]
    return bool(filled) and all(cell.lstrip("-").isdecimal() for cell in filled)


def _currency_next_to_amount(plan: FilePlan, cells: Cells) -> FilePlan:
    """Returns the plan with the currency from the object that contains the amount, if there is one."""
    amount, currency = plan.uses.get("amount"), plan.uses.get("currency")
    if amount is None or currency is None or currency.why == "mapping":
        return plan
    holder = parse_path(amount.columns[0])[:-1]
    if not holder or parse_path(currency.columns[0])[:-1] == holder:
        return plan
    nearby = [name for name, column in cells.items() if parse_path(name)[:-1] == holder and _codes(column)]
    if len(nearby) != 1:
        return plan
    why = f"values, next to {amount.columns[0]}"
    return replace(plan, uses={**plan.uses, "currency": replace(currency, columns=(nearby[0],), why=why)})


def _codes(column: Sequence[str]) -> frozenset[str]:
    """Returns the currencies in a column; empty if a filled cell is not a currency."""
    codes = [currency_code(cell) for cell in column if cell]
    return frozenset(code for code in codes if code) if all(codes) else frozenset()
