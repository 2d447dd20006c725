"""Keeps track of which partitions are ours, where they resume, and in which epoch. No network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rtp_workers.postgres.ledger import Place
from rtp_workers.record.marks import Mark, MarkedRecord, extended, mark_of

# The client reports once a second whether the connection held. More polls than this do not fit into a second.
MAX_JOINTS = 128


@dataclass(slots=True)
class Assignment:
    """The partitions of one consumer.

    An *open* partition delivers records. A *pending* one is ours, but its offset is not known yet. A partition's epoch
    rises whenever its owner or the offset from which it resumes changes. A batch of an older epoch must not be written.

    Attributes:
        positions: next expected offset of every open partition.
        pending: partitions that are ours and wait for the ledger.
        epochs: the epoch of each partition, by kafka_partition; it only grows.
        generations: the generation of the log that an open partition is read in, by kafka_partition.
        marks: fingerprints of the records read from an open partition, by kafka_partition.
        joints: by kafka_partition, the marks of the last record of each poll since the connection to Kafka was last
            known to be unbroken. If Kafka came back with another log between two polls, that log lacks one of these
            records, even if both polls went into the same batch.
    """

    positions: dict[int, int] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    epochs: dict[int, int] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    marks: dict[int, tuple[Mark, ...]] = field(default_factory=dict)
    joints: dict[int, list[Mark]] = field(default_factory=dict)

    @property
    def owned(self) -> set[int]:
        """Every partition that is ours."""
        return self.pending | set(self.positions)

    def assigned(self, partitions: Iterable[int]) -> None:
        """Adds partitions, which then wait for their offsets."""
        for partition in partitions:
            self.positions.pop(partition, None)
            self.pending.add(partition)
            self.epochs[partition] = self.epochs.get(partition, 0) + 1

    def opened(self, places: Mapping[int, Place]) -> None:
        """Records where pending partitions resume."""
        for partition, place in places.items():
            self.pending.discard(partition)
            self.positions[partition] = place.offset
            self.generations[partition] = place.generation
            self.marks[partition] = place.marks
            self.joints[partition] = []

    def polled(self, last: Mapping[int, MarkedRecord]) -> None:
        """Records the last record that a poll brought from each partition."""
        for partition, record in last.items():
            joints = self.joints[partition]
            joints.append(mark_of(record))
            del joints[:-MAX_JOINTS]

    def mark(self, some: Iterable[MarkedRecord]) -> None:
        """Adds the marks of a batch: of some of its records, by rising offset, and of its joints."""
        new: dict[int, set[Mark]] = {partition: set(joints) for partition, joints in self.joints.items()}
        for record in some:
            new[record.partition()].add(mark_of(record))
        for partition, marks in new.items():
            known = self.marks[partition]
            fresh = sorted(mark for mark in marks if not known or mark.offset > known[-1].offset)
            if fresh:
                self.marks[partition] = extended(known, fresh, {joint.offset for joint in self.joints[partition]})

    def connection_held(self) -> None:
        """Records that the connection to Kafka was unbroken so far, so that everything read comes from one log.

        The last record stays a joint, because the connection may break before the next poll.
        """
        for joints in self.joints.values():
            del joints[:-1]

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
