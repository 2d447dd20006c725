"""``rtp map --topic``: finds the mapping in the newest records of a topic, and writes a section of the mapping file."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.text import Text

from rtp_workers.cli.dry_run import mapping_table, sample_table
from rtp_workers.counted import counted
from rtp_workers.endpoints import resolve
from rtp_workers.errors import ConfigError, RecordError
from rtp_workers.kafka.sample import newest_records
from rtp_workers.kafka.schema_registry import SchemaRegistry, registry_of
from rtp_workers.mapping.plan import FilePlan, Question
from rtp_workers.mapping.section_text import section_name
from rtp_workers.mapping.sources import Section, Sources, sources_from
from rtp_workers.record.documents import Document
from rtp_workers.settings import PlatformSettings
from rtp_workers.topics.convert import TopicConverter
from rtp_workers.topics.infer import infer_documents
from rtp_workers.topics.reading import DocumentReader
from rtp_workers.topics.section_text import topic_section_text
from rtp_workers.topics.sections import topic_plan

SHOWN_ROWS = 5


@dataclass(slots=True)
class TopicLook:
    """What was found in a topic.

    Attributes:
        records: how many were looked at.
        plan: the mapping found for them.
        text: the section for it.
        sample: the first transactions as they would be stored; empty while a question is open.
        refused: how many would become dead letters, by (reason, detail of the first).
    """

    topic: str
    records: int
    plan: FilePlan
    text: str
    sample: list[dict[str, Any]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)


def look_at(settings: PlatformSettings, topic: str, known: Section | None, name: str | None) -> TopicLook:
    """Reads the newest records of a topic and finds their mapping.

    Args:
        settings: where Kafka and the schema registry are.
        topic: its name.
        known: its section of the mapping file, or None.
        name: of the section to write; None derives it from the topic's name.

    Raises:
        ConfigError: the topic has no record, or none that is a document.
        TransientError: Kafka or the schema registry is away. AttentionError: not allowed.
    """
    records = newest_records(resolve(settings), topic).records
    if not records:
        raise ConfigError(f"topic {topic} has no records yet; map it once the first ones have come")
    registry = registry_of(settings)
    documents, refused, details = _documents(records, registry)
    if not documents:
        reasons = "; ".join(details.values())
        raise ConfigError(f"none of the {len(records):,} newest records of topic {topic} can be read: {reasons}")
    plan = infer_documents(documents, known)
    look = TopicLook(topic, len(records), plan, topic_section_text(plan, topic, name), [], refused, details)
    section = known if known is not None else _section(look.text)
    if not section.open and not plan.undecided:
        _convert(look, records, section, registry)
    return look


def show(look: TopicLook, console: Console) -> None:
    """Prints what was found for a person."""
    plan = look.plan
    found = f"  {counted(look.records, 'record')} looked at" + (f", mapping [{plan.section}]" if plan.section else "")
    console.print(Text(look.topic, style="bold").append(found, style="not bold dim"))
    console.print(mapping_table(plan, column="path"))
    if plan.attributes:
        console.print(Text("kept in attributes: ", style="bold") + Text(", ".join(plan.attributes)))
    for note in plan.notes:
        console.print(Text("· ", style="dim") + Text(note, style="dim"))
    console.print()
    if plan.undecided:
        console.print(_questions(plan.undecided))
    if look.sample:
        console.print(sample_table(look.sample, console.width))
    console.print(_refused(look))


def as_json(look: TopicLook) -> dict[str, Any]:
    """Returns the shape that scripts rely on (docs/topics.md)."""
    return {
        "topic": look.topic,
        "records": look.records,
        "section": look.text,
        "mapping": {
            use.role: {"paths": list(use.columns), "confidence": use.confidence, "why": use.why}
            for use in look.plan.uses.values()
        },
        "undecided": [
            {"field": one.field, "question": one.question, "lines": list(one.lines)} for one in look.plan.undecided
        ],
        "attributes": list(look.plan.attributes),
        "notes": list(look.plan.notes),
        "refused": dict(look.refused),
        "sample": look.sample,
    }


def refuse_known(look: TopicLook, sources: Sources, name: str | None) -> None:
    """Raises ConfigError if the topic has a section already, or the new section's name is taken."""
    section = sources.section_for_topic(look.topic)
    if section is not None:
        raise ConfigError(
            f"the mapping file maps topic {look.topic} already, in [{section.name}]; edit it, or use --print"
        )
    wanted = name or section_name(look.topic)
    if any(known.name == wanted for known in sources.sections):
        raise ConfigError(f"the mapping file has a section [{wanted}] already; give another name with --name")


def _documents(
    records: Sequence[Any], registry: SchemaRegistry | None
) -> tuple[list[Document], Counter[str], dict[str, str]]:
    reader = DocumentReader(registry)
    documents: list[Document] = []
    refused: Counter[str] = Counter()
    details: dict[str, str] = {}
    for record in records:
        try:
            documents.append(reader.read(record.value()))
        except RecordError as error:
            refused[error.reason] += 1
            details.setdefault(error.reason, error.detail)
    return documents, refused, details


def _section(text: str) -> Section:
    return sources_from(tomllib.loads(text), "the section found").sections[0]


def _convert(look: TopicLook, records: Sequence[Any], section: Section, registry: SchemaRegistry | None) -> None:
    converter = TopicConverter(topic_plan(section, look.topic), registry, "topic-id")
    look.refused.clear()
    for record in records:
        try:
            fields = converter.record(record.value(), record)
        except RecordError as error:
            look.refused[error.reason] += 1
            look.details.setdefault(error.reason, error.detail)
            continue
        if len(look.sample) < SHOWN_ROWS:
            look.sample.append({**fields, "attributes": fields.get("attributes", b"{}").decode()})


def _questions(questions: Sequence[Question]) -> Group:
    parts = [Text("the topic is not consumed until these questions are answered:", style="bold red")]
    for question in questions:
        parts.append(Text(f"  ? {question.field}: {question.question}"))
        parts += [Text(f"      {line}", style="dim") for line in question.lines]
    return Group(*parts)


def _refused(look: TopicLook) -> Group:
    count = sum(look.refused.values())
    letters = counted(count, "would become a dead letter", "would become dead letters")
    lines = [Text(f"\n{counted(look.records, 'record')}: {letters}", style="bold")]
    for reason, number in look.refused.most_common():
        text = Text(f"  {number:>6,}  {reason}", style="yellow")
        lines.append(text.append(f"  {look.details.get(reason, '')}", style="dim"))
    return Group(*lines)
