"""One version of an object, read by ranges. Every piece is checked to belong to the version that was opened."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import obstore

from rtp_workers.errors import TransientError
from rtp_workers.object_address import ObjectAddress
from rtp_workers.objects.access import StoreAccess, store_of
from rtp_workers.objects.asking import answer_of
from rtp_workers.objects.errors import NoRangesError, changed, translated

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from typing_extensions import Buffer

RANGE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ObjectState:
    """What distinguishes one version of an object from another.

    Attributes:
        etag: the ETag that the store gives; None if a web server gives none.
    """

    size_bytes: int
    modified: datetime
    etag: str | None

    @classmethod
    def of(cls, meta: ObjectMeta) -> ObjectState:
        """Returns the state in a store's answer. Some answers have fractions of a second, others do not."""
        return cls(meta["size"], meta["last_modified"].replace(microsecond=0), meta["e_tag"])

    @property
    def is_proof(self) -> bool:
        """True if the ETag changes with every change of the content."""
        return self.etag is not None and not self.etag.startswith("W/")


class ObjectVersion:
    """One version of an object. Any number of readers may share it."""

    def __init__(self, address: ObjectAddress, access: StoreAccess, state: ObjectState | None = None) -> None:
        """Asks the store for the object's state, unless it is given.

        Raises:
            ConfigError: there is no such object, or reading it is not permitted.
            TransientError: the store is away.
        """
        self.address, self.access = address, access
        self._store = store_of(address, access)
        self.state = self._look() if state is None else state
        self._beginning: bytes | None = None
        self._whole: _WholeAnswer | None = None

    def piece(self, offset: int) -> bytes:
        """Returns up to `RANGE_BYTES` from `offset` on; ``b""`` at the end.

        Raises:
            ObjectChangedError: the object has another version by now.
            TransientError: the store is away, or the connection breaks again and again.
        """
        if offset >= self.state.size_bytes:
            return b""
        if offset >= RANGE_BYTES:
            return self._fetched(offset)
        if self._beginning is None:  # kept, because every reader begins here
            self._beginning = self._fetched(0)
        return self._beginning[offset:]

    def _look(self) -> ObjectState:
        with translated(self.address, "read it"):
            if self.address.is_web:  # a signed address is for GET only
                return ObjectState.of(answer_of(lambda: obstore.get(self._store, self.address.key)).meta)
            return ObjectState.of(answer_of(lambda: obstore.head(self._store, self.address.key)))

    def _fetched(self, offset: int) -> bytes:
        wanted = min(RANGE_BYTES, self.state.size_bytes - offset)
        if self._whole is not None:
            return self._whole.read(offset, wanted)
        try:
            return self._range(offset, wanted)
        except NoRangesError:
            self._whole = _WholeAnswer(self)
            return self._whole.read(offset, wanted)

    def _range(self, offset: int, wanted: int) -> bytes:
        options: GetOptions = {"range": (offset, offset + wanted)}
        if self.state.is_proof and not self.address.is_web:
            options["if_match"] = self.state.etag
        with translated(self.address, "read it"):
            answer = answer_of(lambda: obstore.get(self._store, self.address.key, options=options))
            self.refuse_other(answer.meta)
            data = bytes(answer_of(answer.bytes))
        if len(data) != wanted:
            raise TransientError(
                f"{self.address}: the store sent {len(data):,} of {wanted:,} bytes; run the load again"
            )
        return data

    def refuse_other(self, meta: ObjectMeta) -> None:
        """Raises ObjectChangedError if an answer belongs to another version."""
        if ObjectState.of(meta) != self.state:
            raise changed(self.address)

    def pieces(self) -> Iterator[bytes]:
        """Yields the whole object from its beginning, with one request."""
        with translated(self.address, "read it"):
            answer = obstore.get(self._store, self.address.key)
            self.refuse_other(answer.meta)
            for data in answer.stream(min_chunk_size=RANGE_BYTES // 4):
                yield bytes(data)


class _WholeAnswer:
    """The single answer of a web server that does not send parts. If a reader goes back, it asks again."""

    def __init__(self, version: ObjectVersion) -> None:
        self._version = version
        self._pieces: Iterator[bytes] = iter(())
        self._at, self._data = -1, b""

    def read(self, offset: int, wanted: int) -> bytes:
        if self._at < 0 or offset < self._at:
            self._pieces, self._at, self._data = self._version.pieces(), 0, b""
        parts: list[bytes] = []
        while wanted and (data := self._next(offset)):
            parts.append(data[:wanted])
            offset, wanted = offset + len(parts[-1]), wanted - len(parts[-1])
        if wanted:
            raise TransientError(f"{self._version.address}: the server ended its answer too early; run the load again")
        return b"".join(parts)

    def _next(self, offset: int) -> bytes:
        """Returns the bytes that have arrived from `offset` on; ``b""`` at the end."""
        while offset >= self._at + len(self._data):
            self._at += len(self._data)
            self._data = next(self._pieces, b"")
            if not self._data:
                return b""
        return self._data[offset - self._at :]


class ObjectReader(io.RawIOBase):
    """A position in a version of an object."""

    def __init__(self, version: ObjectVersion, position: int = 0) -> None:
        super().__init__()
        self._version = version
        self._position = position
        self._start, self._piece = 0, memoryview(b"")

    def readable(self) -> bool:
        """Returns True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Returns True: any range can be asked for."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Moves this reader's position only."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._version.state.size_bytes}
        self._position = origins[whence] + offset
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        """Reads at this reader's position, which no other reader moves."""
        if not self._start <= self._position < self._start + len(self._piece):
            self._start, self._piece = self._position, memoryview(self._version.piece(self._position))
        view = memoryview(buffer)
        data = self._piece[self._position - self._start :][: len(view)]
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
