"""An object as the origin of a CSV: always the same version, even if somebody overwrites the object meanwhile."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from rtp_workers.batch.origins import READ_BYTES, FileState, ObjectHandle
from rtp_workers.object_address import ObjectAddress
from rtp_workers.objects.access import StoreAccess
from rtp_workers.objects.errors import ObjectMissingError
from rtp_workers.objects.versions import ObjectReader, ObjectState, ObjectVersion

NS_PER_S = 1_000_000_000


class ObjectOrigin:
    """One version of an object. Each piece that is read is checked to belong to this version.

    Attributes:
        reader: the reader whose position counts as how far the object has been read.
    """

    def __init__(self, address: ObjectAddress, access: StoreAccess) -> None:
        """Asks the store for the object.

        Raises:
            ConfigError: there is no such object, or reading it is not permitted.
            TransientError: the store is away.
        """
        self._version = ObjectVersion(address, access)
        self.state = file_state(self._version.state)
        self.may_be_appended_to = False  # an object appears in one step, with all of its content
        self.proof = _proof(address, self._version.state)
        self.reader = ObjectReader(self._version)
        self._position = 0

    def look(self, offset_bytes: int = 0) -> io.BufferedReader[Any]:
        """Returns another reader of the same version."""
        return io.BufferedReader(ObjectReader(self._version, offset_bytes), READ_BYTES)

    def now(self) -> FileState:
        """Returns the state at opening. A piece of another version raises an error when it is read."""
        return self.state

    def position_bytes(self) -> int:
        """Returns how far the object has been read, by this process or another."""
        return max(self._position, self.reader.tell())

    def moved_to(self, position_bytes: int) -> None:
        """Notes how far another process has read."""
        self._position = max(self._position, position_bytes)

    def handle(self) -> ObjectHandle:
        """Returns what another process needs to read the same version."""
        return ObjectHandle(self._version.address, self._version.access, self._version.state)


def file_state(state: ObjectState) -> FileState:
    """Returns an object's state in the form of a file's state."""
    return FileState(0, 0, state.size_bytes, modified_ns(state), state.etag)


def stamp_of(state: ObjectState) -> tuple[int, int]:
    """Returns size and time of the last change, in the form of a file's stamp."""
    return state.size_bytes, modified_ns(state)


def object_stamp(address: ObjectAddress, access: StoreAccess) -> tuple[int, int] | None:
    """Returns an object's stamp as the store reports it now; None if the object does not exist.

    Raises:
        ConfigError: reading it is not permitted.
        TransientError: the store is away.
    """
    try:
        return stamp_of(ObjectVersion(address, access).state)
    except ObjectMissingError:
        return None


def modified_ns(state: ObjectState) -> int:
    """Returns the time of the last change in ns. The fraction of the second is derived from the ETag.

    Stores report whole seconds, and an object may be written twice within one.
    """
    digest = hashlib.blake2b((state.etag or "").encode(), digest_size=8).digest()
    return int(state.modified.timestamp()) * NS_PER_S + int.from_bytes(digest) % NS_PER_S


def _proof(address: ObjectAddress, state: ObjectState) -> str | None:
    """Returns a text that is unique to this version at this address; None if the store cannot tell versions apart."""
    if not state.is_proof:
        return None
    said = repr((str(address), state.etag, state.size_bytes, state.modified.isoformat()))
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
