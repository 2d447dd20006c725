"""Why records wait in Kafka and do not move, as far as Kafka itself knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicCollection
from confluent_kafka.admin import ConsumerGroupDescription, MemberDescription

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import TransientError
from rtp_workers.kafka import topics
from rtp_workers.kafka.record_consumer import CLIENT_ID, ledger_of
from rtp_workers.kafka.topic_watch import LATEST
from rtp_workers.kafka.topics import TopicDescription

# Longer than an outage usually lasts, because a timeout of this request may abort the process (see DiagnosisThread).
GROUP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Others:
    """Who else has partitions of our topic in our group, one sentence each; None if there is nobody.

    Attributes:
        ledgers: consumers of this product that store into another database.
        strangers: other programs.
        nobody: a sentence if the group has no members.
    """

    ledgers: str | None = None
    strangers: str | None = None
    nobody: str | None = None

    def sentences(self) -> list[str]:
        """Returns the sentences that are not None."""
        return [said for said in (self.ledgers, self.strangers, self.nobody) if said is not None]


class CauseFinder:
    """Asks Kafka about one topic and one group, and keeps its connection. Use it from one thread."""

    def __init__(self, endpoints: Endpoints, topic: str, group_id: str, timeout_s: float = 5.0) -> None:
        self._endpoints = endpoints
        self._admin = topics.admin_client(endpoints)
        self._topic, self._group_id, self._timeout_s = topic, group_id, timeout_s
        self._our_client_ids = {CLIENT_ID, str(endpoints.kafka_options.get("client.id", CLIENT_ID))}

    def standing(self, positions: Mapping[int, int]) -> dict[int, str]:
        """Returns why partitions do not move from these positions although records wait, if Kafka names a cause.

        Args:
            positions: kafka_partition -> the next offset to store.

        Raises:
            TransientError: Kafka is away.
            AttentionError: not allowed.
        """
        causes = {number: text for number, text in self._without_leader().items() if number in positions}
        rest = {number: position for number, position in positions.items() if number not in causes}
        return causes | (self._held_by_transactions(rest) if rest and not causes else {})

    def others(self, ledger_id: str) -> Others:
        """Returns who else is in our group and has partitions of our topic.

        Args:
            ledger_id: the id of our own database. If it is empty (not known), other databases cannot be recognised.

        Raises:
            TransientError: Kafka is away.
            AttentionError: not allowed.
        """
        ledgers: dict[str, set[int]] = defaultdict(set)
        strangers: dict[str, set[int]] = defaultdict(set)
        try:
            members = self._described_group().members
        except TransientError:
            # It does not always recover from a broker that hung (see `topic_watch`). The next look has a new one.
            self._admin = topics.admin_client(self._endpoints)
            raise
        for member in members:
            theirs = ledger_of(member.client_id)
            who = f"{member.client_id} ({str(member.host).lstrip('/')})"
            if theirs is None and member.client_id not in self._our_client_ids:
                strangers[who] |= _partitions_of(member, self._topic)
            elif theirs is not None and ledger_id and theirs != ledger_id:
                ledgers[who] |= _partitions_of(member, self._topic)
        nobody = None if members else f"no consumer is running: the consumer group {self._group_id} has no members"
        return Others(self._of_ledgers(_shares(ledgers)), self._of_strangers(_shares(strangers)), nobody)

    def _of_strangers(self, shares: str) -> str | None:
        if not shares:
            return None
        return (
            f"{shares}: another program is a member of our consumer group {self._group_id}, and what it gets is not "
            "stored. Stop it, or give it another group.id"
        )

    def _of_ledgers(self, shares: str) -> str | None:
        if not shares:
            return None
        return (
            f"{shares}: that consumer stores into another database, but reads {self._topic} in the same consumer group "
            f"{self._group_id}, so each database gets only a part. Both wait until one is stopped; the other then "
            "reads what it has missed. To keep both, set one of them up again with its own RTP_GROUP_ID"
        )

    def _held_by_transactions(self, positions: Mapping[int, int]) -> dict[int, str]:
        topic = TopicDescription(self._topic, "", max(positions) + 1, replication=0)
        stable = topics.list_offsets(self._admin, topic, LATEST, self._timeout_s, committed=True)
        ends = topics.list_offsets(self._admin, topic, LATEST, self._timeout_s)
        return {
            number: (
                f"an open transaction since offset {stable[number]} holds it (last stable offset {stable[number]}, "
                f"end {ends[number]}); its records are read once it is committed or aborted. If its producer is "
                "dead, Kafka aborts it after the producer's transaction.timeout.ms"
            )
            for number, position in positions.items()
            if stable[number] <= position < ends[number]
        }

    def _without_leader(self) -> dict[int, str]:
        future = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=self._timeout_s)[
            self._topic
        ]
        found: Any = topics.answer_of(future, f"describe topic {self._topic}", self._timeout_s)
        return {
            partition.id: (
                f"it has no leader: the brokers that hold it ({_brokers(partition.replicas)}) are away. Start one of "
                "them; those in sync were " + (_brokers(partition.isr) or "none")
            )
            for partition in found.partitions
            if partition.leader is None or partition.leader.id < 0
        }

    def _described_group(self) -> ConsumerGroupDescription:
        future = self._admin.describe_consumer_groups([self._group_id], request_timeout=GROUP_TIMEOUT_S)[self._group_id]
        doing, lacking = f"describe group {self._group_id}", f"Describe on group {self._group_id}"
        found: ConsumerGroupDescription = topics.answer_of(future, doing, GROUP_TIMEOUT_S, lacking=lacking)
        return found


def _shares(taken: Mapping[str, set[int]]) -> str:
    """Returns which partitions are not ours, and whose they are; empty if all are ours."""
    parts = (
        f"{_named(numbers)} {'belongs' if len(numbers) == 1 else 'belong'} to {who}, not to us"
        for who, numbers in sorted(taken.items())
        if numbers
    )
    return "; ".join(parts)


def _partitions_of(member: MemberDescription, topic: str) -> set[int]:
    assignment = member.assignment
    return {item.partition for item in assignment.topic_partitions if item.topic == topic} if assignment else set()


def _named(numbers: set[int]) -> str:
    listed = ", ".join(str(number) for number in sorted(numbers))
    return f"partitions {listed}" if len(numbers) > 1 else f"partition {listed}"


def _brokers(nodes: Any) -> str:
    return ", ".join(f"broker {node.id}" for node in nodes)
