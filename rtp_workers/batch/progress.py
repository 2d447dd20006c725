"""How far a file is loaded: kept in PostgreSQL, proven against the file's content before a load resumes from there."""

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
        progress: what is settled before it.
        finished: the load that has read all of this content already, else None.
        stored: the progress as it was noted, an unfinished last line included; None for a new load.
        by_range: what is before `progress` need not be read again: it is the version that an earlier run has read.
    """

    identity: str
    progress: Progress
    finished: CsvLoad | None = None
    stored: Progress | None = None
    by_range: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What progress is proven with later.

    Attributes:
        version: of an object; None where nothing tells one content from another but the content itself.
        parts: end and digest of each part of the content that earlier runs have read and this one does not.
    """

    version: str | None = None
    parts: tuple[tuple[int, str], ...] = ()


def proof_of(source: SourceFile, start: Start) -> Proof:
    """Returns the proof for the progress of a run that starts there."""
    return Proof(source.proof, tuple(_parts(start.progress)) if start.by_range else ())


def at(progress: Progress, digest: str, refused_bytes: int, proof: Proof) -> Progress:
    """Returns progress that proves itself: with the digest of the content before it, and the refused file's size."""
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
    """Returns the progress of a file whose last line has no newline: should it grow, that line is read again.

    Args:
        whole: with that line.
        before_tail: without it.
        values: the record that the line became, if any: whether it stays the same is looked at then.
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
    """Returns the record that an unfinished last line had become in an earlier run, or None."""
    return stored.resume_state.get(TAIL_VALUE) if stored is not None else None


def before_tail(progress: Progress) -> Progress:
    """Returns where to resume if the file has grown."""
    tail = progress.resume_state.get(TAIL)
    return progress if tail is None else dataclasses.replace(progress, **tail)


class ProgressStore:
    """The progress of one file, while this process holds the file's lock.

    The lock and the row outlive a restart of PostgreSQL: `save` connects and locks again. A second loader that got
    the lock meanwhile makes `save` raise LoadRunningError.
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
            TransientError, ConfigError: PostgreSQL is away, or the DSN is wrong.
        """
        self._connect()
        try:
            yield self
        finally:
            self._disconnect()

    def candidates(self) -> list[CsvLoad]:
        """Returns the loads of files that begin like this one, the furthest first."""
        found = self._try(lambda connection: csv_loads.find_by_head(connection, self._head))
        return sorted(found, key=lambda load: load.progress.byte_offset, reverse=True)

    def retire(self, loads: Sequence[CsvLoad], because: str) -> None:
        """Takes loads out of what is resumed: the file is read from its beginning, under a new number."""
        self._try(lambda connection: csv_loads.retire_now(connection, [load.load_id for load in loads], because))

    def learn(self, source: CsvSource) -> int:
        """Stores the memory of the file's source and returns its number."""
        return self._try(lambda connection: csv_sources.learn(connection, source))

    def begin(self, beginning: Beginning) -> CsvLoad:
        """Notes that the load is running, and returns it."""
        self.identity = beginning.identity
        return self._try(lambda connection: csv_loads.begin(connection, beginning))

    def outcomes(self, load_id: int) -> Outcomes:
        """Returns how the records of a load ended so far."""
        return self._try(lambda connection: load_outcomes.read(connection, load_id))

    def save(self, progress: Progress) -> None:
        """Stores progress durably; waits for PostgreSQL while it is away, unless cancelled."""
        self._try(lambda connection: csv_loads.save(connection, self.identity, progress))

    def finish(self) -> None:
        """Notes that the file is loaded to its end."""
        self._try(lambda connection: csv_loads.finish(connection, self.identity))

    def fail(self, detail: str) -> None:
        """Notes why the load stopped, where PostgreSQL answers; the progress saved stays."""
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
        # Closing the connection frees the lock, also where the server has gone already.
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()


def find_start(source: SourceFile, plan: FilePlan, head: str, candidates: Sequence[CsvLoad], topic_id: str) -> Start:
    """Returns where the load of a file begins: the furthest stored progress whose content this file begins with.

    Progress in another topic (deleted and created again) does not count: its records may be gone. The ids make what is
    sent again a counted duplicate.
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
                continue  # another file that begins alike: an import of its own, which can be undone alone
            finished = dataclasses.replace(load, progress=stored) if done else None
            return Start(load.identity, before_tail(stored), finished, stored)
    taken = {load.identity for load in candidates}
    number = next(number for number in range(1, len(taken) + 2) if f"{head}-{number}" not in taken)
    return Start(f"{head}-{number}", Progress(topic_id=topic_id))


def _start_in_same_version(load: CsvLoad, plan: FilePlan, source: SourceFile, topic_id: str) -> Start:
    """Returns where to resume a load of this very version of an object: nothing need be read to prove it."""
    stored = dataclasses.replace(load.progress, topic_id=topic_id)
    progress = before_tail(stored)
    finished = dataclasses.replace(load, progress=stored) if load.state == "loaded" else None
    # A packed file has no offsets to ask for; those of UTF-16 count other bytes; derived ids count the rows before.
    in_bytes = not source.is_packed and not plan.dialect.encoding.startswith("utf-16")
    by_range = in_bytes and not plan.derives_ids and progress.byte_offset > 0
    return Start(load.identity, progress, finished, stored, by_range)


def _agrees_by_parts(source: SourceFile, encoding: str, stored: Progress) -> tuple[bool, int]:
    """Tells whether a file begins with the content of some progress, and where it ends if not much later."""
    reader = BlockReader(source.second_look(), encoding)
    for end, digest in _parts(stored):
        reader.begin_digest()
        reader.skip(end)
        if reader.offset != end or reader.digest() != digest:
            return False, -1
    reader.skip(reader.offset + 1)
    return True, reader.offset


def _digests(source: SourceFile, encoding: str, offsets: set[int]) -> tuple[dict[int, str], int]:
    """Returns the digest of the content before each offset, ``""`` where it is shorter, and where it ends.

    The end is only looked for up to one byte past the last offset.
    """
    digests: dict[int, str] = {}
    reader = BlockReader(source.second_look(), encoding)
    for offset in sorted({0, *offsets}):
        reader.skip(offset)
        digests[offset] = reader.digest() if reader.offset == offset else ""
    reader.skip(reader.offset + 1)
    return digests, reader.offset
