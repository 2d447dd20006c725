"""How far a file is loaded. PostgreSQL stores it, and a load resumes there only if the file's content still agrees."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from rtp_workers.backoff import Backoff
from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.errors import TransientError
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.postgres import csv_loads, csv_sources, load_outcomes
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.csv_loads import Beginning, CsvLoad, LoadRunningError, Progress
from rtp_workers.postgres.csv_sources import CsvSource
from rtp_workers.postgres.load_outcomes import Outcomes

APPLICATION_NAME = "rtp load"
DIGEST, TAIL, TAIL_VALUE, REFUSED_BYTES = "digest", "tail", "tail_value", "refused_bytes"
VERSION, PARTS = "version", "parts"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a load begins.

    Attributes:
        identity: name of the load's row in csv_loads.
        progress: what earlier runs have settled.
        finished: the load that has already read all of this content; None if there is none.
        stored: the progress as it was stored, including an unfinished last line; None for a new load.
        by_range: True if the content before `progress` need not be read again, because an earlier run has read the
            same version.
    """

    identity: str
    progress: Progress
    finished: CsvLoad | None = None
    stored: Progress | None = None
    by_range: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What later shows that progress belongs to the same content.

    Attributes:
        version: the version of an object; None if only the content itself can show that it is the same.
        parts: end and digest of each part of the content that earlier runs have read and this run skips.
    """

    version: str | None = None
    parts: tuple[tuple[int, str], ...] = ()


def proof_of(source: SourceFile, start: Start) -> Proof:
    """Returns the proof for the progress of a run with this start."""
    return Proof(source.proof, tuple(_parts(start.progress)) if start.by_range else ())


def at(progress: Progress, digest: str, refused_bytes: int, proof: Proof) -> Progress:
    """Returns progress with its proof: the digest of the content before it, and the size of the refused file."""
    state: dict[str, Any] = {DIGEST: digest, REFUSED_BYTES: refused_bytes}
    if proof.version is not None:
        state[VERSION] = proof.version
    if proof.parts:
        state[PARTS] = [list(part) for part in proof.parts]
    return dataclasses.replace(progress, resume_state=state)


def _parts(progress: Progress) -> list[tuple[int, str]]:
    """Returns end and digest of each part of the content before some progress."""
    earlier = [(int(end), str(digest)) for end, digest in progress.resume_state.get(PARTS, ())]
    return [*earlier, (progress.byte_offset, progress.resume_state[DIGEST])]


def with_tail(whole: Progress, before_tail: Progress, values: Sequence[bytes]) -> Progress:
    """Returns the progress of a file whose last line has no newline. If the file grows, that line is read again.

    Args:
        whole: the progress with that line.
        before_tail: the progress without it.
        values: the record that the line became, if any. When the line is read again, its record must be the same.
    """
    tail = {
        "byte_offset": before_tail.byte_offset,
        "line_number": before_tail.line_number,
        "rows_read": before_tail.rows_read,
        "acknowledged": before_tail.acknowledged,
        "refused": before_tail.refused,
        "resume_state": before_tail.resume_state,
    }
    stored = values[0].decode() if values else None
    return dataclasses.replace(whole, resume_state={**whole.resume_state, TAIL: tail, TAIL_VALUE: stored})


def tail_value(stored: Progress | None) -> str | None:
    """Returns the record that an earlier run had made from an unfinished last line, or None."""
    return stored.resume_state.get(TAIL_VALUE) if stored is not None else None


def before_tail(progress: Progress) -> Progress:
    """Returns where to resume if the file has grown."""
    tail = progress.resume_state.get(TAIL)
    return progress if tail is None else dataclasses.replace(progress, **tail)


class ProgressStore:
    """The progress of one file, while this process holds the file's lock.

    After a restart of PostgreSQL, `save` connects and locks again. If a second loader got the lock meanwhile, `save`
    raises LoadRunningError.
    """

    def __init__(self, dsn: str, head: str, cancelled: Callable[[], bool]) -> None:
        self._dsn = dsn
        self._head = head
        self._cancelled = cancelled
        self._connection: Connection | None = None
        self._lock = ExitStack()
        self.identity = ""

    @contextmanager
    def held(self) -> Iterator[ProgressStore]:
        """Holds the lock of the file.

        Raises:
            LoadRunningError: another process loads this file.
            TransientError: PostgreSQL is away.
            ConfigError: the DSN is wrong.
        """
        self._connect()
        try:
            yield self
        finally:
            self._disconnect()

    def candidates(self) -> list[CsvLoad]:
        """Returns the loads of files that begin like this one, the one with most progress first."""
        found = self._try(lambda connection: csv_loads.find_by_head(connection, self._head))
        return sorted(found, key=lambda load: load.progress.byte_offset, reverse=True)

    def retire(self, loads: Sequence[CsvLoad], because: str) -> None:
        """Retires loads, so that they are not resumed. The file is then read from its beginning, under a new number."""
        self._try(lambda connection: csv_loads.retire_now(connection, [load.load_id for load in loads], because))

    def learn(self, source: CsvSource) -> int:
        """Stores the memory of the file's source and returns its number."""
        return self._try(lambda connection: csv_sources.learn(connection, source))

    def begin(self, beginning: Beginning) -> CsvLoad:
        """Stores that the load is running, and returns it."""
        self.identity = beginning.identity
        return self._try(lambda connection: csv_loads.begin(connection, beginning))

    def outcomes(self, load_id: int) -> Outcomes:
        """Returns how the records of a load have ended so far."""
        return self._try(lambda connection: load_outcomes.read(connection, load_id))

    def save(self, progress: Progress) -> None:
        """Stores progress durably. While PostgreSQL is away it waits, unless the load is cancelled."""
        self._try(lambda connection: csv_loads.save(connection, self.identity, progress))

    def finish(self) -> None:
        """Stores that the file is loaded to its end."""
        self._try(lambda connection: csv_loads.finish(connection, self.identity))

    def fail(self, detail: str) -> None:
        """Stores why the load stopped, if PostgreSQL answers. The saved progress stays."""
        with suppress(TransientError):
            if self._connection is not None:
                csv_loads.fail(self._connection, self.identity, detail)

    def _try(self, action: Callable[[Connection], T]) -> T:
        backoff = Backoff()
        while True:
            try:
                return action(self._connection or self._connect())
            except LoadRunningError:
                raise
            except TransientError as error:
                self._disconnect()
                if self._cancelled():
                    raise
                time.sleep(backoff.next_s(error.retry_after_s))

    def _connect(self) -> Connection:
        connection = connect(self._dsn, APPLICATION_NAME, autocommit=True)
        self._connection = connection
        try:
            self._lock.enter_context(csv_loads.locked(connection, self._head))
        except TransientError:
            self._disconnect()
            raise
        return connection

    def _disconnect(self) -> None:
        # Closing the connection frees the lock, even if the server is gone already.
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()


def find_start(source: SourceFile, plan: FilePlan, head: str, candidates: Sequence[CsvLoad], topic_id: str) -> Start:
    """Returns where the load of a file begins: at the furthest stored progress whose content this file begins with.

    Progress in another topic does not count: after the topic was re-created, the records may be gone. If rows are sent
    again, they have the same ids and count as duplicates.
    """
    usable = [load for load in candidates if load.progress.topic_id in (None, topic_id)]
    for load in usable:
        if source.proof is not None and load.progress.resume_state.get(VERSION) == source.proof:
            return _start_in_same_version(load, plan, source, topic_id)
    digests, end = _digests(source, plan.dialect.encoding, {load.progress.byte_offset for load in usable})
    for load in usable:
        stored = dataclasses.replace(load.progress, topic_id=topic_id)
        if PARTS in stored.resume_state:
            agrees, end = _agrees_by_parts(source, plan.dialect.encoding, stored)
        else:
            agrees = digests[stored.byte_offset] == stored.resume_state.get(DIGEST, digests[0])
        if agrees:
            done = load.state == "loaded" and stored.byte_offset == end
            if load.state == "loaded" and not done and load.file_name != source.name:
                continue  # another file with the same beginning: a separate import, which can be undone separately
            finished = dataclasses.replace(load, progress=stored) if done else None
            return Start(load.identity, before_tail(stored), finished, stored)
    taken = {load.identity for load in candidates}
    number = next(number for number in range(1, len(taken) + 2) if f"{head}-{number}" not in taken)
    return Start(f"{head}-{number}", Progress(topic_id=topic_id))


def begins_like(source: SourceFile, encoding: str, stored: Progress) -> bool:
    """Tells whether a file begins with the content of some progress. The file is not moved."""
    if not stored.byte_offset or DIGEST not in stored.resume_state:
        return False
    if PARTS in stored.resume_state:
        return _agrees_by_parts(source, encoding, stored)[0]
    digests, _ = _digests(source, encoding, {stored.byte_offset})
    return digests[stored.byte_offset] == str(stored.resume_state[DIGEST])


def _start_in_same_version(load: CsvLoad, plan: FilePlan, source: SourceFile, topic_id: str) -> Start:
    """Returns where to resume a load of the same version of an object. Nothing needs to be read to prove that."""
    stored = dataclasses.replace(load.progress, topic_id=topic_id)
    progress = before_tail(stored)
    finished = dataclasses.replace(load, progress=stored) if load.state == "loaded" else None
    # Not possible if the file is packed (no offsets to ask for) or UTF-16 (offsets count other bytes), or if ids are
    # derived (they count the rows before).
    in_bytes = not source.is_packed and not plan.dialect.encoding.startswith("utf-16")
    by_range = in_bytes and not plan.derives_ids and progress.byte_offset > 0
    return Start(load.identity, progress, finished, stored, by_range)


def _agrees_by_parts(source: SourceFile, encoding: str, stored: Progress) -> tuple[bool, int]:
    """Tells whether a file begins with the content of some progress, and where it ends, if that is not much later."""
    reader = BlockReader(source.second_look(), encoding)
    for end, digest in _parts(stored):
        reader.begin_digest()
        reader.skip(end)
        if reader.offset != end or reader.digest() != digest:
            return False, -1
    reader.skip(reader.offset + 1)
    return True, reader.offset


def _digests(source: SourceFile, encoding: str, offsets: set[int]) -> tuple[dict[int, str], int]:
    """Returns the digest of the content before each offset (``""`` if the content is shorter), and where it ends.

    It looks for the end only up to one byte past the last offset.
    """
    digests: dict[int, str] = {}
    reader = BlockReader(source.second_look(), encoding)
    for offset in sorted({0, *offsets}):
        reader.skip(offset)
        digests[offset] = reader.digest() if reader.offset == offset else ""
    reader.skip(reader.offset + 1)
    return digests, reader.offset
