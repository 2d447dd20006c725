"""The link to Kafka: says whether Kafka answers, and replaces a client after a failure that it cannot recover from."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from rtp_workers import logs
from rtp_workers.backoff import Backoff
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError, TransientError
from rtp_workers.kafka import topics
from rtp_workers.kafka.record_producer import Headers, OnAck, ProducerBrokenError, RecordProducer

CLIENT_ID = "rtp-producer"
# Records that wait this long mean that Kafka is away. A leader election takes about a second.
AWAY_AFTER_S = 3.0
PROBE_S = 1.0
PROBE_TIMEOUT_S = 3.0
LONGEST_WAIT_S = 10.0  # between two clients if neither could send anything
# A client either finds a re-created topic by itself, or waits for the old one forever.
MADE_AGAIN_PATIENCE_S = 10.0

log = logs.get(__name__)


class KafkaLink:
    """One RecordProducer at a time, and what is known about Kafka.

    ``send`` may be called from any thread; the rest belongs to the loop's thread, apart from the probe's own.

    Attributes:
        trouble: why nothing may be sent now, one sentence; None while Kafka answers.
    """

    def __init__(self, endpoints: Endpoints, topic: str, queue_bytes: int) -> None:
        """
        Raises:
            ConfigError: Kafka's address is not known, or a client setting is refused.
        """
        self._endpoints = endpoints
        self._topic = topic
        self._queue_bytes = queue_bytes
        self.trouble: str | None = f"Kafka at {endpoints.need('kafka_bootstrap')} has not answered yet"
        self._producer = self._new_producer()
        self._topic_id: str | None = None
        self._other_topic: tuple[str, float] | None = None  # its id, and since when it is known
        self._acknowledged_before = self._failed_before = 0
        self._unsent: deque[tuple[bytes | None, bytes | None]] = deque()
        self._restarts = Backoff(PROBE_S, LONGEST_WAIT_S)
        self._resume_at_s = 0.0
        self._trying = False
        self._logged: str | None = None
        self._headers: Headers = []
        self._seen_acknowledged = 0
        self._progress_at_s = time.monotonic()
        self._closing = threading.Event()
        self._probe_wanted = threading.Event()
        self._probe_wanted.set()
        self._probe = threading.Thread(target=self._probe_when_wanted, name="kafka-probe", daemon=True)
        self._probe.start()

    @property
    def acknowledged(self) -> int:
        """Records that Kafka has acknowledged since the start."""
        return self._acknowledged_before + self._producer.acknowledged

    @property
    def failed(self) -> int:
        """Records that Kafka has refused, and records of `send` that no client could deliver."""
        return self._failed_before + self._producer.failed

    @property
    def outstanding(self) -> int:
        """How many records are handed over but not acknowledged, including those that wait to be sent again."""
        return self._producer.outstanding + len(self._unsent)

    @property
    def catching_up(self) -> bool:
        """True while records wait to be sent again: send no new ones before them."""
        return bool(self._unsent)

    def send(self, value: bytes, key: bytes, headers: Headers, on_ack: OnAck) -> None:
        """Queues one record; errors as in `RecordProducer.send`, a broken client with what is known of its trouble."""
        try:
            self._producer.send(value, key, headers, on_ack)
        except ProducerBrokenError as error:
            raise TransientError(self.trouble or str(error)) from error

    def send_many(
        self, values: list[bytes], keys: list[bytes], headers: Headers, while_waiting: Callable[[], None]
    ) -> None:
        """Queues records and waits for room. `while_waiting` is called about ten times a second and may raise.

        What cannot be queued, or is not acknowledged before the client has to be replaced, is sent again by `poll`.
        """
        self._headers = headers

        def waiting(_waited_s: float) -> None:
            self._watch()
            while_waiting()

        try:
            self._producer.send_many(values, keys, headers, waiting)
        except RtpError:
            self._take_unsent(self._producer)
            raise
        self._watch()

    def poll(self, timeout_s: float) -> None:
        """Sends records that an earlier client did not deliver, reads delivery reports, and checks Kafka's progress.

        Raises:
            RtpError: see `RecordProducer.poll`; call `start_anew`.
        """
        if time.monotonic() < self._resume_at_s:
            self._closing.wait(timeout_s)
            return
        if self.trouble is None or self._trying:
            self._producer.poll(0)  # a client that is broken says why here; to `_send_again` it would not
            self._send_again()
        self._producer.poll(timeout_s)
        self._watch()

    def start_anew(self, error: RtpError) -> None:
        """Replaces the client after `error`. Records of `send_many` that Kafka has not acknowledged are sent again.

        After a client that could send nothing, the next one waits, longer each time. A repeated reason is not logged.
        Some may be in Kafka already, with the acknowledgement lost. Their ids are the same, so they are stored once.
        """
        old, unacknowledged = self._producer, self.outstanding
        self.trouble = str(error)
        old.close()
        why = str(old.cause_of(error))
        if why != self._logged:
            log.error("producer_restarted", topic=self._topic, reason=why, unacknowledged=unacknowledged)
        self._doubt(why)
        self._take_unsent(old)
        self._trying = False
        if not old.acknowledged:
            self._resume_at_s = time.monotonic() + self._restarts.next_s()
        self._producer = self._new_producer()
        self._acknowledged_before += old.acknowledged
        self._failed_before += old.failed
        self._seen_acknowledged = self.acknowledged

    def close(self) -> int:
        """Closes the client. Returns how many outstanding records this loses."""
        self._closing.set()
        self._probe_wanted.set()
        lost = self._producer.close() + len(self._unsent)
        self._probe.join(PROBE_TIMEOUT_S + PROBE_S + 5)
        return lost

    def _new_producer(self) -> RecordProducer:
        return RecordProducer(self._endpoints, self._topic, CLIENT_ID, queue_bytes=self._queue_bytes)

    def _take_unsent(self, producer: RecordProducer) -> None:
        """Puts the records that this client gave up before those of an earlier client."""
        self._unsent.extendleft(reversed(producer.unsent))
        producer.unsent.clear()

    def _send_again(self) -> None:
        while self._unsent:
            value, key = self._unsent[0]
            try:
                self._producer.send(value, key, self._headers)
            except ProducerBrokenError:
                raise
            except TransientError:
                return  # the queue is full
            self._unsent.popleft()

    def _watch(self) -> None:
        """Raises TransientError if the topic was replaced and the client still waits for the old one."""
        now = time.monotonic()
        acknowledged = self.acknowledged
        if acknowledged != self._seen_acknowledged:
            self._seen_acknowledged = acknowledged
            self._progress_at_s = now
            self._restarts.reset()
            self._take_to_other_topic()
            self._trust()
        elif not self._producer.outstanding:
            self._progress_at_s = now
            self._take_to_other_topic()
            if self.trouble is not None:
                self._probe_wanted.set()
            elif self._producer.trouble is not None:
                self._doubt(self._producer.trouble)
        elif now - self._progress_at_s > AWAY_AFTER_S and self.trouble is None:
            said = f" ({self._producer.trouble})" if self._producer.trouble else ""
            self._doubt(f"Kafka has acknowledged nothing for {AWAY_AFTER_S:g} s{said}")
        elif self._other_topic is not None and now - self._other_topic[1] > MADE_AGAIN_PATIENCE_S:
            self._take_to_other_topic()
            raise TransientError(
                f"the topic {self._topic} was deleted and re-created; the records that waited for it are sent again"
            )

    def _take_to_other_topic(self) -> None:
        if self._other_topic is not None:
            self._topic_id = self._other_topic[0]
            self._other_topic = None

    def _trust(self) -> None:
        self._trying = False
        if self.trouble is not None:
            self.trouble = self._logged = None
            log.info("kafka_reachable", topic=self._topic)

    def _trust_or_try(self) -> None:
        """Ends the doubt, unless the last client could send nothing although Kafka answered: records have to end it."""
        if self._restarts.tries and self._unsent:
            self._trying = True
        else:
            self._trust()

    def _doubt(self, why: str) -> None:
        self.trouble = f"{why}; nothing is sent until Kafka answers again"
        self._producer.trouble = None
        self._probe_wanted.set()
        if why != self._logged:
            self._logged = why
            log.warning("kafka_unreachable", topic=self._topic, reason=why)

    def _probe_when_wanted(self) -> None:
        """Asks Kafka for the topic while in doubt: with nothing outstanding, no acknowledgement can end the doubt."""
        backoff = Backoff(PROBE_S / 4, PROBE_S)
        while self._probe_wanted.wait() and not self._closing.is_set():
            problem = self._asked()
            if problem is None and not self._producer.outstanding and time.monotonic() >= self._resume_at_s:
                self._probe_wanted.clear()
                backoff.reset()
                self._trust_or_try()
            else:
                if problem is not None:
                    self.trouble = problem
                self._closing.wait(backoff.next_s())
            if self.trouble is None:
                self._probe_wanted.clear()

    def _asked(self) -> str | None:
        try:
            found = topics.describe(self._endpoints, self._topic, timeout_s=PROBE_TIMEOUT_S)
        except RtpError as error:
            return str(error)
        if found is None:
            return f"the topic {self._topic} does not exist; create it with `rtp topics`"
        if self._topic_id is None:
            self._topic_id = found.topic_id
        elif self._topic_id != found.topic_id and self._other_topic is None:
            self._other_topic = (found.topic_id, time.monotonic())
        return None
