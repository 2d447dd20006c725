"""Replays dead letters of mapped topics: the current section converts them, and they go to our own topic.

Nothing is written to the mapped topic: its other readers would see the record twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from rtp_workers.errors import ConfigError
from rtp_workers.kafka.record_producer import Headers
from rtp_workers.kafka.schema_registry import registry_of
from rtp_workers.mapping.sources import Sources, read_sources
from rtp_workers.postgres.dead_letters import StoredDeadLetter
from rtp_workers.reconcile.replay import Outgoing
from rtp_workers.record.codec import encode, record_key
from rtp_workers.record.transaction import Transaction
from rtp_workers.settings import PlatformSettings
from rtp_workers.topics.convert import NO_TIMESTAMP, TopicConverter
from rtp_workers.topics.sections import topic_plan

KAFKA_TIMESTAMP_HEADER = "kafka_timestamp"
CREATE_TIME = 1  # confluent_kafka.TIMESTAMP_CREATE_TIME
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Place:
    """A dead letter's place in Kafka, in the form that a conversion needs."""

    letter: StoredDeadLetter

    def partition(self) -> int:
        return self.letter.id.kafka_partition

    def offset(self) -> int:
        return self.letter.id.kafka_offset

    def timestamp(self) -> tuple[int, int]:
        at = self.letter.kafka_timestamp
        return (NO_TIMESTAMP, -1) if at is None else (CREATE_TIME, round((at - EPOCH).total_seconds() * 1000))


class MappedReplay:
    """Turns dead letters of mapped topics into records of our own topic.

    Args:
        settings: name the mapping file and the schema registry, which are read when the first letter comes.
    """

    def __init__(self, settings: PlatformSettings) -> None:
        self._settings = settings
        self._sources: Sources | None = None
        self._registry: Any = None

    def outgoing(self, letter: StoredDeadLetter, value: bytes | None) -> Outgoing:
        """Converts one letter.

        Args:
            letter: of a topic that is not our own.
            value: its value, which may be repaired.

        Raises:
            RecordError: the current section refuses it. ConfigError: the topic has no section, or an incomplete one.
            TransientError: the schema registry is away. AttentionError: the registry needs a person.
        """
        converter = self._converter(letter)
        fields = converter.record(value, _Place(letter))
        if "attributes" in fields:
            fields["attributes"] = msgspec.Raw(fields["attributes"])
        record = Transaction(**fields)
        headers: Headers = [("source", converter.plan.source.encode())]
        if letter.kafka_timestamp is not None:
            headers.append((KAFKA_TIMESTAMP_HEADER, letter.kafka_timestamp.isoformat().encode()))
        return Outgoing(encode(record), record_key(record), headers)

    def _converter(self, letter: StoredDeadLetter) -> TopicConverter:
        if self._sources is None:
            self._sources, self._registry = read_sources(self._settings.sources_path), registry_of(self._settings)
        section = self._sources.section_for_topic(letter.topic)
        if section is None:
            raise ConfigError(
                f"no section of {self._settings.sources_path} is for topic {letter.topic}; "
                f"`rtp map --topic {letter.topic}` writes one"
            )
        plan = topic_plan(section, letter.topic)
        return TopicConverter(plan, self._registry, letter.id.topic_id, lambda number: letter.id.generation)
