"""The process that reads and encodes a large file for `reading`: ``python -m rtp_workers.batch.reading_process``.

It reads its task from stdin, once, and writes frames to stdout. When nobody reads them, it waits. It imports only what
it needs, because every large load waits for it to start.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader
from rtp_workers.batch.origins import FileHandle, Handle
from rtp_workers.batch.source_file import ByteSource, SourceFile
from rtp_workers.errors import RtpError
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.postgres.csv_loads import Progress

# A frame is its kind, the size of its body, and the body: a chunk in MessagePack, a pickled error, how far an object
# has been read, or nothing.
FRAME = struct.Struct(">cI")
OFFSET = struct.Struct(">Q")
CHUNK, ERROR, END, POSITION = b"C", b"E", b".", b"P"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for reading.

    Attributes:
        block_bytes: the size of a chunk.
        max_line_bytes: a file with a longer line is refused.
        max_ratio: a file that unpacks to more than this many times its size is refused.
    """

    block_bytes: int
    max_line_bytes: int
    max_ratio: float


@dataclass(frozen=True, slots=True)
class Task:
    """What to read.

    Attributes:
        handle: opens the file.
        name: the file's name, for messages.
        plan: a plan without open questions.
        start: where to resume.
        counts_folder: where counts of identical rows may be spilled.
        limits: the limits for reading.
        offset: content before it is not read at all; `start` then ends there.
    """

    handle: Handle
    name: str
    plan: FilePlan
    start: Progress
    counts_folder: Path
    limits: Limits
    offset: int = 0


def block_reader(source: ByteSource, plan: FilePlan, limits: Limits, name: str, offset: int) -> BlockReader:
    """Returns a reader for a file's plan. `source` begins at `offset` of the file."""
    encoding = plan.dialect.encoding
    return BlockReader(source, encoding, limits.block_bytes, limits.max_line_bytes, name, offset)


def serve(task: Task, out: BinaryIO) -> None:
    """Writes the chunks of a file, or the error that reading it raised."""
    limits, encoder = task.limits, msgspec.msgpack.Encoder()
    shares_position = isinstance(task.handle, FileHandle)
    try:
        raw = task.handle.look(task.offset) if task.offset else task.handle.opened()
        # Content that begins in the middle of a file is not packed, whatever its first bytes look like.
        source = raw if task.offset else SourceFile(task.name, raw, None, limits.max_ratio)
        reader = block_reader(source, task.plan, limits, task.name, task.offset)
        chunks = ChunkReader(reader, task.plan, task.start, task.counts_folder)
        try:
            for chunk in chunks.chunks():
                _write(out, CHUNK, encoder.encode(chunk))
                if not shares_position:
                    _write(out, POSITION, OFFSET.pack(raw.tell()))
        finally:
            chunks.close()
        _write(out, END, b"")
    except RtpError as error:
        _write(out, ERROR, pickle.dumps(error))


def _write(out: BinaryIO, kind: bytes, body: bytes) -> None:
    out.write(FRAME.pack(kind, len(body)))
    out.write(body)
    out.flush()


def main() -> None:
    """Reads the task and serves it. Anything printed by accident goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the loader too, which then closes the pipe
    with suppress(EOFError, BrokenPipeError), os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        serve(pickle.load(sys.stdin.buffer), out)


if __name__ == "__main__":
    main()
