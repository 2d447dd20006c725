"""Records -> Kafka: idempotent, acks=all, a bounded queue, and every delivery report counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat, starmap
from operator import length_hint
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError, TransientError
from rtp_workers.kafka.client import NEEDS_A_PERSON, TOO_LARGE, client_options, translate
from rtp_workers.record.transaction import MAX_SOURCE_LENGTH

SCHEMA_VERSION = b"1"
MAX_RECORD_BYTES = (
    1_000_000  # below the topic's max.message.bytes: too large is reported per record, before it is queued
)
RECORD_OVERHEAD_BYTES = 512  # librdkafka's own structures and headers per queued record; they count as memory too
ANY_PARTITION = -1
FULL_QUEUE_POLL_S = 0.1
FLUSH_POLL_S = 0.1
# How long `close` waits for the reports about dropped records. They are ready at once, but there may be many.
DROPPED_REPORTS_S = 10.0
# With these errors, Kafka refuses the record itself. Any other failure says nothing about the record.
REFUSES_THE_RECORD = TOO_LARGE | {
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.POLICY_VIOLATION,
}

Headers = list[tuple[str, str | bytes | None]]
OnAck = Callable[[RtpError | None, int, int], None]


class ProducerBrokenError(TransientError):
    """The idempotent producer cannot recover. A new one can send the records that are not acknowledged."""


def record_headers(source: str, *, replay_of: str | None = None, load_id: int | None = None) -> Headers:
    """Returns the headers of a record, or of a whole chunk of records.

    Args:
        source: ``csv:<file name>``, ``live`` or ``api``; cut to 300 characters.
        replay_of: ``<topic_id>:<kafka_partition>:<offset>`` of the dead letter that is sent again.
        load_id: the number of the CSV load that sends the record.
    """
    headers: Headers = [
        ("source", source[:MAX_SOURCE_LENGTH].encode("utf-8", "replace")),
        ("schema", SCHEMA_VERSION),
        ("produced_at", b"%d" % (time.time_ns() // 1_000_000)),
    ]
    if replay_of is not None:
        headers.append(("replay_of", replay_of.encode()))
    if load_id is not None:
        headers.append(("load", b"%d" % load_id))
    return headers


class Delivery:
    """What Kafka has said about the records of one `RecordProducer.send_many`.

    Attributes:
        sent: how many records there are.
        left: records not yet acknowledged; 0 when all are.
    """

    __slots__ = ("_last_offsets", "_on_failure", "left", "sent")

    def __init__(self, sent: int, last_offsets: dict[int, int], on_failure: Callable[[KafkaError, Any], None]) -> None:
        self.sent = sent
        self.left = sent
        self._last_offsets = last_offsets
        self._on_failure = on_failure

    def report(self, error: KafkaError | None, message: Any) -> None:
        """Handles one delivery report. At 200,000 records a second, every attribute that is read here costs CPU."""
        if error is None:
            self.left -= 1
            self._last_offsets[message.partition()] = message.offset()
        else:
            self._on_failure(error, message)


class RecordProducer:
    """Sends records to one topic and knows exactly what Kafka has acknowledged.

    ``send`` may be called from any thread; ``send_many``, ``poll``, ``flush`` and ``close`` from one thread only,
    because delivery reports are counted there.

    Attributes:
        failed: how many records failed: those that Kafka refused, and those of a `send` with `on_ack` that failed for
            any reason. `on_ack` is called if there is one; otherwise the next `poll`, `flush` or `send_many` raises
            the error.
        unsent: (value, key) of all other records that were not acknowledged and that the client has given up. Another
            producer can send them. The list is complete after `close`.
        last_offsets: kafka_partition -> offset of the last acknowledged record.
        trouble: what the client reports about the brokers while they are away, else None.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        topic: str,
        client_id: str,
        *,
        queue_bytes: int = 64_000_000,
        linger_ms: int = 20,
        delivery_timeout_s: float | None = None,
    ) -> None:
        """Builds the client, which connects in the background.

        Args:
            endpoints: where Kafka is.
            topic: the topic, which must exist: sending does not create it.
            client_id: shows up in broker logs and quotas.
            queue_bytes: memory for records that are not yet acknowledged, including librdkafka's own structures.
            linger_ms: how long a batch waits to fill.
            delivery_timeout_s: a record that is not acknowledged after this time has failed. None: no limit.

        Raises:
            ConfigError: Kafka's address is not known, or a client setting is refused.
        """
        self.topic = topic
        self._acknowledged = 0
        self._deliveries: deque[Delivery] = deque()
        self._counting = threading.Lock()
        self.failed = 0
        self.unsent: list[tuple[bytes | None, bytes | None]] = []
        self.last_offsets: dict[int, int] = {}
        self.trouble: str | None = None
        self._failure: RtpError | None = None
        self._fatal: KafkaError | None = None
        options = client_options(
            endpoints,
            client_id,
            enable_idempotence=True,
            acks="all",
            partitioner="murmur2_random",
            compression_type="lz4",  # measured on these records: the least CPU of client and broker together
            linger_ms=linger_ms,
            message_max_bytes=MAX_RECORD_BYTES,
            message_timeout_ms=0 if delivery_timeout_s is None else max(1, int(delivery_timeout_s * 1000)),
            queue_buffering_max_kbytes=max(1, queue_bytes // 2 // 1024),
            queue_buffering_max_messages=max(1, queue_bytes // 2 // RECORD_OVERHEAD_BYTES),
        )
        try:
            self._producer = Producer({**options, "error_cb": self._on_error})
        except KafkaException as error:
            raise translate(error, f"set up a producer for {topic}") from error

    @property
    def acknowledged(self) -> int:
        """How many records all in-sync replicas have, by the reports that `poll` has read."""
        with self._counting:
            return self._acknowledged + sum(delivery.sent - delivery.left for delivery in self._deliveries)

    @property
    def outstanding(self) -> int:
        """How many records are queued or in flight, including those whose reports were not read yet."""
        return len(self._producer)

    def send(self, value: bytes | None, key: bytes | None, headers: Headers, on_ack: OnAck | None = None) -> None:
        """Queues one record without waiting.

        Args:
            value: the record's JSON; None only for a tombstone that is sent again as it came.
            key: decides the kafka_partition; None for any partition.
            headers: what `record_headers` returns.
            on_ack: called once, from `poll`, as ``on_ack(None, kafka_partition, offset)`` or ``on_ack(error, -1, -1)``.

        Raises:
            TransientError: the queue is full; try again after ``retry_after_s``. Nothing was queued.
            RecordError: the record is larger than Kafka accepts. Nothing was queued.
            ProducerBrokenError: this producer cannot recover. A new one must send the unacknowledged records.
        """
        report = self._on_report if on_ack is None else self._reporting_to(on_ack)
        try:
            self._producer.produce(self.topic, value, key, ANY_PARTITION, report, report, 0, headers)
        except BufferError as error:
            raise TransientError(
                f"the send queue for {self.topic} is full: Kafka is away, or slower than the records arrive"
                + (f" ({self.trouble})" if self.trouble else ""),
                retry_after_s=FULL_QUEUE_POLL_S,
            ) from error
        except KafkaException as error:
            raise self._error(error) from error

    def send_many(
        self,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        headers: Headers,
        while_waiting: Callable[[float], None] | None = None,
    ) -> Delivery:
        """Queues records in order. While the queue is full, it waits for room and reads delivery reports.

        Args:
            values: one JSON body per record.
            keys: one key per record.
            headers: the headers that all of them share.
            while_waiting: called about ten times a second with the seconds waited for room. Raise in it to give up.

        Returns:
            The delivery of these records only. `poll` and `flush` keep it up to date.

        Raises:
            RtpError: an earlier record has failed for good (see `flush`), or `while_waiting` raised. Records that were
                not queued are then in `unsent`; queued ones may still be acknowledged.
        """
        if len(values) != len(keys):
            raise ValueError(f"{len(values)} values, but {len(keys)} keys")
        delivery = Delivery(len(values), self.last_offsets, self._on_failure)
        with self._counting:
            self._deliveries.append(delivery)
        left = iter(values)
        rest = (ANY_PARTITION, delivery.report, None, 0, headers)
        records = zip(repeat(self.topic), left, keys, *map(repeat, rest), strict=False)
        produce, complete = self._producer.produce, False
        try:
            while not complete:
                try:
                    # A loop in C: at 200,000 records a second, a Python loop would take a tenth of the CPU.
                    deque(starmap(produce, records), maxlen=0)
                    complete = True
                except BufferError:
                    at = len(values) - length_hint(left) - 1
                    self._produce_when_room((self.topic, values[at], keys[at], *rest), while_waiting)
                    complete = at + 1 == len(values)
                except KafkaException as error:
                    raise self._error(error) from error
        finally:
            if not complete:
                at = len(values) - length_hint(left) - 1
                self.unsent += zip(values[at:], keys[at:], strict=True)
        self.poll()
        return delivery

    def poll(self, timeout_s: float = 0) -> int:
        """Reads delivery reports. Waits at most `timeout_s` for the first. Returns how many it read.

        Raises:
            RtpError: a record has failed for good, or the producer cannot continue.
        """
        before = dict(self.last_offsets) if self.trouble else None
        try:
            served = int(self._producer.poll(timeout_s))
        except KafkaException as error:
            raise self._broken(error) from error
        if before is not None and before != self.last_offsets:
            self.trouble = None
        with self._counting:
            while self._deliveries and not self._deliveries[0].left:
                self._acknowledged += self._deliveries.popleft().sent
        self._raise_failure()
        return served

    def flush(self, timeout_s: float) -> None:
        """Waits until every record is acknowledged.

        Raises:
            TransientError: some are not acknowledged after `timeout_s`. They stay queued and may still arrive.
            RecordError, AttentionError: a record has failed for good.
            ProducerBrokenError: see `send`.
        """
        try:
            left = self._left_after(timeout_s)
        except KafkaException as error:
            raise self._broken(error) from error
        self._raise_failure()
        if left > 0:
            raise TransientError(
                f"{left} records for {self.topic} are not acknowledged after {timeout_s:g} s"
                + (f" ({self.trouble})" if self.trouble else "")
                + "; is Kafka up?"
            )

    def close(self, timeout_s: float = 0) -> int:
        """Waits up to `timeout_s`, then drops unacknowledged records (see `unsent`). Returns how many it dropped."""
        left = self._dropped_after(timeout_s) if timeout_s > 0 else len(self._producer)
        self._producer.purge()
        deadline = time.monotonic() + DROPPED_REPORTS_S
        while len(self._producer) and time.monotonic() < deadline:
            self._dropped_after(1)
        return left

    def cause_of(self, error: RtpError) -> RtpError:
        """Returns why this producer cannot recover, where the client has said so by now; else the error given."""
        return error if self._fatal is None else self._error(self._fatal)

    def _left_after(self, timeout_s: float) -> int:
        """Reads reports until none is outstanding, for at most `timeout_s`. Returns how many are still outstanding.

        The client's own `flush` reads on after a fatal error, and would lose the reports that follow it.
        """
        deadline = time.monotonic() + timeout_s
        self._producer.poll(0)
        while (left := len(self._producer)) and (rest_s := deadline - time.monotonic()) > 0:
            self._producer.poll(min(rest_s, FLUSH_POLL_S))
        return left

    def _dropped_after(self, timeout_s: float) -> int:
        """Does the same as `_left_after`, but ignores a fatal error: the remaining records are dropped anyway."""
        try:
            return self._left_after(timeout_s)
        except KafkaException as error:
            self._broken(error)
            return len(self._producer)

    def _produce_when_room(self, record: tuple[Any, ...], while_waiting: Callable[[float], None] | None) -> None:
        started = time.monotonic()
        while True:
            self.poll(FULL_QUEUE_POLL_S)
            try:
                self._producer.produce(*record)
                return
            except BufferError:
                if while_waiting is not None:
                    while_waiting(time.monotonic() - started)
            except KafkaException as error:
                raise self._error(error) from error

    def _on_report(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._acknowledged += 1
            self.last_offsets[message.partition()] = message.offset()
        else:
            self._on_failure(error, message)

    def _on_failure(self, error: KafkaError, message: Any) -> None:
        if error.code() in REFUSES_THE_RECORD:
            self.failed += 1
        else:
            self.unsent.append((message.value(), message.key()))
        if self._failure is None:
            self._failure = self._error(error)

    def _reporting_to(self, on_ack: OnAck) -> Callable[[KafkaError | None, Any], None]:
        def report(error: KafkaError | None, message: Any) -> None:
            if error is None:
                self._on_report(None, message)
                on_ack(None, message.partition(), message.offset())
            else:
                self.failed += 1
                on_ack(self._error(error), -1, -1)

        return report

    def _on_error(self, error: KafkaError) -> None:
        self.trouble = error.str()
        if error.fatal():
            self._fatal = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._fatal is not None:
            raise self._error(self._fatal)

    def _broken(self, error: KafkaException) -> RtpError:
        """Translates the fatal error of the idempotent producer that the client raises while it reads reports."""
        if self._fatal is None and error.args[0].fatal():
            self._fatal = error.args[0]
        return self._error(error)

    def _error(self, error: KafkaError | KafkaException) -> RtpError:
        cause = self._fatal or (error.args[0] if isinstance(error, KafkaException) else error)
        broken = self._fatal is not None or cause.code() == KafkaError._FATAL
        if broken and cause.code() not in NEEDS_A_PERSON:
            return ProducerBrokenError(
                f"produce to {self.topic}: this producer cannot recover ({cause.str()}). Start again: records that "
                "Kafka has not acknowledged are sent again"
            )
        whole = cause.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED
        lacking = "IdempotentWrite on cluster" if whole else f"Write on topic {self.topic}"
        return translate(cause, f"produce to {self.topic}", lacking=lacking)
