"""A FilePlan -> the same plan as a TOML section, for people to read and edit."""

from __future__ import annotations

import re
from pathlib import PurePath

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.plan import GIVEN, ColumnUse, FilePlan, Question, field_of
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
    """Returns the section. Open questions, and whatever would answer one of them, are commented lines."""
    lines = _dialect_lines(plan)
    lines += [_column_line(plan, use) for role, use in plan.uses.items() if role != "attributes"]
    lines += [f"constants.{field} = {quoted([value])}" for field, value in plan.rules.constants.items()]
    if plan.rules.currency and "currency" not in plan.rules.constants and "currency" not in plan.uses:
        lines.append(f"constants.currency = {quoted([plan.rules.currency])}")
    lines += rule_lines(plan)
    offered = {_key(line) for question in plan.undecided for line in question.lines}
    offered |= {"id_columns"} if "id" in offered else set()  # they make derived ids, too
    lines = [_commented(line) if _key(line) in offered and not _is_given(plan, line) else line for line in lines]
    for question in plan.undecided:
        asked = "\n# ".join(question.question.splitlines())
        lines += ["", f"# {asked}:", *(f"# {line.removeprefix('# ')}" for line in question.lines)]
    head = [f"[{name or section_name(file_name)}]", f"files = [{quoted([file_pattern(file_name)])}]"]
    return "\n".join([*head, *lines]) + "\n"


def _column_line(plan: FilePlan, use: ColumnUse) -> str:
    """Returns the line of a role; a comment while a question about its field or column is open: it would close it."""
    names = quoted(use.columns)
    line = f"columns.{use.role} = {names}"
    offered = any(f"= {names}" in line for question in plan.undecided for line in question.lines)
    asked = offered or field_of(use.role) in {question.field for question in plan.undecided}
    return f"# {line}" if asked and use.why != GIVEN else line


def _commented(line: str) -> str:
    return line if line.startswith("# ") else f"# {line}"


def _is_given(plan: FilePlan, line: str) -> bool:
    use = plan.uses.get(_key(line).removeprefix("columns."))
    return use is not None and use.why == GIVEN


def _key(line: str) -> str:
    return line.removeprefix("# ").partition("=")[0].strip()


def question_text(questions: tuple[Question, ...], plan: FilePlan, file_name: str) -> str:
    """Returns the lines that answer the questions, as comments, below the header of their section."""
    lines = [f"[{plan.section or section_name(file_name)}]"]
    if plan.section is None:
        lines.append(f"files = [{quoted([file_pattern(file_name)])}]")
    for question in questions:
        lines += map(_commented, question.lines)
    return "\n".join(lines) + "\n"


def _dialect_lines(plan: FilePlan) -> list[str]:
    dialect = plan.dialect
    # A beginning in ASCII does not show the encoding of what follows: the section must not decide it.
    is_open = dialect.encoding_is_open or any(question.kind == "encoding" for question in plan.undecided)
    lines = [] if is_open else [f"encoding = {quoted([dialect.encoding])}"]
    lines.append(f"delimiter = {quoted([dialect.delimiter])}")
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
    has_amount = any(role in plan.uses for role in ("amount", "debit", "credit"))
    if has_amount and "decimal_mark" not in rules.open_rules:  # nothing has decided it, and this would
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
