"""Where the bytes of an open CSV come from: a file on a disk (opened once), or an object in a store."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rtp_workers.object_address import ObjectAddress

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from rtp_workers.objects.access import StoreAccess
    from rtp_workers.objects.versions import ObjectState

READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class FileState:
    """What shows that a file is still the one that was opened.

    Attributes:
        version: for an object, the version that its store reports; `device` and `inode` are then 0.
    """

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    version: str | None = None


class Origin(Protocol):
    """Where an open CSV comes from.

    Attributes:
        state: the state at opening.
        may_be_appended_to: True if somebody may still be writing to it.
        proof: a text that two openings share only if their contents are equal; None if nothing can prove that.
    """

    state: FileState
    may_be_appended_to: bool
    proof: str | None

    def look(self, offset_bytes: int = 0) -> io.BufferedReader[Any]:
        """Returns another reader of the same content, which does not move any other reader."""

    def now(self) -> FileState:
        """Returns the state as it is now."""

    def position_bytes(self) -> int:
        """Returns how far the file has been read, by any process."""

    def moved_to(self, position_bytes: int) -> None:
        """Notes how far another process has read."""

    def handle(self) -> Handle:
        """Returns what another process needs to open the same content."""


@dataclass(frozen=True, slots=True)
class FileHandle:
    """A file that another process inherits as an open descriptor."""

    descriptor: int

    def opened(self) -> io.BufferedReader[Any]:
        """Returns a reader from the beginning."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return io.BufferedReader(io.FileIO(self.descriptor), READ_BYTES)

    def look(self, offset_bytes: int = 0) -> io.BufferedReader[Any]:
        """Returns a reader from an offset, which does not move any other reader."""
        return io.BufferedReader(_Look(self.descriptor, offset_bytes), READ_BYTES)


@dataclass(frozen=True, slots=True)
class ObjectHandle:
    """A version of an object, which another process fetches from the store itself."""

    address: ObjectAddress
    access: StoreAccess
    state: ObjectState

    def opened(self) -> io.BufferedReader[Any]:
        """Returns a reader from the beginning."""
        return self.look(0)

    def look(self, offset_bytes: int = 0) -> io.BufferedReader[Any]:
        """Returns a reader from an offset."""
        # Not imported at the top: files on a disk do not need it.
        from rtp_workers.objects.versions import ObjectReader, ObjectVersion

        version = ObjectVersion(self.address, self.access, self.state)
        return io.BufferedReader(ObjectReader(version, offset_bytes), READ_BYTES)


Handle = FileHandle | ObjectHandle


class FileOrigin:
    """A file on a disk: always the same inode, even if its name refers to another file by now."""

    def __init__(self, descriptor: int, state: FileState) -> None:
        self.state = state
        self.may_be_appended_to = True
        self.proof: str | None = None  # a file can change and keep its size and time
        self._descriptor = descriptor

    def look(self, offset_bytes: int = 0) -> io.BufferedReader[Any]:
        """Returns another reader of the same inode."""
        return self.handle().look(offset_bytes)

    def now(self) -> FileState:
        """Returns the state of the inode."""
        return state_of(os.fstat(self._descriptor))

    def position_bytes(self) -> int:
        """Returns the descriptor's position, which all processes share."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def moved_to(self, position_bytes: int) -> None:
        """Does nothing: processes share the descriptor's position."""

    def handle(self) -> FileHandle:
        """Returns the descriptor."""
        return FileHandle(self._descriptor)


def state_of(found: os.stat_result) -> FileState:
    """Returns the state as the operating system reports it."""
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class _Look(io.RawIOBase):
    """A second, independent position in a file that is open already."""

    def __init__(self, descriptor: int, position: int) -> None:
        self._descriptor = descriptor
        self._position = position

    def readable(self) -> bool:
        """Returns True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Returns True: the file is a regular one."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves this reader's position only. Seeking from the end is not supported."""
        self._position = offset + (self._position if whence == os.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        """Reads at this reader's position, which no other reader moves."""
        view = memoryview(buffer)
        data = os.pread(self._descriptor, len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
