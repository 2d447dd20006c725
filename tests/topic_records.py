"""Sections and records for tests of mapped topics, without Kafka."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import Any

from rtp_workers.mapping.sources import Section, sources_from
from rtp_workers.topics.convert import TopicConverter
from rtp_workers.topics.sections import topic_plan

TOPIC_ID = "abcdefghijklmnopqrstuv"
SIMPLE = """
columns.transaction_id = "id"
columns.occurred_at = "at"
columns.amount = "amount"
"""


@dataclass(frozen=True)
class PlacedRecord:
    """A record of Kafka's as far as a conversion looks at it."""

    kafka_partition: int = 0
    kafka_offset: int = 0
    milliseconds: int = 1_769_867_100_250
    timestamp_kind: int = 1

    def partition(self) -> int:
        return self.kafka_partition

    def offset(self) -> int:
        return self.kafka_offset

    def timestamp(self) -> tuple[int, int]:
        return self.timestamp_kind, self.milliseconds


def section_of(lines: str) -> Section:
    """Returns the section [payments] with these lines of TOML."""
    table = tomllib.loads(f'[payments]\ntopics = ["payments"]\n{lines}')
    return sources_from(table, "sources.toml").sections[0]


def converter_of(lines: str = SIMPLE, **options: Any) -> TopicConverter:
    """Returns the converter of a section with these lines."""
    return TopicConverter(topic_plan(section_of(lines), "payments"), topic_id=TOPIC_ID, **options)


def document(**members: Any) -> dict[str, Any]:
    """Returns a document that `SIMPLE` maps; `members` win, ``...`` leaves one out."""
    whole = {"id": "p1", "at": "2026-01-31T13:45:00Z", "amount": "12.50", **members}
    return {name: value for name, value in whole.items() if value is not ...}


def body(**members: Any) -> bytes:
    """Returns `document` as a record's value."""
    return json.dumps(document(**members)).encode()
