"""A FilePlan -> the same plan as a TOML section, for people to read and edit."""

from __future__ import annotations

import re
from pathlib import PurePath

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.plan import FilePlan, Question
from rtp_workers.mapping.sources import bare_name
from rtp_workers.mapping.toml_text import quoted


def section_name(file_name: str) -> str:
    """Returns a TOML key made from a file's name without dates and numbers: ``umsatz-2024-01.csv`` -> ``umsatz``."""
    stem = PurePath(bare_name(file_name)).stem
    words = [word for word in normalise(stem).split() if not word.isdigit()]
    name = re.sub(r"[^a-z0-9]+", "-", "-".join(words)).strip("-")
    return re.sub(r"-?\d{4,}", "", name) or "source"


def file_pattern(file_name: str) -> str:
    """Returns a pattern that also matches the next export's name: runs of digits become ``*``."""
    name = re.sub(r"([*?\[])", "?", bare_name(file_name))
    pattern = re.sub(r"(?:\d+[-_. ]?)*\d{2,}", "*", PurePath(name).stem)
    return pattern + PurePath(name).suffix


def section_text(plan: FilePlan, file_name: str, name: str | None = None) -> str:
    """Returns the section, with open questions as commented lines."""
    lines = [f"[{name or section_name(file_name)}]", f"files = [{quoted([file_pattern(file_name)])}]"]
    lines += _dialect_lines(plan)
    lines += [f"columns.{role} = {quoted(use.columns)}" for role, use in plan.uses.items() if role != "attributes"]
    lines += [f"constants.{field} = {quoted([value])}" for field, value in plan.rules.constants.items()]
    if plan.rules.currency and "currency" not in plan.rules.constants and "currency" not in plan.uses:
        lines.append(f"constants.currency = {quoted([plan.rules.currency])}")
    lines += rule_lines(plan)
    for question in plan.undecided:
        lines += ["", f"# {question.question}:", *(f"# {line.removeprefix('# ')}" for line in question.lines)]
    return "\n".join(lines) + "\n"


def question_text(questions: tuple[Question, ...], plan: FilePlan, file_name: str) -> str:
    """Returns the lines that answer the questions, below the header of their section."""
    lines = [f"[{plan.section or section_name(file_name)}]"]
    if plan.section is None:
        lines.append(f"files = [{quoted([file_pattern(file_name)])}]")
    for question in questions:
        lines += question.lines
    return "\n".join(lines) + "\n"


def _dialect_lines(plan: FilePlan) -> list[str]:
    dialect = plan.dialect
    lines = [f"encoding = {quoted([dialect.encoding])}", f"delimiter = {quoted([dialect.delimiter])}"]
    lines += ['escape = "backslash"'] if dialect.escapes else []
    if not dialect.header_line:
        lines += [
            "header_line = 0  # the file has no header",
            f"header = [{', '.join(quoted([n]) for n in dialect.columns)}]",
        ]
    return lines


def rule_lines(plan: FilePlan) -> list[str]:
    """Returns the lines of a section that say how cells become values."""
    rules, lines = plan.rules, []
    if rules.date_format:
        lines.append(f"date_format = {quoted([rules.date_format])}")
    elif rules.date_order != "YMD":
        lines.append(f"day_first = {'true' if rules.date_order == 'DMY' else 'false'}")
    if rules.epoch_unit:
        lines.append(f"epoch_unit = {quoted([rules.epoch_unit])}")
    if rules.step_origin:
        lines += [f"step_origin = {quoted([rules.step_origin])}", f"step_unit = {quoted([rules.step_unit])}"]
    lines.append(f"time_zone = {quoted([rules.time_zone])}  # of times without an offset")
    if any(role in plan.uses for role in ("amount", "debit", "credit")):
        lines.append(f"decimal_mark = {quoted([rules.decimal_mark])}")
    if rules.sign == "negate":
        lines.append('sign = "negate"')
    if rules.amount_unit != "major":
        lines.append(f"amount_unit = {quoted([rules.amount_unit])}")
    if rules.amount_affix is not None:
        for key, value in (("prefix", rules.amount_affix.before), ("suffix", rules.amount_affix.after)):
            lines += [f"amount_{key} = {quoted([value])}"] if value else []
    lines += [f"round_to = {rules.round_to}"] if rules.round_to is not None else []
    lines += [f"year = {rules.year}"] if rules.year is not None else []
    if rules.year_from is not None:
        lines.append('year_from = "{:02}/{}"'.format(*rules.year_from))
    if rules.ambiguous != "earlier":
        lines.append(f"ambiguous = {quoted([rules.ambiguous])}")
    for key in ("debit_words", "credit_words", "neutral_words", "skip_rows", "drop"):
        if values := getattr(rules, key):
            lines.append(f"{key} = [{', '.join(quoted([value]) for value in values)}]")
    if rules.id_prefix:
        lines.append(f"id_prefix = {quoted([rules.id_prefix])}")
    if rules.id_rule == "derived":
        if plan.ids_left_out:
            lines.append(f"id_columns = [{', '.join(quoted([name]) for name in plan.id_columns)}]")
        lines += ['id = "derived"', f"id_source = {quoted([plan.source])}  # keep it: ids of loaded rows start from it"]
    return lines
