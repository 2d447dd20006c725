"""Opens a CSV: refuses files that are not safe to read, decompresses, and notices when a file changes meanwhile."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import zstandard

from rtp_workers.batch.file_names import shown_name, shown_path
from rtp_workers.batch.origins import READ_BYTES, FileOrigin, FileState, Handle, Origin, state_of
from rtp_workers.errors import ConfigError, FatalError, RtpError, TransientError
from rtp_workers.object_address import is_address, parse_address

if TYPE_CHECKING:
    from rtp_workers.objects.access import StoreAccess
    from rtp_workers.settings import PlatformSettings

STDIN = "-"
STDIN_NAME = "stdin"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
SETTLED_AFTER_S = 1.0  # a file touched less than this ago may still be written to
SETTLE_POLL_S = 0.25
RATIO_COUNTS_FROM_BYTES = 32_000_000  # a small file may be one repeated line
DEFAULT_MAX_RATIO = 200.0
ZSTD_STEP_BYTES = 1 << 10


class ByteSource(Protocol):
    """Anything that is read in pieces of at most `size_bytes`. At its end it returns ``b""``."""

    def read(self, size_bytes: int, /) -> bytes: ...


class _ZstdFrames:
    """The content of concatenated zstd frames. Unlike zstandard's reader, it notices that the last frame is cut off."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._content = b""

    def read(self, size_bytes: int, /) -> bytes:
        while not self._content:
            # In small pieces: a few bytes may unpack to a very large content.
            packed = self._raw.read(ZSTD_STEP_BYTES)
            if not packed:
                if self._inside:
                    raise EOFError("the last zstd frame is cut off")
                return b""
            self._content = self._unpacked(packed)
        data, self._content = self._content[:size_bytes], self._content[size_bytes:]
        return data

    def _unpacked(self, packed: bytes) -> bytes:
        parts = []
        while packed:
            parts.append(self._frame.decompress(packed))
            self._inside, packed = not self._frame.eof, b""
            if self._frame.eof:
                packed = self._frame.unused_data
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        return b"".join(parts)


class SourceFile:
    """One open CSV: reads decompressed bytes, and knows whether the file changed since it was opened.

    Attributes:
        name: the file's name as it is shown, or ``stdin``.
        state: size and time at opening; None for stdin.
    """

    def __init__(
        self, name: str, raw: io.BufferedReader[Any], origin: Origin | None, max_ratio: float = DEFAULT_MAX_RATIO
    ) -> None:
        self.name = name
        self.max_ratio = max_ratio
        self._origin = origin
        self._unpacked_bytes = 0
        self._raw = raw
        self._stream = _decompressed(raw)

    def read(self, size_bytes: int) -> bytes:
        """Reads up to `size_bytes` of decompressed content. Returns ``b""`` at the end.

        Raises:
            FatalError: the compressed data is damaged or cut off.
            TransientError: the object was replaced, or its store is away.
        """
        try:
            data = self._stream.read(size_bytes)
        except RtpError:
            raise
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            raise FatalError(
                f"{self.name}: cannot be read to its end ({error}); the rows before that stay loaded. "
                "Fetch the file again, then run the load again: it resumes there"
            ) from error
        self._unpacked_bytes += len(data)
        if self.is_packed and self._unpacked_bytes > RATIO_COUNTS_FROM_BYTES:
            self._refuse_bomb()
        return data

    def _refuse_bomb(self) -> None:
        packed = max(1, self._raw.tell())
        if self._unpacked_bytes > self.max_ratio * packed:
            raise ConfigError(
                f"{self.name} unpacks to more than {self.max_ratio:g} times its size ({self._unpacked_bytes:,} bytes "
                f"from {packed:,}): it is probably not a CSV. If it is one, raise RTP_LOADER_MAX_RATIO"
            )

    def may_grow(self, rest_s: float) -> bool:
        """Tells whether somebody may still be writing to the file: it changed within the last `rest_s` seconds.

        Packed content marks its own end, and stdin is read to its end, so the answer for both is False.
        """
        if self.state is None or self.is_packed or not self.origin.may_be_appended_to:
            return False
        return time.time_ns() - self.state.modified_ns < rest_s * 1e9

    @property
    def origin(self) -> Origin:
        """Where the bytes come from. Not available for stdin."""
        assert self._origin is not None
        return self._origin

    @property
    def state(self) -> FileState | None:
        """Size and time at opening; None for stdin."""
        return self._origin.state if self._origin is not None else None

    @property
    def size_bytes(self) -> int | None:
        """The size of the file itself (its compressed size, if it is compressed); None for stdin."""
        return self.state.size_bytes if self.state is not None else None

    @property
    def is_packed(self) -> bool:
        """True for gzip and zstd."""
        return self._stream is not self._raw

    def position_bytes(self) -> int:
        """Returns how far the file itself has been read, by any process, in bytes before unpacking; 0 for stdin."""
        return self._origin.position_bytes() if self._origin is not None else 0

    @property
    def proof(self) -> str | None:
        """A text that two openings share only if their contents are equal; None if nothing can prove that."""
        return self._origin.proof if self._origin is not None else None

    def go_to(self, offset_bytes: int) -> None:
        """Moves to an offset of a file that is not packed. Not available for stdin."""
        self._raw.seek(offset_bytes)

    def handle(self) -> Handle:
        """Returns what another process needs to open the same content. Not available for stdin."""
        return self.origin.handle()

    def second_look(self) -> SourceFile:
        """Returns the same open file from its beginning. Reading it does not move this one. Not available for stdin."""
        return SourceFile(self.name, self.origin.look(), self._origin, self.max_ratio)

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Returns bytes of the file itself, not unpacked, and moves no reader. Not available for stdin."""
        return self.origin.look(offset_bytes).read(size_bytes)

    def refuse_changed(self) -> None:
        """Raises TransientError if the file was written to, cut or replaced in place since it was opened."""
        if self.state is None:
            return
        now = self.origin.now()
        if now != self.state:
            raise TransientError(
                f"{self.name} changed while it was read ({self.state.size_bytes:,} -> {now.size_bytes:,} bytes); "
                "what is loaded so far is kept. Run the load again when the file is complete: it resumes there",
                retry_after_s=SETTLED_AFTER_S,
            )


class Replayed:
    """A source whose beginning was already read as a sample."""

    def __init__(self, beginning: bytes, rest: ByteSource) -> None:
        self._beginning = beginning
        self._rest = rest

    def read(self, size_bytes: int, /) -> bytes:
        """Reads what is left of the beginning, then the rest."""
        if not self._beginning:
            return self._rest.read(size_bytes)
        data, self._beginning = self._beginning[:size_bytes], self._beginning[size_bytes:]
        return data


def read_sample(source: ByteSource, size_bytes: int) -> bytes:
    """Returns the first `size_bytes` of the content, or all of it."""
    parts: list[bytes] = []
    while size_bytes > 0 and (data := source.read(size_bytes)):
        parts.append(data)
        size_bytes -= len(data)
    return b"".join(parts)


@contextmanager
def open_source(
    path: str,
    *,
    wait_s: float = 30.0,
    cancelled: Callable[[], bool] = lambda: False,
    max_ratio: float = DEFAULT_MAX_RATIO,
    access: StoreAccess | None = None,
) -> Iterator[SourceFile]:
    """Opens a CSV for reading.

    Args:
        path: a regular file or the address of an object, plain, gzip or zstd (its first bytes show it), or ``-`` for
            stdin.
        wait_s: how long to wait for a file that is still being written.
        cancelled: called while waiting; True ends the wait.
        max_ratio: a packed file that unpacks to more than this many times its size is refused while it is read.
        access: credentials for object storage; None: those that the stores' own tools would find.

    Raises:
        ConfigError: there is no such file, or it is a folder, FIFO, socket or device.
        TransientError: it was still being written after `wait_s`, or the object's store is away.
    """
    if path == STDIN:
        yield SourceFile(STDIN_NAME, io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False)), None, max_ratio)
        return
    if is_address(path):
        yield _opened_object(path, access, max_ratio)
        return
    state = _settled(Path(path), wait_s, cancelled)
    with _open_regular(Path(path)) as raw:
        source = SourceFile(shown_name(path), raw, FileOrigin(raw.fileno(), state), max_ratio)
        source.refuse_changed()
        yield source


def store_access(path: str, settings: PlatformSettings) -> StoreAccess | None:
    """Returns the credentials for reading an object; None for a file on a disk."""
    if not is_address(path):
        return None
    from rtp_workers.objects.access import StoreAccess  # files on a disk do not need it

    return StoreAccess.of(settings)


def _opened_object(text: str, access: StoreAccess | None, max_ratio: float) -> SourceFile:
    # Not imported at the top: files on a disk do not need it.
    from rtp_workers.batch.object_origin import ObjectOrigin
    from rtp_workers.objects.access import StoreAccess

    address = parse_address(text)
    origin = ObjectOrigin(address, access or StoreAccess())
    return SourceFile(shown_name(address.name), io.BufferedReader(origin.reader, READ_BYTES), origin, max_ratio)


def _settled(path: Path, wait_s: float, cancelled: Callable[[], bool]) -> FileState:
    deadline = time.monotonic() + wait_s
    state = _stat(path)
    while 0 <= time.time_ns() - state.modified_ns < SETTLED_AFTER_S * 1e9:
        if time.monotonic() > deadline or cancelled():
            raise TransientError(
                f"{shown_path(path)} is still being written; load it when it is complete", retry_after_s=wait_s
            )
        time.sleep(SETTLE_POLL_S)
        state = _stat(path)
    return state


def _stat(path: Path) -> FileState:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"{shown_path(path)} cannot be opened: {error.strerror}; check the name") from error
    _refuse_irregular(path, found.st_mode)
    return state_of(found)


def _open_regular(path: Path) -> io.BufferedReader:
    try:
        # Not blocking: since the check, the file may have become a FIFO, whose opening would hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{shown_path(path)} cannot be opened: {error.strerror}; check its permissions") from error
    _refuse_irregular(path, os.fstat(descriptor).st_mode)
    return io.BufferedReader(io.FileIO(descriptor), READ_BYTES)


def _refuse_irregular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    kind = kinds.get(stat.S_IFMT(mode), "not a regular file")
    raise ConfigError(f"{shown_path(path)} is {kind}; give a regular file, or - to read stdin")


def _decompressed(raw: io.BufferedReader) -> ByteSource:
    magic = raw.peek(4)[:4]
    if magic.startswith(GZIP_MAGIC):
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if magic.startswith(ZSTD_MAGIC):
        return _ZstdFrames(raw)
    return raw
