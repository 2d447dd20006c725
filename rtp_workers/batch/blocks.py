"""Bytes -> blocks of whole physical lines, in constant memory, with byte offsets to resume from."""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass

from rtp_workers.batch.source_file import ByteSource
from rtp_workers.errors import ConfigError

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 20  # a longer line is not a CSV row: it is refused, and not kept in memory
DEFAULT_MAX_LINE_BYTES = 64_000_000  # a file with a longer line is not text, so reading it to its end is no use
SHOWN_BYTES = 200
DIGEST_BYTES = 16
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole physical lines of a file.

    Attributes:
        data: the lines as bytes; the file's last line may lack its newline.
        text: the same lines decoded, without a byte order mark. A byte that does not decode is a lone surrogate.
        decodes: True if every byte decodes.
        at_end: True if the content ends with this block.
        overlong: True if the block is the beginning of one line of more than MAX_LINE_BYTES. The rest of that line
            is skipped already.
    """

    data: bytes
    text: str
    decodes: bool
    at_end: bool
    overlong: bool = False


class BlockReader:
    """Reads content as blocks of whole lines. Lines end with LF, CRLF or CR.

    After each block, the caller calls `advance` to say how much of it was complete rows. The rest is repeated at the
    start of the next block. Offsets count bytes of the decompressed content; for UTF-16, bytes of its text in UTF-8.

    Attributes:
        offset: where the next block starts.
    """

    def __init__(
        self,
        source: ByteSource,
        encoding: str,
        block_bytes: int = BLOCK_BYTES,
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        name: str = "the file",
        offset: int = 0,
    ) -> None:
        """Makes a reader of content whose first byte is at `offset` of the file."""
        self._name = name
        self._max_line_bytes = max_line_bytes
        self._encoding = encoding.lower().replace("_", "-").removesuffix("-sig")
        if self._encoding.startswith("utf-16"):
            source, self._encoding = _Utf16AsUtf8(source, self._encoding), "utf-8"
        self._source = source
        self._block_bytes = block_bytes
        self._pending = b""
        self._ended = False
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._goes_on = False
        self.offset = offset

    def skip(self, offset: int) -> None:
        """Reads up to `offset`, only to update the digest. Stops earlier if the content is shorter."""
        while self.offset < offset:
            self._fill(min(self._block_bytes, offset - self.offset))
            if not self._pending:
                return
            self._consume(len(self._pending))

    def digest(self) -> str:
        """Returns the digest of everything read before `offset`, counted from `begin_digest` if that was called."""
        return self._digest.hexdigest()

    def begin_digest(self) -> None:
        """Starts a new digest at `offset`, without what comes before it."""
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def next_block(self, stop_at: int | None = None) -> Block | None:
        """Returns the next block, or None at the end of the content or at offset `stop_at` (the end of a row)."""
        while True:
            wanted = len(self._pending) + self._block_bytes
            if stop_at is not None:
                wanted = min(wanted, stop_at - self.offset)
            self._fill(wanted)
            at_end = self._ended or self.offset + len(self._pending) == stop_at
            if not self._pending:
                return None
            end = self._end(at_end)
            if end:
                return self._block(self._pending[:end], at_end=at_end and end == len(self._pending))
            if len(self._pending) > MAX_LINE_BYTES:
                return self._overlong()

    def advance(self, block: Block, rest: str = "") -> None:
        """Marks a block as read, except `rest`: the end of its text, where a row begins that is not complete."""
        self._goes_on = bool(rest)
        if not block.overlong:
            self._consume(len(block.data) - len(rest.encode(self._encoding, "surrogateescape")))

    def _end(self, at_end: bool) -> int:
        """Returns where the next block ends in `_pending`; 0 if no line ends there."""
        end = _last_line_end(self._pending)
        if not at_end:
            return end
        # A last line without a newline is a separate block: it is read again when the file has grown.
        alone = self._pending.endswith((b"\n", b"\r")) or end == 0 or self._goes_on
        return len(self._pending) if alone else end

    def _fill(self, wanted: int) -> None:
        parts, have = [self._pending], len(self._pending)
        while have < wanted and not self._ended:
            data = self._source.read(wanted - have)
            self._ended = not data
            parts.append(data)
            have += len(data)
        self._pending = b"".join(parts)

    def _consume(self, size_bytes: int) -> None:
        self._digest.update(memoryview(self._pending)[:size_bytes])
        self._pending = self._pending[size_bytes:]
        self.offset += size_bytes

    def _block(self, data: bytes, *, at_end: bool, overlong: bool = False) -> Block:
        marked = self.offset == 0 and self._encoding == "utf-8" and data.startswith(codecs.BOM_UTF8)
        body = data[len(codecs.BOM_UTF8) :] if marked else data
        try:
            return Block(data, body.decode(self._encoding), True, at_end, overlong)
        except UnicodeDecodeError:
            return Block(data, body.decode(self._encoding, "surrogateescape"), False, at_end, overlong)

    def _overlong(self) -> Block:
        shown, started = self._pending[:SHOWN_BYTES], self.offset
        while (line_end := _LINE_END.search(self._pending)) is None and not self._ended:
            self._consume(len(self._pending) - 1)
            if self.offset - started > self._max_line_bytes:
                raise ConfigError(
                    f"{self._name}: a line has no end within {self._max_line_bytes:,} bytes, so this is probably not "
                    "a CSV. If it is one, raise RTP_LOADER_MAX_LINE_BYTES"
                )
            self._fill(self._block_bytes)
        self._consume(line_end.end() if line_end else len(self._pending))
        return self._block(shown, at_end=self._ended and not self._pending, overlong=True)


class _Utf16AsUtf8:
    """Converts UTF-16 to UTF-8 while it is read, so that newlines, quotes and offsets are found byte by byte.

    Invalid UTF-16 (half a surrogate pair, an odd last byte) becomes invalid UTF-8, so its row is refused.
    """

    def __init__(self, source: ByteSource, encoding: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")

    def read(self, size_bytes: int, /) -> bytes:
        while data := self._source.read(max(2, size_bytes)):
            text = self._decoder.decode(data)
            if text:
                return text.encode("utf-8", "surrogatepass")
        left, _ = self._decoder.getstate()
        self._decoder.reset()
        return b"\xff" if left else b""


def _last_line_end(data: bytes) -> int:
    # A CR at the very end may be the first half of a CRLF.
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
