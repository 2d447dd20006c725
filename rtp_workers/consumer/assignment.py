"""Which partitions are ours, from where, and by which assignment: plain bookkeeping, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rtp_workers.postgres.ledger import Place
from rtp_workers.record.marks import Mark, MarkedRecord, extended, mark_of

MAX_JOINTS = 48


@dataclass(slots=True)
class Assignment:
    """The partitions of one consumer.

    An *open* partition delivers records. A *pending* one is ours, but its offset is not known yet. A partition's epoch
    rises whenever its owner or the offset from which it resumes changes. A batch of an older epoch must not be written.

    Attributes:
        positions: next expected offset of every open partition.
        pending: ours, waiting for the ledger.
        epochs: by kafka_partition; only ever grows.
        generations: the life of its log that an open partition is read in, by kafka_partition.
        marks: fingerprints of what was read of an open partition, by kafka_partition.
        joints: by kafka_partition, the last offset of each batch since the connection to Kafka was last known to be
            unbroken: if Kafka came back with another log in between, one of these records is not in it.
    """

    positions: dict[int, int] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    epochs: dict[int, int] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    marks: dict[int, tuple[Mark, ...]] = field(default_factory=dict)
    joints: dict[int, list[int]] = field(default_factory=dict)

    @property
    def owned(self) -> set[int]:
        """Every partition that is ours."""
        return self.pending | set(self.positions)

    def assigned(self, partitions: Iterable[int]) -> None:
        """Takes partitions over; they wait for their offsets."""
        for partition in partitions:
            self.positions.pop(partition, None)
            self.pending.add(partition)
            self.epochs[partition] = self.epochs.get(partition, 0) + 1

    def opened(self, places: Mapping[int, Place]) -> None:
        """Notes where pending partitions start."""
        for partition, place in places.items():
            self.pending.discard(partition)
            self.positions[partition] = place.offset
            self.generations[partition] = place.generation
            self.marks[partition] = place.marks
            self.joints[partition] = []

    def mark(self, some: Iterable[MarkedRecord], last: Mapping[int, MarkedRecord]) -> None:
        """Adds marks of a batch: of some of its records, by rising offset, and of each partition's last one."""
        new: dict[int, dict[int, Mark]] = {partition: {} for partition in last}
        for record in (*some, *last.values()):
            new[record.partition()][record.offset()] = mark_of(record)
        for partition, marks in new.items():
            joints = self.joints[partition]
            self.marks[partition] = extended(self.marks[partition], list(marks.values()), joints)
            joints.append(last[partition].offset())
            del joints[:-MAX_JOINTS]

    def connection_held(self) -> None:
        """Notes that the connection to Kafka was unbroken so far: what was read is one piece of one log."""
        for joints in self.joints.values():
            joints.clear()

    def reset(self) -> None:
        """Makes every partition wait for the ledger again."""
        self.assigned(self.owned)

    def given_up(self, partitions: Iterable[int]) -> None:
        """Forgets partitions that are no longer ours."""
        for partition in partitions:
            self.positions.pop(partition, None)
            self.pending.discard(partition)
            self.epochs[partition] = self.epochs.get(partition, 0) + 1

    def is_current(self, partition: int, epoch: int) -> bool:
        """Tells whether a batch of that epoch may still be written."""
        return self.epochs.get(partition) == epoch and partition in self.positions
