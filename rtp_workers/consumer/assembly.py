"""Kafka records -> a batch: the place where a record becomes a COPY line or a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtp_workers.consumer.assignment import Assignment
from rtp_workers.postgres.batch import Batch, DeadLetter, KafkaRecord, Span
from rtp_workers.record.copy_text import NULL, UNKNOWN_SOURCE, BatchDecoder, Refusal, load_text, source_text

SOURCES_REMEMBERED = 10_000
MARKS_A_BATCH = 60  # 2 us each


class Assembler:
    """Collects polls into the batch that is written next. Not thread-safe.

    Args:
        topic: the topic's name.
        topic_id: Kafka's id of the topic.
        assignment: holds the positions, which move with the records.

    Attributes:
        bytes: size of the record values in the open batch.
        record_bytes: mean size of the values in the last poll.
        unknown_fields: how many unknown fields were seen since the start.
        careful: how many records needed the careful path since the start.
    """

    def __init__(self, topic: str, topic_id: str, assignment: Assignment) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self._assignment = assignment
        self._decoder = BatchDecoder()
        self._sources: dict[bytes | None, str] = {}
        self._loads: dict[bytes | None, str] = {}
        self._batch = self._new_batch()
        self.bytes = 0
        self.record_bytes = 0
        self.unknown_fields = 0
        self.careful = 0

    @property
    def rows(self) -> int:
        """How many records the open batch has, including refused ones."""
        return len(self._batch.lines) + len(self._batch.dead_letters)

    @property
    def has_work(self) -> bool:
        """True when the open batch would move the ledger."""
        return bool(self._batch)

    def holds(self, kafka_partition: int) -> bool:
        """Tells whether the open batch has offsets of this partition."""
        return kafka_partition in self._batch.spans

    def add(self, records: Sequence[KafkaRecord], ends: Mapping[int, int]) -> None:
        """Adds a poll's records, and the ends of partitions that it reached, to the open batch.

        A record is dropped if its partition is not open, or if it lies before the position: it is not ours, or is
        stored already.
        """
        taken, values, tails = self._take(records)
        decoded = self._decoder.lines(values)
        self.unknown_fields += decoded.unknown_fields
        self.careful += decoded.careful
        self._add_decoded(decoded.lines, decoded.refusals, taken, tails)
        self._reach_ends(ends)

    def take(self) -> Batch:
        """Returns the open batch, its spans with their marks, and opens another."""
        records = self._batch.records
        self._assignment.mark(records[:: len(records) // MARKS_A_BATCH + 1])
        for partition, span in self._batch.spans.items():
            span.marks = self._assignment.marks[partition]
        return self._renew()

    def drop(self) -> None:
        """Drops the open batch. The caller must reset the positions."""
        self._renew()

    def _renew(self) -> Batch:
        batch, self._batch = self._batch, self._new_batch()
        self._loads.clear()
        self.bytes = 0
        return batch

    def _new_batch(self) -> Batch:
        return Batch(self.topic, self.topic_id)

    def _add_decoded(
        self,
        lines: Sequence[str | None],
        refusals: Sequence[Refusal],
        taken: Sequence[KafkaRecord],
        tails: Sequence[str],
    ) -> None:
        batch = self._batch
        if None not in lines:
            batch.lines += [line + tail for line, tail in zip(lines, tails, strict=True)]  # type: ignore[operator]  # none is None here
            batch.records += taken
            return
        self._add_some(lines, tails, taken)
        batch.dead_letters += [DeadLetter(taken[one.index], one.reason, one.detail) for one in refusals]

    def _reach_ends(self, ends: Mapping[int, int]) -> None:
        for partition, end in ends.items():
            if self._assignment.positions.get(partition, end) < end:
                self._reach(partition, end)

    def _take(self, records: Sequence[KafkaRecord]) -> tuple[list[KafkaRecord], list[bytes | None], list[str]]:
        positions, sources, spans = self._assignment.positions, self._sources, self._batch.spans
        loads = self._loads
        last: dict[int, KafkaRecord] = {}
        origins = {number: self._origin(number) for number in positions}
        taken: list[KafkaRecord] = []
        values: list[bytes | None] = []
        tails: list[str] = []
        size = 0
        for record in records:
            partition, offset = record.partition(), record.offset()
            if (positions.get(partition) != offset or partition not in spans) and not self._reach(partition, offset):
                continue
            positions[partition] = offset + 1
            value = record.value()
            headers = record.headers()
            if headers and headers[0][0] == "source" and headers[0][1] in sources:
                source = sources[headers[0][1]]
            else:
                source = self._source(headers)
            load = NULL
            for name, named in headers or ():
                if name == "load":
                    load = loads.get(named) or self._load(named)
                    break
            taken.append(record)
            last[partition] = record
            values.append(value)
            tails.append(f"\t{source}\t{partition}\t{offset}{origins[partition]}{load}")
            size += len(value) if value else 0
        self._assignment.polled(last)
        self.bytes += size
        self.record_bytes = size // max(1, len(taken))
        if taken:
            self._batch.appended_ms.append(taken[0].timestamp()[1])
        for partition, span in spans.items():
            span.next_offset = positions.get(partition, span.next_offset)
        return taken, values, tails

    def _reach(self, partition: int, offset: int) -> bool:
        """Opens the partition's span and counts offsets without a record up to `offset`.

        Returns:
            False if the partition is not open, or its position is already beyond `offset`.
        """
        position = self._assignment.positions.get(partition)
        if position is None or offset < position:
            return False
        spans = self._batch.spans
        if partition not in spans:
            generation = self._assignment.generations[partition]
            spans[partition] = Span(position, position, self._assignment.epochs[partition], generation=generation)
        if offset > position:
            spans[partition].skipped += offset - position
            spans[partition].next_offset = offset
            self._assignment.positions[partition] = offset
        return True

    def _origin(self, partition: int) -> str:
        """Returns the part of a line, between its offset and its load, that all lines of this partition share."""
        return f"\t{self.topic_id}\t{self._assignment.generations[partition]}\t"

    def _load(self, value: bytes | None) -> str:
        load = self._loads[value] = load_text(value)
        if load != NULL:
            self._batch.load_ids.add(load)
        return load

    def _source(self, headers: Sequence[tuple[str, bytes | None]] | None) -> str:
        if not headers:
            return UNKNOWN_SOURCE
        text = source_text(headers)
        if len(self._sources) >= SOURCES_REMEMBERED:
            self._sources.clear()
        if headers[0][0] == "source":
            self._sources[headers[0][1]] = text
        return text

    def _add_some(self, lines: Sequence[str | None], tails: Sequence[str], taken: Sequence[KafkaRecord]) -> None:
        for line, tail, record in zip(lines, tails, taken, strict=True):
            if line is not None:
                self._batch.lines.append(line + tail)
                self._batch.records.append(record)
