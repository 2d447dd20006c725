"""Reads records from Kafka, starting at the ledger's offsets and never at those committed to Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError
from rtp_workers.kafka.client import NEEDS_A_PERSON, client_options, translate

# Errors that name a partition and pass by themselves: a leader moves, a connection breaks, a topic is being created.
PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
    }
)
OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
# A partition that was added to the topic is found after this time. The client's default is five minutes.
METADATA_REFRESH_S = 5.0
CLIENT_ID = "rtp-consumer"
# The end of a client id, by which every member of the group shows into which database it stores.
LEDGER_MARK = ".ledger-"
FETCH_MAX_BYTES = 4 * 1024 * 1024

STATISTICS_INTERVAL_MS = 1_000


@dataclass(slots=True)
class Polled:
    """What one poll brought.

    Attributes:
        records: in the order of each partition's offsets.
        ends: kafka_partition -> the offset after the last one that we can read so far (markers included).
        out_of_range: partitions whose offset the log no longer holds.
        unreadable: partitions whose next batch the client cannot read, with the reason. Every attempt fails again.
        errors: everything else that went wrong. The client recovers by itself unless ``broken``.
        broken: True if the client cannot recover: close it and make another one.
        connection: ``held`` if the client has just reported that no connection to a broker broke since its last
            report; ``lost`` if one did, so that the broker may have come back with another log. None: no report.
    """

    records: list[Any] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    out_of_range: list[int] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)
    errors: list[RtpError] = field(default_factory=list)
    broken: bool = False
    connection: Literal["held", "lost"] | None = None


@dataclass(frozen=True, slots=True)
class Rebalances:
    """What to do when the group divides its partitions again. Called inside `poll`, on its thread.

    ``lost`` means that others may own the partitions already, so nothing from them may be written any more.
    """

    assigned: Callable[[list[int]], None]
    revoked: Callable[[list[int]], None]
    lost: Callable[[list[int]], None]


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    """How much the client may buffer, and how patient the group is.

    Attributes:
        queue_bytes: the size of the client's fetch queue.
        session_timeout_s: a member that is silent for this long is removed (with KIP-848 the broker's setting counts).
        max_poll_interval_s: a member that does not poll for this long is removed.
        group_protocol: ``classic``, or ``consumer`` for KIP-848.
        rack: where this process runs, so that it reads from a broker nearby; None: from each partition's leader.
    """

    queue_bytes: int
    session_timeout_s: float
    max_poll_interval_s: float
    group_protocol: str = "classic"
    rack: str | None = None


class RecordConsumer:
    """A member of the consumer group. An assigned partition delivers nothing until `start` gives it an offset.

    Not thread-safe: one thread polls and calls everything else.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        topic: str,
        group_id: str,
        limits: ConsumerLimits,
        rebalances: Rebalances,
        ledger_id: str = "",
    ) -> None:
        """Joins the group.

        Args:
            endpoints: where Kafka is.
            topic: the only topic that is read.
            group_id: the group to join.
            limits: how much the client may buffer, and how patient the group is.
            rebalances: what to do when the group divides its partitions again.
            ledger_id: the id of the database that stores the records. The client id carries it. Empty: not known.
        """
        self._topic, self._group_id = topic, group_id
        self._rebalances = rebalances
        self._started: set[int] = set()
        self._disconnects: int | None = None
        self._connection: Literal["held", "lost"] | None = None
        options = {**_options(endpoints, group_id, limits), "client.id": client_id(endpoints, ledger_id)}
        self._consumer = Consumer({**options, "stats_cb": self._on_statistics})
        try:
            self._consumer.subscribe(
                [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        except KafkaException as error:
            raise translate(error, f"subscribe to {topic}") from error

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        """Waits at most `timeout_s` for records, errors and rebalances. Returns earlier once it has `max_records`."""
        polled = Polled()
        try:
            messages = self._consumer.consume(max_records, timeout_s)
        except KafkaException as error:
            self._sort_error(polled, error.args[0], None)
            return polled
        except SystemError as error:
            if isinstance(error.__cause__, MemoryError):  # how the client reports that it could not copy a record
                raise MemoryError("poll for records") from error
            raise
        polled.connection, self._connection = self._connection, None
        polled.records = [message for message in messages if message.error() is None]
        if len(polled.records) < len(messages):
            for message in messages:
                problem = message.error()
                if problem is not None:
                    self._sort_error(polled, problem, message)
        return polled

    def start(self, offsets: Mapping[int, int]) -> None:
        """Starts or restarts assigned partitions, each at its offset."""
        self.stop(offsets)
        partitions = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        self._call("assign partitions", self._consumer.incremental_assign, partitions)
        self._started.update(offsets)

    def stop(self, partitions: Iterable[int]) -> None:
        """Stops the delivery of these partitions. The records that the client has buffered for them are dropped."""
        running = [TopicPartition(self._topic, partition) for partition in partitions if partition in self._started]
        if running:
            self._started.difference_update(partition.partition for partition in running)
            self._call("unassign partitions", self._unassign, running)

    def pause(self) -> None:
        """Holds delivery of every started partition. `resume` continues where it stopped."""
        self._call("pause partitions", self._consumer.pause, self._running())

    def resume(self) -> None:
        """Ends `pause`."""
        self._call("resume partitions", self._consumer.resume, self._running())

    def commit(self, offsets: Mapping[int, int], *, wait: bool = False) -> None:
        """Commits offsets to Kafka, so that ordinary tools show the lag. Nothing depends on its success.

        Args:
            offsets: the ledger's next offset, by kafka_partition.
            wait: True: wait for the answer (used at the end).
        """
        partitions = [TopicPartition(self._topic, number, offset) for number, offset in offsets.items()]
        if partitions:
            self._call("commit offsets for display", self._commit, partitions, wait)

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()

    def _running(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in sorted(self._started)]

    def _commit(self, partitions: list[TopicPartition], wait: bool) -> None:
        if wait:
            self._consumer.commit(offsets=partitions, asynchronous=False)
        else:
            self._consumer.commit(offsets=partitions, asynchronous=True)

    def _call(self, doing: str, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
        except KafkaException as error:
            raise translate(error, f"{doing} of {self._topic}") from error

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # An empty assignment keeps the client from starting at the offset committed to Kafka. `start` starts it later.
        consumer.incremental_assign([])
        self._rebalances.assigned([partition.partition for partition in partitions])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalances.revoked([partition.partition for partition in partitions])
        self._give_up(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalances.lost([partition.partition for partition in partitions])
        self._give_up(partitions)

    def _give_up(self, partitions: list[TopicPartition]) -> None:
        running = [partition for partition in partitions if partition.partition in self._started]
        self._started.difference_update(partition.partition for partition in running)
        self._unassign([TopicPartition(self._topic, partition.partition) for partition in running])

    def _unassign(self, running: list[TopicPartition]) -> None:
        if running:
            # The client remembers a pause. Without this, a partition that comes back would never deliver again.
            self._consumer.resume(running)
        self._consumer.incremental_unassign(running)

    def _on_statistics(self, text: str) -> None:
        disconnects = _disconnects(text)
        if self._disconnects is not None and self._connection != "lost":
            self._connection = "held" if disconnects == self._disconnects else "lost"
        self._disconnects = disconnects

    def _sort_error(self, polled: Polled, problem: KafkaError, message: Message | None) -> None:
        code = problem.code()
        partition = message.partition() if message is not None else None
        offset = message.offset() if message is not None else None
        if code == KafkaError._PARTITION_EOF and partition is not None and offset is not None:
            polled.ends[partition] = offset
        elif code in OUT_OF_RANGE and partition is not None:
            polled.out_of_range.append(partition)
        elif is_unreadable(problem, partition):
            polled.unreadable[partition or 0] = problem.str()
        else:
            polled.errors.append(translate(problem, f"consume {self._topic}", lacking=self._lacking(code)))
            polled.broken = polled.broken or problem.fatal()

    def _lacking(self, code: int) -> str:
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return f"Read on group {self._group_id}"
        return f"Read on topic {self._topic}"


def is_unreadable(problem: KafkaError, partition: int | None) -> bool:
    """Tells whether an error is about the data at one offset of a partition, so that retrying cannot help."""
    if partition is None or partition < 0 or problem.fatal() or problem.code() in NEEDS_A_PERSON:
        return False
    return problem.code() not in PASSING | OUT_OF_RANGE


def client_id(endpoints: Endpoints, ledger_id: str) -> str:
    """Returns the client id of a consumer that stores into this database: the user's or ours, then its mark."""
    name = str(endpoints.kafka_options.get("client.id", CLIENT_ID))
    return f"{name}{LEDGER_MARK}{ledger_id}" if ledger_id else name


def ledger_of(member_client_id: str) -> str | None:
    """Returns the database that a member of the group stores into; None if its client id does not show one."""
    _, mark, ledger_id = member_client_id.rpartition(LEDGER_MARK)
    return ledger_id if mark else None


def _group_options(limits: ConsumerLimits) -> dict[str, Any]:
    if limits.group_protocol == "consumer":
        # The broker assigns the partitions one by one and sets the group's timeouts. It refuses ours.
        return {"group_protocol": "consumer"}
    return {
        "partition_assignment_strategy": "cooperative-sticky",
        "session_timeout_ms": int(limits.session_timeout_s * 1000),
        "heartbeat_interval_ms": int(limits.session_timeout_s * 1000 / 4),
    }


class _Broker(msgspec.Struct):
    nodeid: int
    disconnects: int


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker]


_decode_statistics = msgspec.json.Decoder(_Statistics).decode


def _disconnects(text: str) -> int:
    """Returns how often a connection to a broker has ended, without those for bootstrap and coordination."""
    return sum(broker.disconnects for broker in _decode_statistics(text).brokers.values() if broker.nodeid >= 0)


def _options(endpoints: Endpoints, group_id: str, limits: ConsumerLimits) -> dict[str, Any]:
    options = client_options(
        endpoints,
        CLIENT_ID,
        group_id=group_id,
        enable_auto_commit=False,
        enable_auto_offset_store=False,
        auto_offset_reset="error",
        enable_partition_eof=True,
        isolation_level="read_committed",
        topic_metadata_refresh_interval_ms=int(METADATA_REFRESH_S * 1000),
        **_group_options(limits),
        **({} if limits.rack is None else {"client_rack": limits.rack}),
        max_poll_interval_ms=int(max(limits.max_poll_interval_s, limits.session_timeout_s) * 1000),
        queued_max_messages_kbytes=limits.queue_bytes // 1024,
        max_partition_fetch_bytes=1024 * 1024,
        fetch_max_bytes=FETCH_MAX_BYTES,
        fetch_wait_max_ms=100,
        fetch_error_backoff_ms=100,
        # With the default of 1 s, a full queue runs dry: at most 16 MB a second.
        fetch_queue_backoff_ms=5,
        statistics_interval_ms=STATISTICS_INTERVAL_MS,
    )
    # The exactly-once promise depends on these, so no client setting of the user may change them.
    return {**options, "enable.auto.commit": False, "auto.offset.reset": "error", "group.id": group_id}
