"""A topic's mapping, complete: which path is which field, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass

from rtp_workers.mapping.plan import FilePlan, columns_in_fields
from rtp_workers.topics.paths import Path


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How the documents of a topic become records.

    Attributes:
        topic: its name; rows carry ``topic:<name>`` as their source.
        mapping: roles, rules and constants; its dialect's columns are the paths that are read, as texts.
        paths: the same paths, parsed, in the same order.
        id_rule: ``columns`` (a path or several), ``offset`` (the record's place in Kafka) or ``derived`` (from
            its content).
        time_from_kafka: True takes Kafka's own timestamp of the record as ``occurred_at``.
        skips_changes: True counts updates, deletes and tombstones as skipped instead of keeping dead letters.
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
        """What rows of this topic carry as their source."""
        return f"topic:{self.topic}"

    @property
    def stays(self) -> frozenset[str]:
        """Paths that are read and stay in ``attributes`` all the same, because no field holds all of their value."""
        return frozenset(self.mapping.dialect.columns) - columns_in_fields(self.mapping.uses, self.mapping.rules)
