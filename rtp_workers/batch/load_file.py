"""CSV -> Kafka: one file, resumable, every record acknowledged before its progress is stored."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rtp_workers import logs
from rtp_workers.batch.chunks import Chunk, first_lines
from rtp_workers.batch.file_names import shown_name
from rtp_workers.batch.planning import Overrides, PlannedFile, plan_file, refuse_unloadable
from rtp_workers.batch.progress import REFUSED_BYTES, ProgressStore, Start, at, find_start, with_tail
from rtp_workers.batch.reading import Reading
from rtp_workers.batch.refused_file import RefusedFile
from rtp_workers.batch.same_topic import SameTopic
from rtp_workers.batch.source_file import STDIN, SourceFile, open_source
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, FatalError, RtpError, TransientError
from rtp_workers.failpoints import Failpoint
from rtp_workers.kafka.record_producer import Delivery, RecordProducer, record_headers
from rtp_workers.kafka.topics import describe
from rtp_workers.mapping.section_text import section_text
from rtp_workers.postgres.csv_loads import Progress
from rtp_workers.settings import LoaderSettings

CLIENT_ID = "rtp-load"
LINGER_MS = 100  # nobody waits for a single row: full batches cost the broker half the CPU of small ones
SAVE_EVERY_S = 1.0
SHOW_EVERY_S = 0.2
POLL_S = 0.1
SLOW_S = 2.0
CANCEL_FLUSH_S = 5.0
log = logs.get("rtp.load")


class CancelledError(TransientError):
    """The caller cancelled the load; what was acknowledged is stored, and the next load goes on from there."""


class UnforeseenError(FatalError):
    """A fault of the program ended one file's load; other files are not affected."""


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """What a progress bar shows.

    Attributes:
        read_bytes: how far the file itself (compressed, where it is) is read.
        size_bytes: its size; None for stdin.
        acknowledged: records that Kafka has, those of earlier runs included.
        waiting_s: seconds for which Kafka has taken nothing; 0.0 when all goes well.
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
    """What a load did. Counts are the file's, those of earlier runs of the same load included.

    Attributes:
        identity: of the file's content, as in csv_loads.
        rows_read: ``acknowledged + refused``.
        resumed_rows: of these, how many an earlier run had settled.
        seconds: of this run.
        last_offsets: kafka_partition -> offset of the load's last acknowledged record.
        refused_file: where the refused rows are listed; None where there are none.
        mapping: the section of data/sources.toml that says how the file was read; empty where its names are ours.
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


def _nothing(progress: LoadProgress) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load; the defaults suit a script.

    Attributes:
        overrides: what the command line says about the file.
        wait_s: how long to wait for a file that is still being written.
        on_progress: called a few times a second.
        cancelled: asked a few times a second; True ends the load with CancelledError.
    """

    overrides: Overrides = field(default_factory=Overrides)
    wait_s: float = 30.0
    on_progress: Callable[[LoadProgress], None] = _nothing
    cancelled: Callable[[], bool] = _never


def load_file(
    path: str, endpoints: Endpoints, settings: LoaderSettings, options: LoadOptions | None = None
) -> LoadReport:
    """Loads one CSV into Kafka and returns when every record is acknowledged.

    A load that was killed goes on where its stored progress ends; a file loaded before, under whatever name, is
    recognised by its content, and of one that has grown only what is new is read.

    Args:
        path: a regular file, plain or compressed, or ``-`` for stdin (which cannot be resumed).
        endpoints: Kafka and, for files, role rtp_ingest's PostgreSQL.
        settings: topic, home and bounds.
        options: see `LoadOptions`.

    Any error ends this file only: what nobody foresaw is raised as UnforeseenError, so that a caller goes on with its
    other files.

    Raises:
        ConfigError: the file cannot be read as transactions, or the topic is missing.
        LoadRunningError: another process loads this file.
        CancelledError: `options.cancelled` said so.
        TransientError: the file is still being written or changed; Kafka refused a record for a passing reason.
        OtherTopicError: the topic was deleted, or made again, meanwhile.
        AttentionError, FatalError: something that a retry does not mend.
    """
    try:
        return _load_one(path, endpoints, settings, options or LoadOptions())
    except RtpError:
        raise
    except Exception as error:
        log.debug("load_failed_unforeseen", file=shown_name(path), exc_info=True)
        raise UnforeseenError(
            f"{shown_name(path)}: an error that nobody foresaw ended its load: {type(error).__name__}: {error}. "
            "What Kafka has acknowledged is kept. Please report this with the output of RTP_LOG_LEVEL=DEBUG"
        ) from error


def _load_one(path: str, endpoints: Endpoints, settings: LoaderSettings, options: LoadOptions) -> LoadReport:
    topic = describe(endpoints, settings.topic)
    if topic is None:
        raise ConfigError(f"topic {settings.topic} does not exist; run `rtp topics`")
    with ExitStack() as stack:
        source = stack.enter_context(open_source(path, wait_s=options.wait_s, cancelled=options.cancelled))
        reading = stack.enter_context(closing(Reading(source, settings)))
        planned = plan_file(source, settings, options.overrides)
        plan, head = planned.plan, _head(planned)
        mapping = "" if plan.canonical else section_text(plan, source.name, plan.section)
        refuse_unloadable(source.name, planned)
        store, start = None, Start(head, Progress(topic_id=topic.topic_id))
        if path != STDIN:
            store = ProgressStore(endpoints.need("postgres_ingest_dsn"), head, options.cancelled)
            stack.enter_context(store.held())
            start = find_start(source, plan.dialect.encoding, head, store.candidates(), topic.topic_id)
            if start.finished is not None:
                report = _report(source.name, start, start.finished, settings.home, 0.0)
                return dataclasses.replace(report, mapping=mapping)
            store.begin(start.identity, source.name, source.size_bytes, topic.topic_id)
            store.save(start.progress)
        producer = stack.enter_context(_producer(endpoints, settings))
        load = _Load(source, store, start, producer, SameTopic(endpoints, topic), settings, options)
        chunks = stack.enter_context(closing(reading.chunks(planned, start.progress)))
        return dataclasses.replace(load.run(chunks), mapping=mapping)


class _Load:
    """One run of `load_file`, once it is known where it begins."""

    def __init__(
        self,
        source: SourceFile,
        store: ProgressStore | None,
        start: Start,
        producer: RecordProducer,
        topic: SameTopic,
        settings: LoaderSettings,
        options: LoadOptions,
    ) -> None:
        self._topic = topic
        self._source, self._store, self._start, self._producer, self._options = source, store, start, producer, options
        self._home = settings.home
        self._headers = record_headers(f"csv:{source.name}")
        self._refused = RefusedFile(
            settings.home, source.name, start.identity, start.progress.resume_state.get(REFUSED_BYTES, 0)
        )
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
                self._send(chunk)
                self._step()
                self._failpoint.reach("load_chunk_sent")
            self._source.refuse_changed()
            self._drain()
            self._topic.require()
        except RtpError as error:
            if isinstance(error, CancelledError):
                with suppress(RtpError):
                    self._producer.flush(CANCEL_FLUSH_S)
            self._keep()
            if self._store is not None:
                self._store.fail(str(error))
            raise
        finally:
            self._keep()  # also when interrupted: what is acknowledged by now need not be sent again
            self._refused.close()
        self._failpoint.reach("load_acknowledged")
        if self._store is not None:
            self._store.finish()
        self._show(0.0)
        report = _report(self._source.name, self._start, self._settled, self._home, time.monotonic() - self._started)
        log.info("load_finished", file=report.file, rows_read=report.rows_read, refused=report.refused)
        return report

    def _send(self, chunk: Chunk) -> None:
        if chunk.encoded.refused:
            self._refused.add(chunk.encoded.refused)
        delivery = self._producer.send_many(
            chunk.encoded.values, chunk.encoded.keys, self._headers, while_waiting=self._wait
        )
        before = self._read
        self._read = at(chunk.progress, chunk.digest, self._refused.size_bytes)
        if chunk.is_tail:
            self._read = with_tail(self._read, before)
        self._sent.append((delivery, self._read))

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
        self._save()

    def _save(self) -> None:
        offsets = {**self._start.progress.last_offsets, **self._producer.last_offsets}
        self._settled = dataclasses.replace(self._settled, last_offsets=offsets)
        self._refused.sync()
        if self._store is not None:
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
            raise CancelledError(f"{self._source.name}: the load was cancelled; run it again to go on")


@contextmanager
def _producer(endpoints: Endpoints, settings: LoaderSettings) -> Iterator[RecordProducer]:
    queue_bytes = settings.loader_queue_bytes
    producer = RecordProducer(endpoints, settings.topic, CLIENT_ID, queue_bytes=queue_bytes, linger_ms=LINGER_MS)
    try:
        yield producer
    finally:
        producer.close()


def _head(planned: PlannedFile) -> str:
    """Returns what names the file by its content: of its beginning, so that it stays when the file grows."""
    plan = planned.plan
    meaning = repr((plan.source, plan.uses, plan.rules, plan.attributes) if not plan.canonical else "canonical")
    digest = hashlib.blake2b(meaning.encode(), digest_size=12)
    digest.update(first_lines(planned.sample, plan.dialect))
    return digest.hexdigest()


def _report(file: str, start: Start, settled: Progress, home: Path, seconds: float) -> LoadReport:
    refused = RefusedFile.path_of(home, file, start.identity)
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
        refused_file=refused if settled.refused else None,
    )
