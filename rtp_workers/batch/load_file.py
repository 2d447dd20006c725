"""CSV -> Kafka: loads one file, resumably. Progress is stored only after Kafka has acknowledged its records."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rtp_workers import logs
from rtp_workers.batch.begin_load import BegunLoad, Wishes, begin_load
from rtp_workers.batch.chunks import Chunk
from rtp_workers.batch.file_names import shown_name
from rtp_workers.batch.load_errors import CancelledError, UnforeseenError, held_back, nothing_loaded
from rtp_workers.batch.planning import Overrides
from rtp_workers.batch.progress import REFUSED_BYTES, at, proof_of, tail_value, with_tail
from rtp_workers.batch.reading import Reading
from rtp_workers.batch.refused_list import RefusedList, RefusedPlace, refused_place
from rtp_workers.batch.same_topic import SameTopic
from rtp_workers.batch.source_file import SourceFile, open_source, store_access
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.failpoints import Failpoint
from rtp_workers.kafka.record_producer import Delivery, RecordProducer, record_headers
from rtp_workers.kafka.topics import describe
from rtp_workers.mapping.section_text import section_text
from rtp_workers.postgres.csv_loads import CsvLoad, Progress
from rtp_workers.settings import LoaderSettings

CLIENT_ID = "rtp-load"
LINGER_MS = 100  # nobody waits for a single row, and full batches take half the broker CPU of small ones
SAVE_EVERY_S = 1.0
SHOW_EVERY_S = 0.2
POLL_S = 0.1
SLOW_S = 2.0
STOPPED_FLUSH_S = 5.0
log = logs.get("rtp.load")


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """What a progress bar shows.

    Attributes:
        read_bytes: how far the file itself has been read; of a compressed file, compressed bytes.
        size_bytes: the size of the file itself; None for stdin.
        acknowledged: records that Kafka has acknowledged, including those of earlier runs.
        waiting_s: seconds for which Kafka has accepted nothing; 0.0 when all goes well.
    """

    file: str
    read_bytes: int
    size_bytes: int | None
    rows_read: int
    acknowledged: int
    refused: int
    waiting_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load did. All counts include earlier runs of the same load.

    Attributes:
        identity: identifies the file's content, as in csv_loads.
        rows_read: ``acknowledged + refused``.
        resumed_rows: how many of these an earlier run had settled.
        seconds: how long this run took.
        last_offsets: kafka_partition -> offset of the load's last acknowledged record.
        refused_file: where the refused rows are listed on this disk; None if no row was refused.
        refused_at: where a person finds that list, now and later; empty if no row was refused.
        mapping: the section for data/sources.toml that says how the file was read; empty if it has our own columns.
        load_id: the number that the file's rows carry; None for stdin.
        warnings: what a person should look at, one sentence each.
        rows_gone: how many rows of a file that was loaded before were purged since.
    """

    file: str
    identity: str
    rows_read: int
    acknowledged: int
    refused: int
    resumed_rows: int
    seconds: float
    topic_id: str
    last_offsets: dict[int, int]
    refused_file: Path | None
    mapping: str = ""
    load_id: int | None = None
    rows_gone: int = 0
    warnings: tuple[str, ...] = ()
    refused_at: str = ""


def _nothing(progress: LoadProgress) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a file. The defaults suit a script.

    Attributes:
        overrides: what the command line says about the file.
        wait_s: how long to wait for a file that is still being written.
        final: True: the file is complete, even if its last line lacks a newline and was written just now.
        again: True: send every row, even if it was loaded before. Rows that are stored count as duplicates.
        on_progress: called a few times a second.
        cancelled: asked a few times a second; True ends the load with CancelledError.
    """

    overrides: Overrides = field(default_factory=Overrides)
    wait_s: float = 30.0
    final: bool = False
    again: bool = False
    on_progress: Callable[[LoadProgress], None] = _nothing
    cancelled: Callable[[], bool] = _never


def load_file(
    path: str, endpoints: Endpoints, settings: LoaderSettings, options: LoadOptions | None = None
) -> LoadReport:
    """Loads one CSV into Kafka and returns when every record is acknowledged.

    A load that was killed resumes where its stored progress ends. A file that was loaded before is recognised by its
    content, whatever its name is now. If a file has grown, only its new rows are sent.

    Any error ends this file only. An unexpected exception is raised as UnforeseenError, so that a caller can continue
    with its other files.

    Args:
        path: a regular file or the address of an object, plain or compressed; or ``-`` for stdin, which cannot be
            resumed.
        endpoints: Kafka and, except for stdin, PostgreSQL as role rtp_ingest.
        settings: topic, home and limits.
        options: see `LoadOptions`.

    Raises:
        ConfigError: the file cannot be read as transactions, or the topic is missing.
        LoadRunningError: another process loads this file.
        CancelledError: `options.cancelled` returned True.
        HeldBackError: everything is loaded except the last line, which may not be complete.
        NothingLoadedError: every row is refused.
        TransientError: the file is still being written, or it changed; or Kafka refused a record for now.
        OtherTopicError: the topic was deleted, or re-created, during the load.
        AttentionError, FatalError: an error that a retry does not fix.
    """
    try:
        return _load_one(path, endpoints, settings, options or LoadOptions())
    except RtpError:
        raise
    except Exception as error:
        log.debug("load_failed_unforeseen", file=shown_name(path), exc_info=True)
        raise UnforeseenError(
            f"{shown_name(path)}: an unexpected error ended its load: {type(error).__name__}: {error}. "
            "What Kafka has acknowledged is kept. Please report this with the output of RTP_LOG_LEVEL=DEBUG"
        ) from error


def _load_one(path: str, endpoints: Endpoints, settings: LoaderSettings, options: LoadOptions) -> LoadReport:
    topic = describe(endpoints, settings.topic)
    if topic is None:
        raise ConfigError(f"topic {settings.topic} does not exist; run `rtp topics`")
    place = refused_place(path, settings)
    with ExitStack() as stack:
        source = stack.enter_context(_opened(path, settings, options))
        reading = stack.enter_context(closing(Reading(source, settings)))
        wishes = Wishes(options.overrides, options.again, options.cancelled)
        begun = begin_load(stack, source, endpoints, settings, topic.topic_id, wishes)
        if begun.start.finished is not None:
            return _loaded_before(source.name, begun, begun.start.finished, place)
        producer = stack.enter_context(_producer(endpoints, settings))
        listed = begun.start.progress.resume_state.get(REFUSED_BYTES, 0)
        refused = RefusedList(place, source.name, begun.start.identity, listed, settings)
        load = _Load(source, begun, producer, SameTopic(endpoints, topic), refused, settings, options)
        chunks = stack.enter_context(closing(reading.chunks(begun.planned, begun.start)))
        return load.run(chunks)


def _opened(path: str, settings: LoaderSettings, options: LoadOptions) -> AbstractContextManager[SourceFile]:
    access = store_access(path, settings)
    ratio = settings.loader_max_ratio
    return open_source(path, wait_s=options.wait_s, cancelled=options.cancelled, max_ratio=ratio, access=access)


class _Load:
    """One run of `load_file`, from the point where it resumes."""

    def __init__(
        self,
        source: SourceFile,
        begun: BegunLoad,
        producer: RecordProducer,
        topic: SameTopic,
        refused: RefusedList,
        settings: LoaderSettings,
        options: LoadOptions,
    ) -> None:
        start = begun.start
        self._topic, self._begun, self._store, self._start = topic, begun, begun.store, start
        self._source, self._producer, self._options = source, producer, options
        self._headers = record_headers(f"csv:{source.name}", load_id=begun.load.load_id if begun.load else None)
        self._refused, self._place = refused, refused.place
        self._tail, self._proof = tail_value(start.stored), proof_of(source, start)
        self._may_grow = not options.final and source.may_grow(settings.loader_tail_rest_s)
        self._rest_s, self._held_back, self._first_refusal = settings.loader_tail_rest_s, False, ""
        self._warnings: list[str] = []
        self._sent: deque[tuple[Delivery, Progress]] = deque()
        self._read = self._settled = start.progress
        self._started = self._shown_at = time.monotonic()
        self._saved_at = 0.0
        self._failpoint = Failpoint.parse(settings.failpoint)

    def run(self, chunks: Iterator[Chunk]) -> LoadReport:
        log.info("load_started", file=self._source.name, rows_settled=self._settled.rows_read)
        try:
            for chunk in chunks:
                self._source.refuse_changed()
                if chunk.is_tail and self._may_grow:
                    self._held_back = True
                    break
                self._check_tail(chunk)
                self._send(chunk)
                self._step()
                self._failpoint.reach("load_chunk_sent")
            self._source.refuse_changed()
            self._drain()
            self._topic.require()
            self._refused.publish()
            self._refuse_unfinished()
        except RtpError as error:
            if isinstance(error, CancelledError | ConfigError):  # Kafka is well: what was sent is acknowledged soon
                with suppress(RtpError):
                    self._producer.flush(STOPPED_FLUSH_S)
            self._keep()
            if self._store is not None:
                self._store.fail(str(error))
            raise
        finally:
            self._keep()  # also after an interruption: records acknowledged by now need not be sent again
            self._refused.close()
        self._failpoint.reach("load_acknowledged")
        if self._store is not None:
            self._store.finish()
        self._show(0.0)
        report = _report(self._source.name, self._begun, self._settled, self._place, time.monotonic() - self._started)
        log.info("load_finished", file=report.file, rows_read=report.rows_read, refused=report.refused)
        warnings = [*self._warnings, *filter(None, [self._refused.warning])]
        refused_at = self._refused.shown if report.refused else ""
        return dataclasses.replace(report, warnings=tuple(warnings), refused_at=refused_at)

    def _send(self, chunk: Chunk) -> None:
        if chunk.encoded.refused:
            self._refused.add(chunk.encoded.refused)
            first = chunk.encoded.refused[0]
            self._first_refusal = self._first_refusal or f"line {first.line}, {first.reason}: {first.detail}"
        delivery = self._producer.send_many(
            chunk.encoded.values, chunk.encoded.keys, self._headers, while_waiting=self._wait
        )
        before = self._read
        self._read = at(chunk.progress, chunk.digest, self._refused.size_bytes, self._proof)
        if chunk.is_tail:
            self._read = with_tail(self._read, before, chunk.encoded.values)
        self._sent.append((delivery, self._read))

    def _check_tail(self, chunk: Chunk) -> None:
        """Compares the new beginning of a file that has grown with the last line that an earlier run had loaded."""
        if self._tail is None:
            return
        stored, self._tail = self._tail, None
        if stored.encode() not in chunk.encoded.values:
            row = msgspec.json.decode(stored)
            number, line = row["transaction_id"], self._start.progress.line_number + 1
            self._warnings.append(
                f"line {line} was loaded before it was complete: {row['occurred_at']}, amount {row['amount']}. "
                f"Remove that row, and load the file again: rtp purge --id {number} --yes && rtp load --again "
                f"{self._source.name}"
            )

    def _refuse_unfinished(self) -> None:
        """Raises an error if nothing, or not yet everything, could be loaded. What Kafka has acknowledged is kept."""
        done = self._settled
        if self._held_back:
            raise held_back(self._source.name, done.acknowledged, self._rest_s)
        if done.refused and not done.acknowledged:
            raise nothing_loaded(self._source.name, done.refused, self._first_refusal, self._refused.shown)

    def _drain(self) -> None:
        started = time.monotonic()
        while self._sent:
            self._producer.poll(POLL_S)
            self._step()
            waited = time.monotonic() - started
            self._show(waited if waited > SLOW_S else 0.0)
            self._topic.ask_while_waiting(waited)

    def _step(self) -> None:
        self._cancel_where_asked()
        self._settle()
        now = time.monotonic()
        if now - self._saved_at >= SAVE_EVERY_S and self._settled.byte_offset > self._start.progress.byte_offset:
            self._save()
            self._saved_at = now
            self._failpoint.reach("load_saved")
        if now - self._shown_at >= SHOW_EVERY_S:
            self._show(0.0)

    def _settle(self) -> None:
        while self._sent and not self._sent[0][0].left:
            _, self._settled = self._sent.popleft()

    def _keep(self) -> None:
        self._settle()
        self._save(now=True)

    def _save(self, *, now: bool = False) -> None:
        offsets = {**self._start.progress.last_offsets, **self._producer.last_offsets}
        self._settled = dataclasses.replace(self._settled, last_offsets=offsets)
        if self._refused.sync(now=now) and self._store is not None:
            self._store.save(self._settled)

    def _wait(self, waited_s: float) -> None:
        self._cancel_where_asked()
        self._show(waited_s if waited_s > SLOW_S else 0.0)
        self._topic.ask_while_waiting(waited_s)

    def _show(self, waiting_s: float) -> None:
        self._shown_at = time.monotonic()
        known = self._read
        self._options.on_progress(
            LoadProgress(
                self._source.name,
                self._source.position_bytes(),
                self._source.size_bytes,
                known.rows_read,
                self._start.progress.acknowledged + self._producer.acknowledged,
                known.refused,
                waiting_s,
            )
        )

    def _cancel_where_asked(self) -> None:
        if self._options.cancelled():
            raise CancelledError(f"{self._source.name}: the load was cancelled; run it again to resume")


@contextmanager
def _producer(endpoints: Endpoints, settings: LoaderSettings) -> Iterator[RecordProducer]:
    queue_bytes = settings.loader_queue_bytes
    producer = RecordProducer(endpoints, settings.topic, CLIENT_ID, queue_bytes=queue_bytes, linger_ms=LINGER_MS)
    try:
        yield producer
    finally:
        producer.close()


def _loaded_before(file: str, begun: BegunLoad, load: CsvLoad, place: RefusedPlace) -> LoadReport:
    """Returns the report of a file that an earlier run had loaded completely, and how many of its rows are gone."""
    report = _report(file, begun, load.progress, place, 0.0)
    gone = begun.store.outcomes(load.load_id).purged if begun.store is not None else 0
    return dataclasses.replace(report, rows_gone=gone)


def _report(file: str, begun: BegunLoad, settled: Progress, place: RefusedPlace, seconds: float) -> LoadReport:
    start, plan = begun.start, begun.planned.plan
    return LoadReport(
        file=file,
        identity=start.identity,
        rows_read=settled.rows_read,
        acknowledged=settled.acknowledged,
        refused=settled.refused,
        resumed_rows=settled.rows_read if start.finished is not None else start.progress.rows_read,
        seconds=seconds,
        topic_id=settled.topic_id or "",
        last_offsets=settled.last_offsets,
        refused_file=place.path_of(file, start.identity) if settled.refused else None,
        refused_at=place.shown(file, start.identity) if settled.refused else "",
        mapping="" if plan.canonical else section_text(plan, file, plan.section),
        load_id=begun.load.load_id if begun.load is not None else None,
    )
