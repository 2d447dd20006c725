"""The complete mapping of a topic: which path fills which field, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass

from rtp_workers.mapping.plan import FilePlan, columns_in_fields
from rtp_workers.topics.paths import Path


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How the documents of a topic become records.

    Attributes:
        topic: the topic's name. Rows carry ``topic:<name>`` as their source.
        mapping: roles, rules and constants. The columns of its dialect are the paths that are read, as texts.
        paths: the same paths, parsed, in the same order.
        id_rule: ``columns`` (one or more paths), ``offset`` (the record's place in Kafka) or ``derived`` (the
            record's content).
        time_from_kafka: True: ``occurred_at`` is Kafka's timestamp of the record.
        skips_changes: True: updates, deletes and tombstones count as skipped. False: they become dead letters.
        dropped: paths that do not go into ``attributes``.
    """

    topic: str
    mapping: FilePlan
    paths: tuple[Path, ...]
    id_rule: str
    time_from_kafka: bool = False
    skips_changes: bool = False
    dropped: tuple[Path, ...] = ()

    @property
    def source(self) -> str:
        """The source that rows of this topic carry."""
        return f"topic:{self.topic}"

    @property
    def stays(self) -> frozenset[str]:
        """Paths whose value is read and also stays in ``attributes``, because no field holds all of it."""
        return frozenset(self.mapping.dialect.columns) - columns_in_fields(self.mapping.uses, self.mapping.rules)
