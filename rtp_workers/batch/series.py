"""Decides which series of exports a file belongs to, and how the series' memory determines its plan. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.columns.find_fields import optional_fields
from rtp_workers.mapping.plan import FilePlan, Rules, columns_in_fields
from rtp_workers.mapping.sources import Section
from rtp_workers.postgres.csv_sources import CsvSource

SAME_SERIES = 0.5  # a bank that adds or drops columns keeps at least this share of them

# How cells become values. A later file of the series must not change this.
REMEMBERED_RULES = (
    "date_order", "date_format", "epoch_unit", "time_zone", "step_origin", "step_unit", "decimal_mark",
    "thousands_mark", "sign", "debit_negative", "credit_negative", "amount_unit", "id_prefix", "currency",
    "debit_words", "credit_words", "neutral_words", "round_to", "ambiguous", "clock_digits",
)  # fmt: skip
AMOUNTS = ("amount", "debit", "credit")
# Rules that a section states under another name.
_ASKED_BY = {"date_order": "day_first"}


def recall(
    memories: Sequence[CsvSource], section: Section, header: Sequence[str], living: Collection[str]
) -> CsvSource | None:
    """Returns the memory of the series that a file belongs to; None for a new series.

    A memory belongs to the section with which its last file was read. If it has no section, or its section was renamed
    or removed, a file with its columns inherits it. So adding or renaming a section keeps the ids.

    Args:
        memories: all memories.
        section: the section that applies to the file; it has no name if none applies.
        header: the file's columns.
        living: names of the sections that the mapping file has now.
    """
    if section.name:
        own = [memory for memory in memories if memory.section == section.name]
        if own:
            return _likest(own, header) or (None if _lost_what_ids_are_made_of(own[0], header) else own[0])
    if section.id_source:
        named = [memory for memory in memories if memory.id_source == section.id_source]
        return _likest(named, header)
    return _likest([memory for memory in memories if memory.section not in living], header)


def _likest(memories: Sequence[CsvSource], header: Sequence[str]) -> CsvSource | None:
    found = [(likeness(memory.header, header), memory.rows, memory) for memory in memories]
    found = [
        entry
        for entry in found
        if entry[0] >= SAME_SERIES
        and _has_what_is_needed(entry[2], header)
        and not _lost_what_ids_are_made_of(entry[2], header)
    ]
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def likeness(some: Sequence[str], others: Sequence[str]) -> float:
    """Returns the share of columns that both have; 1.0 for the same columns in any order."""
    here, there = set(some), set(others)
    return len(here & there) / max(1, len(here | there))


def _has_what_is_needed(memory: CsvSource, header: Sequence[str]) -> bool:
    """Tells whether the file has the memory's columns of time and amount. Of several amounts, the first is enough."""
    columns: Mapping[str, Sequence[str]] = memory.reading.get("columns", {})
    needed = {
        name
        for role in ("occurred_at", "date", "time", "year", "month", "day", "step")
        for name in columns.get(role, ())
    }
    needed |= {name for role in AMOUNTS for name in columns.get(role, ())[:1]}
    return needed <= set(header)


def _lost_what_ids_are_made_of(memory: CsvSource, header: Sequence[str]) -> bool:
    """Tells whether columns that ids are made of have been replaced: it is another bank's file, or they were renamed.

    Made of the remaining columns only, ids would be equal for rows that differ in the others.
    """
    own: Sequence[str] = memory.reading.get("columns", {}).get("transaction_id", ())
    made_of = own if memory.id_rule == "columns" else memory.id_columns
    here = set(header)
    return not here.issuperset(made_of) and not here.issubset(memory.header)


def remembered_section(section: Section, memory: CsvSource | None, header: Sequence[str]) -> Section:
    """Returns the section, with everything that it leaves open filled in from the memory.

    Raises:
        ConfigError: the section would give stored rows new ids.
    """
    if memory is None:
        return section
    _refuse_other_ids(section, memory)
    reading = memory.reading
    there = set(header)
    columns = {
        role: tuple(filter(there.__contains__, names))
        for role, names in reading.get("columns", {}).items()
        if there.issuperset(names[:1] if role in AMOUNTS else names)
    } | dict(section.columns)
    if memory.id_rule != "columns":
        columns.pop("transaction_id", None)
    values: dict[str, Any] = {"columns": columns, "id_source": memory.id_source}
    values["id"] = "columns" if memory.id_rule == "columns" else "derived"
    # Files that an earlier release read without escapes keep their ids, which are made of the cells as they were read.
    values["escape"] = section.escape or reading.get("escape", "none")
    rules = reading.get("rules", {})
    for name in ("date_format", "time_zone", "epoch_unit", "step_origin", "step_unit", "decimal_mark", "amount_unit",
                 "thousands_mark", "id_prefix", "debit_words", "credit_words", "neutral_words",
                 "round_to", "ambiguous"):  # fmt: skip
        if not getattr(section, name) and rules.get(name):
            values[name] = tuple(rules[name]) if isinstance(rules[name], list) else rules[name]
    if section.day_first is None and section.date_format is None and rules.get("date_order") in ("DMY", "MDY"):
        values["day_first"] = rules["date_order"] == "DMY"
    if section.sign is None and rules.get("sign") in ("as_is", "negate"):
        values["sign"] = rules["sign"]
    return dataclasses.replace(section, **values)


def remembered_plan(plan: FilePlan, given: Section, memory: CsvSource | None) -> FilePlan:
    """Returns the plan with the memory's rules, except those that the user's own section states."""
    if memory is None or plan.canonical:
        return plan
    rules: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in memory.reading.get("rules", {}).items()
        if name in REMEMBERED_RULES and not _says(given, name)
    }
    rules.setdefault("clock_digits", "HHMMSS")  # as every file was read before this rule
    plan = dataclasses.replace(
        plan,
        source=memory.id_source,
        rules=dataclasses.replace(plan.rules, **rules),
        id_day=memory.reading.get("id_day"),
        id_encoding=memory.reading.get("id_encoding"),
    )
    return _without_new_fields(plan, given, memory)


def _without_new_fields(plan: FilePlan, given: Section, memory: CsvSource) -> FilePlan:
    """Returns the plan in which a column that was an attribute in earlier files is still one.

    Only the user's own section fills such a field, or a column that the earlier files did not have.
    """
    known, before = memory.reading.get("columns", {}), set(memory.header)
    new = {
        role
        for role, use in plan.uses.items()
        if role in optional_fields() and role not in ("currency", *known, *given.columns) and before & set(use.columns)
    }
    if not new:
        return plan
    uses = {role: use for role, use in plan.uses.items() if role not in new}
    stored = columns_in_fields(uses, plan.rules) | set(plan.rules.drop)
    attributes = tuple(name for name in plan.dialect.columns if name not in stored)
    return dataclasses.replace(plan, uses=uses, attributes=attributes)


def _says(section: Section, rule: str) -> bool:
    if rule == "currency":
        return "currency" in section.constants or "currency" in section.columns
    if rule == "sign" and section.columns.keys() & {"debit", "credit", "direction", "amount"}:
        return True
    return bool(getattr(section, rule, None)) or getattr(section, _ASKED_BY.get(rule, ""), None) is not None


def reading_of(plan: FilePlan) -> dict[str, Any]:
    """Returns the part of a plan that the memory keeps, ready for JSON."""
    rules: Rules = plan.rules
    return {
        "encoding": plan.dialect.encoding,
        "id_day": plan.id_day,
        "id_encoding": plan.id_encoding,
        "delimiter": plan.dialect.delimiter,
        "escape": "backslash" if plan.dialect.escapes else "none",
        "columns": {role: list(use.columns) for role, use in plan.uses.items() if role != "attributes"},
        "rules": {name: getattr(rules, name) for name in REMEMBERED_RULES if name not in rules.open_rules},
    }


def _refuse_other_ids(section: Section, memory: CsvSource) -> None:
    """Refuses a section that would give stored rows new ids. The message has the line that keeps their ids."""
    if not memory.rows:
        return
    rule = "columns" if memory.id_rule == "columns" else "derived"
    lines = []
    if section.id_source and section.id_source != memory.id_source and rule == "derived":
        lines.append(f'id_source = "{memory.id_source}"')
    if section.id and section.id != rule:
        lines.append(f'id = "{rule}"')
    if section.id_columns and rule == "derived" and section.id_columns != memory.id_columns:
        lines.append(f"id_columns = {list(memory.id_columns)!r}")
    own = tuple(memory.reading.get("columns", {}).get("transaction_id", ()))
    named = section.columns.get("transaction_id")
    if named and (rule == "derived" or named != own):
        lines.append(
            f"columns.transaction_id = {list(own)!r}" if own else 'id = "derived", without columns.transaction_id'
        )
    prefix = memory.reading.get("rules", {}).get("id_prefix", "")
    if section.id_prefix is not None and rule == "columns" and section.id_prefix != prefix:
        lines.append(f'id_prefix = "{prefix}"')
    if lines:
        raise ConfigError(
            f"[{section.name}] would give the {counted(memory.rows, 'row')} stored from {memory.learned_from} new ids, "
            f"and store them a second time. Keep their ids with\n  " + "\n  ".join(lines) + "\n"
            f"in the section, or undo the import first: rtp purge --source {memory.name}"
        )
