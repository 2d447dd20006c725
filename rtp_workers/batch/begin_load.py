"""What precedes a file's first record: its plan, its source's memory, where to resume, and the load's number."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from rtp_workers.batch import memory
from rtp_workers.batch.chunks import first_lines
from rtp_workers.batch.memory import Settled
from rtp_workers.batch.planning import Overrides, PlannedFile, plan_file, read_mapping, refuse_unloadable
from rtp_workers.batch.progress import ProgressStore, Start, find_start
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.counted import counted
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import TransientError
from rtp_workers.postgres import csv_sources, load_outcomes
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.csv_loads import Beginning, CsvLoad, Progress
from rtp_workers.settings import LoaderSettings

CONSUMER_WAIT_S = 30.0
POLL_S = 0.25
AGAIN = "its file was loaded again on request"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller wants from one load.

    Attributes:
        again: send every row of the file, even if it was loaded before.
    """

    overrides: Overrides
    again: bool
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class BegunLoad:
    """A file that is ready to be sent, or that was sent before.

    Attributes:
        store: holds the file's lock; None for stdin.
        load: the load's row. Every record carries its number. None for stdin.
    """

    planned: PlannedFile
    start: Start
    store: ProgressStore | None = None
    load: CsvLoad | None = None


def begin_load(
    stack: ExitStack,
    source: SourceFile,
    endpoints: Endpoints,
    settings: LoaderSettings,
    topic_id: str,
    wishes: Wishes,
) -> BegunLoad:
    """Plans a file and finds where its load starts. All questions to the user are asked here.

    Args:
        stack: holds the file's lock until the load has ended.
        source: the open file. It is read up to the end of its sample.
        endpoints: where PostgreSQL is; not needed for stdin.
        settings: where the mapping file is.
        topic_id: the topic to load into; progress in another topic does not count.
        wishes: what the caller wants.

    Raises:
        ConfigError: something about the file is not understood; the message names the lines that decide it.
        LoadRunningError: another process loads this file.
        TransientError: an earlier file of the source is not in PostgreSQL yet, so the two cannot be compared.
    """
    is_file = source.state is not None
    dsn = endpoints.need("postgres_ingest_dsn") if is_file else endpoints.postgres_ingest_dsn
    with memory.opened(dsn) as connection:
        memories = csv_sources.all_sources(connection) if connection is not None else []
        planned = plan_file(source, settings, wishes.overrides, memories)
        refuse_unloadable(source.name, planned)
        settled = Settled(planned, None)
        if connection is not None:
            names = [section.name for section in read_mapping(settings).sections]
            settled = memory.settle(connection, source, planned, names)
            planned = settled.planned
        head = head_of(planned)
        if not is_file or dsn is None:
            if connection is not None:
                _compare(connection, source, settled, topic_id)
            return BegunLoad(planned, Start(head, Progress(topic_id=topic_id)))
        store = ProgressStore(dsn, head, wishes.cancelled)
        stack.enter_context(store.held())
        if wishes.again:
            store.retire(store.candidates(), AGAIN)
        start = find_start(source, planned.plan, head, store.candidates(), topic_id)
        if start.finished is not None:
            return BegunLoad(planned, start, store, start.finished)
        if connection is not None and not start.progress.byte_offset:
            _compare(connection, source, settled, topic_id)
    number = store.learn(settled.learned) if settled.learned is not None else None
    derives = planned.plan.derives_ids
    load = store.begin(Beginning(start.identity, source.name, source.size_bytes, topic_id, number, derives))
    store.save(start.progress)
    return BegunLoad(planned, start, store, load)


def _compare(connection: Connection, source: SourceFile, settled: Settled, topic_id: str) -> None:
    """Compares the file with the stored rows of its source, once the consumer has written all of them."""
    planned = settled.planned
    if planned.memory is not None and planned.plan.derives_ids and planned.overlap is None:
        _await_consumer(connection, source, planned.memory.load_ids, planned.memory.name, topic_id)
    memory.refuse_overlap(connection, source, settled)


def _await_consumer(
    connection: Connection, source: SourceFile, load_ids: tuple[int, ...], name: str, topic_id: str
) -> None:
    deadline = time.monotonic() + CONSUMER_WAIT_S
    while waiting := load_outcomes.waiting(connection, load_ids, topic_id):
        if time.monotonic() > deadline:
            raise TransientError(
                f"{source.name} is not loaded yet: {counted(waiting, 'record')} of earlier files of {name} "
                f"{'is' if waiting == 1 else 'are'} not in PostgreSQL after 30 s, so rows in both files "
                "cannot be told from equal rows of another account. Is the consumer running (`rtp status`)? "
                "Then run the load again"
            )
        time.sleep(POLL_S)


def head_of(planned: PlannedFile) -> str:
    """Returns a name for the file, made from its content and from the way it is read.

    Only the beginning of the content counts, so the name stays the same when the file grows. A corrected encoding,
    quote character or mapping gives another name: the file is then read again from its beginning, with the same ids.
    """
    plan, dialect = planned.plan, planned.plan.dialect
    reading: tuple[object, ...] = (
        *(dialect.encoding.removesuffix("-sig"), dialect.delimiter, dialect.quotechar, dialect.header_line),
        *(["escapes"] if dialect.escapes else []),
    )
    uses = sorted((role, use.columns) for role, use in plan.uses.items())
    meaning: tuple[object, ...] = ()
    if not plan.canonical:
        meaning = (plan.source, plan.id_columns, uses, plan.rules, plan.attributes)
    if plan.id_encoding is not None:
        meaning += (plan.id_encoding,)
    if plan.id_day is not None:
        meaning += ("day", plan.id_day)
    if plan.rules.clock_digits != "HHMMSS":
        meaning += ("clock", plan.rules.clock_digits)
    digest = hashlib.blake2b(repr((reading, meaning)).encode("utf-8", "surrogatepass"), digest_size=12)
    digest.update(first_lines(planned.sample, dialect))
    return digest.hexdigest()
