"""The mapping found for a topic -> the same mapping as a TOML section, with ``"?"`` for each open question."""

from __future__ import annotations

from dataclasses import replace

from rtp_workers.mapping.plan import FilePlan, Question
from rtp_workers.mapping.section_text import rule_lines, section_name
from rtp_workers.mapping.sources import OPEN
from rtp_workers.mapping.toml_text import quoted


def topic_section_text(plan: FilePlan, topic: str, name: str | None = None) -> str:
    """Returns a topic's section."""
    open_keys = [key_of(question) for question in plan.undecided]
    lines = [f"[{name or section_name(topic)}]", f"topics = [{quoted([topic])}]"]
    lines += [
        f"columns.{role} = {quoted(use.columns)}"
        for role, use in plan.uses.items()
        if role != "attributes" and f"columns.{role}" not in open_keys
    ]
    lines += [f"constants.{field} = {quoted([value])}" for field, value in plan.rules.constants.items()]
    if plan.rules.currency and "currency" not in plan.rules.constants and "currency" not in plan.uses:
        lines.append(f"constants.currency = {quoted([plan.rules.currency])}")
    rules = rule_lines(replace(plan, rules=replace(plan.rules, id_rule="columns")))
    unneeded = {*open_keys, *(() if _may_come_twice(plan) else ("ambiguous",))}
    lines += [line for line in rules if _key(line) not in unneeded]
    lines += [f"{side}_negative = true" for side in ("debit", "credit") if getattr(plan.rules, f"{side}_negative")]
    if plan.rules.id_rule == "derived":
        lines.append('id = "offset"  # where Kafka keeps the record; "derived" makes ids from the content alone')
    for key, question in dict(zip(open_keys, plan.undecided, strict=True)).items():
        lines += ["", f"# {question.question}:", f'{key} = "{OPEN}"']
        lines += [f"# {line.removeprefix('# ')}" for line in question.lines]
    return "\n".join(lines) + "\n"


def _may_come_twice(plan: FilePlan) -> bool:
    """Tells whether times are read in a zone whose clocks change."""
    in_zone = plan.rules.time_zone != "UTC" or "time_zone" in plan.uses
    return in_zone and plan.rules.epoch_unit is None


def key_of(question: Question) -> str:
    """Returns the key in the first line of a question's answer."""
    return _key(question.lines[0].removeprefix("# "))


def _key(line: str) -> str:
    return line.partition("=")[0].strip()
