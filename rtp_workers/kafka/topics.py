"""Creates the topic, reports how it differs from what it should be, and reads its id and offsets."""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.kafka.client import client_options, translate
from rtp_workers.kafka.reachability import explained

PARTITIONS = 6
BROKERS_DEFAULT = -1  # as a replication factor
TIMEOUT_S = 10.0
CONFIGS: dict[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * 24 * 60 * 60 * 1000),
    # With CreateTime, records of old transactions would be deleted within minutes of their arrival.
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(1024 * 1024),
}

REFUSED = frozenset(
    {
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
    }
)
VISIBLE_POLL_S = 0.05
CLIENT_GRACE_S = 5.0  # normally the client ends a request at its own timeout; this is for a client that does not


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What `ensure_topic` found and did.

    Attributes:
        created: True if the topic did not exist before.
        partitions: how many partitions it has now.
        replication: the number of copies of the partition with the fewest.
        configs: its settings now, only those in `CONFIGS`.
        drift: one sentence for each way in which it still differs from what was asked for.
        altered: one sentence for each change to an existing topic.
    """

    topic: str
    topic_id: str
    created: bool
    partitions: int
    replication: int
    configs: dict[str, str]
    drift: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the broker knows it.

    Attributes:
        topic_id: 22 characters of base64url, as Kafka's own tools print it.
        partitions: how many partitions it has.
        replication: the number of copies of the partition with the fewest.
    """

    topic: str
    topic_id: str
    partitions: int
    replication: int


def ensure_topic(
    endpoints: Endpoints,
    topic: str,
    *,
    partitions: int = PARTITIONS,
    replication: int | None = None,
    configs: dict[str, str] | None = None,
    alter: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> TopicReport:
    """Creates the topic if it is missing. Safe to run again, and for two callers at the same time.

    Args:
        endpoints: where Kafka is.
        topic: the topic's name.
        partitions: the smallest number of partitions. A topic with more has not drifted.
        replication: copies of each partition; None leaves it to the broker. Another number is drift.
        configs: settings that override `CONFIGS`.
        alter: True corrects the drift of an existing topic. Partitions are only ever added. The number of copies stays,
            because changing it moves data between brokers. False only reports the drift.
        timeout_s: the timeout of each request.

    Raises:
        TransientError: Kafka is away.
        AttentionError: not allowed.
        ConfigError: Kafka refuses the name or a setting.
    """
    wanted = {**CONFIGS, **(configs or {})}
    admin = admin_client(endpoints)
    new = NewTopic(topic, num_partitions=partitions, replication_factor=replication or BROKERS_DEFAULT, config=wanted)
    with explained(endpoints, timeout_s):
        created = _create(admin, new, timeout_s)
    found, now = _await_led(admin, topic, timeout_s), settings_of(admin, topic, timeout_s)
    drift = _differences(found, now, partitions, wanted)
    altered = drift if alter else []
    if altered:
        settings = {name: value for name, value in wanted.items() if now.get(name) != value}
        _alter(admin, found, partitions, settings, timeout_s)
        deadline = time.monotonic() + timeout_s
        while drift and time.monotonic() < deadline:  # the brokers see a change a moment later
            time.sleep(VISIBLE_POLL_S)
            found, now = _await_led(admin, topic, timeout_s), settings_of(admin, topic, timeout_s)
            drift = _differences(found, now, partitions, wanted)
    shown = {name: now[name] for name in wanted if name in now}
    if replication is not None and found.replication != replication:
        drift = [*drift, f"its partitions have {found.replication} copies, they should have {replication}"]
    return TopicReport(topic, found.topic_id, created, found.partitions, found.replication, shown, drift, altered)


def describe(endpoints: Endpoints, topic: str, *, timeout_s: float = TIMEOUT_S) -> TopicDescription | None:
    """Returns the topic as the broker knows it, or None when it does not exist.

    Raises:
        TransientError: Kafka is away. AttentionError: not allowed.
    """
    admin = admin_client(endpoints)
    with explained(endpoints, timeout_s):
        return described(admin, topic, timeout_s)


def existing(endpoints: Endpoints, topic: str, timeout_s: float) -> TopicDescription:
    """Returns the topic as the broker knows it. Errors as in `describe`; TransientError if it does not exist."""
    found = describe(endpoints, topic, timeout_s=timeout_s)
    if found is None:
        raise TransientError(f"topic {topic} does not exist; check its name; `rtp topics` creates the platform's own")
    return found


def log_offsets(endpoints: Endpoints, topic: str, *, timeout_s: float = TIMEOUT_S) -> dict[int, tuple[int, int]]:
    """Returns ``{kafka_partition: (log start, end)}``. The end is the offset that the next record gets.

    Records of an open transaction count: the end is the high watermark, not the last stable offset.

    Raises:
        TransientError: Kafka is away, or the topic does not exist. AttentionError: not allowed.
    """
    found = existing(endpoints, topic, timeout_s)
    admin = admin_client(endpoints)
    spec: Any = OffsetSpec  # its constructors carry no types
    with explained(endpoints, timeout_s):
        starts = list_offsets(admin, found, spec.earliest(), timeout_s)
        ends = list_offsets(admin, found, spec.latest(), timeout_s)
    return {number: (starts[number], ends[number]) for number in range(found.partitions)}


def delete_records(
    endpoints: Endpoints, topic: str, before: dict[int, int], *, timeout_s: float = TIMEOUT_S
) -> dict[int, int]:
    """Deletes the records before an offset, as retention would.

    Args:
        endpoints: where Kafka is.
        topic: its name.
        before: the first offset to keep, by kafka_partition; -1 deletes everything in the partition.
        timeout_s: the timeout of the request.

    Returns:
        The log start offset afterwards, by kafka_partition.
    """
    doing = f"delete records of {topic}"
    targets = [TopicPartition(topic, number, offset) for number, offset in before.items()]
    admin = admin_client(endpoints)
    futures = admin.delete_records(targets, request_timeout=timeout_s, operation_timeout=timeout_s)
    return {item.partition: answer_of(future, doing, timeout_s).low_watermark for item, future in futures.items()}


def delete_topic(endpoints: Endpoints, topic: str, *, timeout_s: float = TIMEOUT_S) -> None:
    """Deletes the topic, if it exists."""
    admin = admin_client(endpoints)
    futures = admin.delete_topics([topic], request_timeout=timeout_s, operation_timeout=timeout_s)
    answer_of(futures[topic], f"delete topic {topic}", timeout_s, {KafkaError.UNKNOWN_TOPIC_OR_PART: None})


def as_text(topic_id: Any) -> str:
    """Returns a ``confluent_kafka.Uuid`` as Kafka prints it: base64url without padding (unlike its own str)."""
    packed = struct.pack(">qq", topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits())
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def admin_client(endpoints: Endpoints) -> AdminClient:
    """Returns an admin client. Keep it in a variable until its futures are done: a collected client never answers."""
    return AdminClient(client_options(endpoints, "rtp-admin"))


def _create(admin: AdminClient, topic: NewTopic, timeout_s: float) -> bool:
    """Returns True if the topic was created now, False if it existed."""
    future = admin.create_topics([topic], request_timeout=timeout_s, operation_timeout=timeout_s)[topic.topic]
    there = {KafkaError.TOPIC_ALREADY_EXISTS: False}
    return bool(
        answer_of(
            future, f"create topic {topic.topic}", timeout_s, there, done=True, lacking=f"Create on topic {topic.topic}"
        )
    )


def described(admin: AdminClient, topic: str, timeout_s: float) -> TopicDescription | None:
    """Returns the topic as the broker knows it; None if it does not exist. Errors as in `describe`."""
    return described_later(admin, topic, timeout_s)()


def described_later(admin: AdminClient, topic: str, timeout_s: float) -> Callable[[], TopicDescription | None]:
    """Asks for the topic now. The returned function waits for the answer. Errors as in `describe`."""
    future = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)[topic]

    def answer(client: AdminClient = admin) -> TopicDescription | None:  # kept: a collected client never answers
        found = answer_of(
            future,
            f"describe topic {topic}",
            timeout_s,
            {KafkaError.UNKNOWN_TOPIC_OR_PART: None},
            lacking=f"Describe on topic {topic}",
        )
        if found is None:
            return None
        copies = min((len(partition.replicas) for partition in found.partitions), default=0)
        return TopicDescription(topic, as_text(found.topic_id), len(found.partitions), copies)

    return answer


def _await_led(admin: AdminClient, topic: str, timeout_s: float) -> TopicDescription:
    """Returns the description once each partition's leader answers, which takes a moment after the creation."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = described(admin, topic, timeout_s)
        try:
            if found is not None:
                spec: Any = OffsetSpec  # its constructors carry no types
                list_offsets(admin, found, spec.latest(), timeout_s)
                return found
        except TransientError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise TransientError(f"topic {topic} is not known to the broker after {timeout_s:g} s; try again")
        time.sleep(VISIBLE_POLL_S)


def settings_of(admin: AdminClient, topic: str, timeout_s: float) -> dict[str, str]:
    """Returns every setting of the topic. Errors as in `describe`."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    future = admin.describe_configs([resource], request_timeout=timeout_s)[resource]
    entries = answer_of(
        future, f"read the settings of topic {topic}", timeout_s, lacking=f"DescribeConfigs on topic {topic}"
    )
    return {name: entry.value for name, entry in entries.items() if entry.value is not None}


def _differences(topic: TopicDescription, now: dict[str, str], partitions: int, wanted: dict[str, str]) -> list[str]:
    sentences = [
        f"{name} is {now.get(name, 'not set')}, it should be {value}"
        for name, value in wanted.items()
        if now.get(name) != value
    ]
    if topic.partitions < partitions:
        sentences.insert(0, f"it has {topic.partitions} partitions, it should have {partitions}")
    return sentences


def _alter(
    admin: AdminClient, topic: TopicDescription, partitions: int, settings: dict[str, str], timeout_s: float
) -> None:
    if topic.partitions < partitions:
        wanted = [NewPartitions(topic.topic, partitions)]
        future = admin.create_partitions(wanted, request_timeout=timeout_s, operation_timeout=timeout_s)[topic.topic]
        answer_of(future, f"add partitions to topic {topic.topic}", timeout_s, lacking=f"Alter on topic {topic.topic}")
    if settings:
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic.topic, incremental_configs=entries)
        future = admin.incremental_alter_configs([resource], request_timeout=timeout_s)[resource]
        answer_of(
            future,
            f"change the settings of topic {topic.topic}",
            timeout_s,
            lacking=f"AlterConfigs on topic {topic.topic}",
        )


def list_offsets(
    admin: AdminClient, topic: TopicDescription, spec: OffsetSpec, timeout_s: float, *, committed: bool = False
) -> dict[int, int]:
    """Returns the offset that `spec` names, by kafka_partition. Errors as in `log_offsets`.

    With `committed`, the end is the last stable offset: the first one of the oldest transaction that is still open.
    """
    request = {TopicPartition(topic.topic, number): spec for number in range(topic.partitions)}
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    futures = admin.list_offsets(request, request_timeout=timeout_s, isolation_level=level)
    doing = f"read the offsets of topic {topic.topic}"
    lacking = f"Describe on topic {topic.topic}"
    return {
        item.partition: answer_of(future, doing, timeout_s, lacking=lacking).offset for item, future in futures.items()
    }


def answer_of(
    future: Future[Any],
    doing: str,
    timeout_s: float,
    instead: dict[int, Any] | None = None,
    *,
    done: Any = None,
    lacking: str = "",
) -> Any:
    """Returns the result of a request to the admin client.

    For an error code in `instead` it returns the value there, and `done` for None.

    `lacking` is the right that the request needs, for the message if Kafka refuses it.

    Keep the AdminClient in a variable meanwhile: a collected client never answers.

    Raises:
        TransientError: Kafka is away, or the client does not answer.
        AttentionError: not allowed.
        ConfigError: Kafka refuses the request.
    """
    try:
        result = future.result(timeout=timeout_s + CLIENT_GRACE_S)
    except KafkaException as error:
        code = error.args[0].code()
        if instead is not None and code in instead:
            return instead[code]
        if code in REFUSED:
            raise ConfigError(
                f"{doing}: {error.args[0].str()}; check the RTP_TOPIC settings and the broker's policies"
            ) from error
        raise translate(error, doing, lacking=lacking) from error
    except TimeoutError as error:
        raise TransientError(
            f"{doing}: no answer in {timeout_s:g} s; is Kafka up? This is retried automatically"
        ) from error
    return done if result is None else result
