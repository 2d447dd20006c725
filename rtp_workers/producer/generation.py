"""The loop that turns time into records: as many as are due, never more than Kafka takes, and it drops none."""

from __future__ import annotations

import threading
import time

from rtp_workers import logs
from rtp_workers.errors import ConfigError, RtpError, TransientError
from rtp_workers.generator.chaos import Counts
from rtp_workers.generator.stream import Generator
from rtp_workers.kafka.record_producer import record_headers
from rtp_workers.producer.controls import Controls
from rtp_workers.producer.kafka_link import KafkaLink
from rtp_workers.producer.pacing import TokenBucket
from rtp_workers.watchdog import Beat

# At the machine's limit a batch takes about 30 ms: long enough to be cheap, short enough to react at once.
MAX_BATCH = 4_000
# The longest time that a new wish or a stop goes unnoticed, and the shortest sleep between two batches.
NOTICE_S = 0.05
TICK_S = 0.005

log = logs.get(__name__)


class _StoppingError(TransientError):
    """The service stops while the queue is full."""


class GenerationLoop:
    """Runs in its own thread until it is stopped, or `limit` records are sent.

    Attributes:
        generated: what was handed to Kafka's client, by kind.
        error: why the loop ended before it was stopped; otherwise None.
    """

    def __init__(self, generator: Generator, link: KafkaLink, controls: Controls, limit: int | None = None) -> None:
        self.generated = Counts()
        self.error: RtpError | None = None
        self.stopping = threading.Event()
        self._ended = threading.Event()
        self._generator = generator
        self._link = link
        self._controls = controls
        self._limit = limit
        self._rate_per_s = controls.rate_per_s
        self._bucket = TokenBucket(controls.rate_per_s or 1.0, time.monotonic())
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self.beat = Beat("generation")  # replaced by one that is watched

    @property
    def finished(self) -> bool:
        """True once `limit` records have been handed over."""
        return self._limit is not None and self.generated.records >= self._limit

    @property
    def alive(self) -> bool:
        """True until the thread has ended, and also before its start, since the API may be asked earlier."""
        return not self._ended.is_set()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits for the thread's end; returns whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._generate()
        finally:
            self.beat.end()
            self._ended.set()

    def _generate(self) -> None:
        while not self.stopping.is_set() and not self.finished:
            self.beat.turn()
            try:
                self._step()
            except _StoppingError:
                return
            except ConfigError as error:
                log.error("generation_ended", reason=str(error))
                self.error = error
                return
            except RtpError as error:
                with self.beat.waiting():
                    self._link.start_anew(error)

    def _step(self) -> None:
        due = self._due() if self._link.trouble is None and not self._link.catching_up else 0
        if due == 0:
            # It sleeps by reading delivery reports, so acknowledgements of the API's records are passed on at once.
            self._link.poll(min(NOTICE_S, max(TICK_S, self._wait_s())))
            return
        self._generator.chaos = self._controls.chaos
        batch = self._generator.take(due, time.time_ns() // 1_000)
        self.generated += batch.counts
        self._link.send_many(batch.values, batch.keys, record_headers("live"), self._stop_waiting)
        if due < MAX_BATCH:
            self._link.poll(TICK_S)

    def _due(self) -> int:
        now_s = time.monotonic()
        most = MAX_BATCH if self._limit is None else min(MAX_BATCH, self._limit - self.generated.records)
        rate_per_s = self._controls.rate_per_s
        if not self._controls.running:
            self._bucket.restart(now_s)
            return self._controls.take_burst(most)
        if rate_per_s is None:
            return most
        if rate_per_s != self._rate_per_s:
            self._bucket.set_rate(rate_per_s, now_s)
            self._rate_per_s = rate_per_s
        due = self._bucket.take(now_s, most)
        return due + self._controls.take_burst(most - due)

    def _wait_s(self) -> float:
        if self._link.trouble is not None or not self._controls.running or self._rate_per_s is None:
            return NOTICE_S
        return self._bucket.wait_s()

    def _stop_waiting(self) -> None:
        self.beat.turn()
        if self.stopping.is_set():
            raise _StoppingError("the service is stopping")
