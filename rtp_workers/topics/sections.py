"""A section of the mapping file -> the plan of a topic. Nothing is guessed: what a section leaves out stays empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells.amounts import APOSTROPHES, SPACES
from rtp_workers.mapping.plan import ColumnUse, Dialect, FilePlan, Rules
from rtp_workers.mapping.sources import Section, Sources
from rtp_workers.topics.paths import parse_path
from rtp_workers.topics.plan import TopicPlan

WHEN = frozenset({"occurred_at", "date", "step", "year"})
TIME_ROLES = WHEN | {"month", "day", "time", "time_zone"}
HOW_MUCH = frozenset({"amount", "debit", "credit"})
GIVEN_RULES = (
    *("date_format", "epoch_unit", "time_zone", "step_origin", "step_unit", "year", "ambiguous"),
    *("amount_unit", "round_to", "debit_negative", "credit_negative", "id_prefix"),
)
KAFKA_TIMESTAMP = "kafka_timestamp"
# Of a local time that comes twice, nobody can be asked while records flow. A wrong guess would be wrong by an hour.
AMBIGUOUS = "refuse"


def topic_plan(section: Section, topic: str) -> TopicPlan:
    """Returns the plan that a section gives for a topic.

    Raises:
        ConfigError: the section leaves open something that only a person knows, or a name in it is not a path.
    """
    _refuse_open(section, topic)
    from_kafka = section.occurred_at == KAFKA_TIMESTAMP
    unused = TIME_ROLES if from_kafka else frozenset()  # so their values stay in attributes
    read = {role: names for role, names in section.columns.items() if role not in unused}
    columns = tuple(dict.fromkeys(name for names in read.values() for name in names))
    uses = {role: ColumnUse(role, names, 1.0, "mapping") for role, names in read.items()}
    id_rule = section.id or ("columns" if "transaction_id" in uses else "offset")
    mapping = FilePlan(
        Dialect("utf-8", ",", '"', 1, 2, columns, columns),
        section.id_source or section.name,
        section.name,
        uses,
        _rules(section, id_rule),
    )
    return TopicPlan(
        topic,
        mapping,
        tuple(map(parse_path, columns)),
        id_rule,
        time_from_kafka=from_kafka,
        skips_changes=section.changes == "skip",
        dropped=tuple(map(parse_path, section.drop)),
    )


def plan_or_reason(sources: Sources, topic: str, sources_file: Path) -> TopicPlan | str:
    """Returns a topic's plan, or why it is not consumed and what mends that."""
    section = sources.section_for_topic(topic)
    if section is None:
        return f"not consumed: no section of {sources_file} is for it; `rtp map --topic {topic}` writes one"
    try:
        return topic_plan(section, topic)
    except ConfigError as error:
        return str(error)


def _refuse_open(section: Section, topic: str) -> None:
    missing = list(section.open)
    when = WHEN & section.columns.keys() or "occurred_at" in section.constants or section.occurred_at
    if not when and not any(key.endswith("occurred_at") for key in missing):
        missing.append('columns.occurred_at (or occurred_at = "kafka_timestamp")')
    if not HOW_MUCH & section.columns.keys() and "columns.amount" not in missing:
        missing.append("columns.amount")
    if section.id == "columns" and "transaction_id" not in section.columns:
        missing.append("columns.transaction_id")
    if missing:
        raise ConfigError(
            f"topic {topic} is not consumed: section [{section.name}] of the mapping file leaves open "
            f"{', '.join(missing)}. Add that there; `rtp map --topic {topic} --print` shows sample values"
        )


def _rules(section: Section, id_rule: str) -> Rules:
    given: dict[str, Any] = {"ambiguous": AMBIGUOUS}
    given |= {key: value for key in GIVEN_RULES if (value := getattr(section, key)) is not None}
    if section.decimal_mark is not None or section.thousands_mark is not None:
        given["decimal_mark"] = section.decimal_mark or "."
        others = ("," if given["decimal_mark"] == "." else ".") + SPACES + APOSTROPHES
        given["thousands_mark"] = others if section.thousands_mark is None else section.thousands_mark
    return Rules(
        **given,
        date_order={True: "DMY", False: "MDY", None: "YMD"}[section.day_first],
        sign=_sign(section),
        year_from=section.first_month,
        # An id by offset needs no column either, and an occurrence number has no meaning in a topic.
        id_rule="columns" if id_rule == "columns" else "derived",
        constants=dict(section.constants),
        drop=section.drop,
        debit_words=section.debit_words,
        credit_words=section.credit_words,
        neutral_words=section.neutral_words,
        amount_affix=section.affix,
    )


def _sign(section: Section) -> str:
    if "amount" not in section.columns:
        return "pair"
    if "direction" in section.columns:
        return "direction"
    return section.sign or "as_is"
