"""A file -> its chunks. A second process reads and encodes a large file, while this process sends.

Each does about half of the work, and a Python process uses only one core.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, suppress
from typing import IO

import msgspec

from rtp_workers.batch import reading_process
from rtp_workers.batch.chunks import Chunk, ChunkReader
from rtp_workers.batch.origins import FileHandle, Handle
from rtp_workers.batch.planning import PlannedFile
from rtp_workers.batch.progress import Start
from rtp_workers.batch.reading_process import CHUNK, END, FRAME, OFFSET, POSITION, Limits, Task, block_reader
from rtp_workers.batch.source_file import ByteSource, Replayed, SourceFile
from rtp_workers.errors import TransientError
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.settings import LoaderSettings

COUNTS_FOLDER = "counts"
PIPE_BYTES = 1 << 20  # holds two chunks, so that one is written while another is read
END_GRACE_S = 5.0


class Reading:
    """Reads one open file. For a large regular file, the second process starts at once, while the plan is made."""

    def __init__(self, source: SourceFile, settings: LoaderSettings) -> None:
        self._source = source
        self._counts_folder = settings.home / COUNTS_FOLDER
        self._limits = Limits(settings.loader_block_bytes, settings.loader_max_line_bytes, source.max_ratio)
        large = source.size_bytes is not None and source.size_bytes >= settings.loader_process_bytes
        self._process = _start(source.handle()) if large and (os.cpu_count() or 1) > 1 else None

    def chunks(self, planned: PlannedFile, start: Start) -> Generator[Chunk]:
        """Yields the chunks up to the content's end.

        Args:
            planned: the source's plan. The source has been read up to the end of the sample.
            start: where to resume.

        Raises:
            FatalError: the compressed data is damaged or cut off.
            TransientError: the second process ended too early.
        """
        plan = planned.plan
        if plan.derives_ids:
            self.close()  # with numpy and the counts of identical rows in both, two processes would take over 250 MB
        if self._process is not None:
            yield from self._from_process(self._process, self._task(plan, start))
            return
        content: ByteSource = Replayed(planned.sample, self._source)
        if start.by_range:
            content = self._source
            self._source.go_to(start.progress.byte_offset)
        reader = block_reader(content, plan, self._limits, self._source.name, self._offset(start))
        with closing(ChunkReader(reader, plan, start.progress, self._counts_folder)) as chunks:
            yield from chunks.chunks()

    def _task(self, plan: FilePlan, start: Start) -> Task:
        source = self._source
        offset, folder = self._offset(start), self._counts_folder
        return Task(source.handle(), source.name, plan, start.progress, folder, self._limits, offset)

    @staticmethod
    def _offset(start: Start) -> int:
        return start.progress.byte_offset if start.by_range else 0

    def close(self) -> None:
        """Ends the process, and first gives it time to clean up."""
        if self._process is None:
            return
        told, frames = _pipes(self._process)
        with suppress(BrokenPipeError):
            told.close()
        frames.close()
        try:
            self._process.wait(END_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _from_process(self, process: subprocess.Popen[bytes], task: Task) -> Generator[Chunk]:
        told, frames = _pipes(process)
        with suppress(BrokenPipeError):  # it has ended; the code below notices
            pickle.dump(task, told)
            told.close()
        decoder = msgspec.msgpack.Decoder(Chunk)
        while True:
            head = frames.read(FRAME.size)
            kind, size_bytes = FRAME.unpack(head) if len(head) == FRAME.size else (b"", 0)
            body = frames.read(size_bytes)
            if not kind or len(body) != size_bytes:
                raise _ended_early(task.name, process.wait())
            if kind == END:
                return
            if kind == POSITION:
                self._source.origin.moved_to(OFFSET.unpack(body)[0])
                continue
            if kind != CHUNK:
                raise pickle.loads(body)
            yield decoder.decode(body)


def _start(handle: Handle) -> subprocess.Popen[bytes]:
    inherited = (handle.descriptor,) if isinstance(handle, FileHandle) else ()
    # -P: Python must not import modules from the current folder.
    command = [sys.executable, "-P", "-m", reading_process.__name__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=inherited)
    with suppress(OSError, AttributeError):  # only Linux has it, and the user's limit for pipes may be reached
        fcntl.fcntl(_pipes(process)[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _ended_early(name: str, code: int) -> TransientError:
    cause = ", perhaps killed because memory ran out" if code == -signal.SIGKILL else ""
    return TransientError(
        f"{name}: the process that reads it ended with code {code}{cause}; run the load again: it resumes there"
    )
