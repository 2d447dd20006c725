"""Records of a mapped topic -> a batch. Like `assembly`, but the topic's section says what the records mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtp_workers.consumer.assembly import Assembler
from rtp_workers.consumer.assignment import Assignment
from rtp_workers.postgres.batch import Batch, KafkaRecord
from rtp_workers.record.copy_text import NULL, escape
from rtp_workers.topics.convert import TopicConverter
from rtp_workers.topics.plan import TopicPlan
from rtp_workers.topics.reading import Schemas


@dataclass(slots=True)
class TopicMapping:
    """How a topic is mapped now.

    Attributes:
        plan: replaced when the mapping file changes. It applies to records that come from then on.
        schemas: the schema registry, or None.
    """

    plan: TopicPlan
    schemas: Schemas | None = None


class MappedAssembler(Assembler):
    """Collects a mapped topic's polls into the batch that is written next. Not thread-safe."""

    def __init__(self, topic_id: str, assignment: Assignment, mapping: TopicMapping) -> None:
        super().__init__(mapping.plan.topic, topic_id, assignment)
        self._mapping = mapping
        self._plan_source = escape(mapping.plan.source)
        self._converter = self._new_converter()

    def add(self, records: Sequence[KafkaRecord], ends: Mapping[int, int]) -> None:
        """Does the same as in `Assembler`.

        After an error, the open batch cannot be used: drop it, and read its records again.

        Raises:
            TransientError: the schema registry is away.
            AttentionError: the registry needs a person.
        """
        if self._converter.plan is not self._mapping.plan:
            self._converter = self._new_converter()
        taken, values, tails = self._take(records)
        mapped = self._converter.lines(values, taken)
        self.careful += mapped.careful
        for index in mapped.skipped:
            self._batch.spans[taken[index].partition()].skipped += 1
        self._add_decoded(mapped.lines, mapped.refusals, taken, tails)
        self._reach_ends(ends)

    def _new_converter(self) -> TopicConverter:
        generations = self._assignment.generations
        mapping = self._mapping
        return TopicConverter(mapping.plan, mapping.schemas, self.topic_id, lambda number: generations.get(number, 0))

    def _new_batch(self) -> Batch:
        return Batch(self.topic, self.topic_id, judged=True)

    def _source(self, headers: Sequence[tuple[str, bytes | None]] | None) -> str:
        return self._plan_source

    def _load(self, value: bytes | None) -> str:
        # Another program wrote this header: it does not name a load of ours.
        return NULL
