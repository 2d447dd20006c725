"""A file's plan and its blocks -> chunks: records ready to be sent, refused rows, and the progress after them."""

from __future__ import annotations

import dataclasses
import gc
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtp_workers.batch.blocks import Block, BlockReader
from rtp_workers.batch.row_encoder import Encoded, RowEncoder
from rtp_workers.batch.rows import RefusedRow, RowParser, physical_lines, refused_row, unquoted_lines
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.plan import Dialect, FilePlan
from rtp_workers.postgres.csv_loads import Progress
from rtp_workers.record.transaction import FIELD_NAMES

if TYPE_CHECKING:
    from rtp_workers.batch.mapped_rows import MappedRows


@dataclass(frozen=True, slots=True)
class Chunk:
    """The result of one block.

    Attributes:
        encoded: values, keys and refused rows.
        progress: the progress of the whole file once all this is acknowledged; without resume_state.
        digest: the digest of the content before `progress.byte_offset`.
        is_tail: True if this is the file's last line and lacks a newline: it may not be complete yet.
    """

    encoded: Encoded
    progress: Progress
    digest: str
    is_tail: bool


class ChunkReader:
    """Reads a file chunk by chunk, according to its plan."""

    def __init__(self, reader: BlockReader, plan: FilePlan, start: Progress, counts_folder: Path | None = None) -> None:
        """Skips to where `start` ends, or over the lines before the first row.

        Args:
            reader: a reader at the content's beginning.
            plan: a plan without open questions.
            start: the progress to resume from.
            counts_folder: where counts of identical rows may be spilled; None keeps them in memory.
        """
        dialect = plan.dialect
        self._reader = reader
        self._dialect = dialect
        self._encoding_is_open = dialect.encoding_is_open
        self._parser = row_parser(dialect, tells_quoted_empty=plan.canonical)
        self._mapped = None if plan.canonical else _mapped_rows(plan, counts_folder)
        self._encoder = RowEncoder(
            dialect.columns if plan.canonical else FIELD_NAMES, dialect.delimiter, dialect.quotechar
        )
        self._progress = start
        if plan.derives_ids:
            self._count_again(start.byte_offset)
        reader.skip(start.byte_offset)

    def chunks(self) -> Iterator[Chunk]:
        """Yields the chunks up to the content's end."""
        while (block := self._reader.next_block()) is not None:
            first_line = self._progress.line_number + 1
            text, first_line = self._without_preamble(block.text, first_line)
            if block.overlong:
                refused = refused_row(
                    first_line, "line_too_long", "the line is over 1 MiB, too long for a CSV row", block.text
                )
                encoded, rest, next_line = Encoded(refused=[refused]), "", first_line + 1
            else:
                with _without_collector():
                    encoded, rest, next_line = self._encoded(block, text, first_line)
            self._reader.advance(block, rest)
            yield self._chunk(block, encoded, next_line)

    def close(self) -> None:
        """Removes the spilled counts."""
        if self._mapped is not None:
            self._mapped.close()

    def _count_again(self, end: int) -> None:
        """Counts the rows of earlier runs again: a row's number among identical rows is part of its derived id."""
        line_number = 0
        while self._reader.offset < end and (block := self._reader.next_block(stop_at=end)) is not None:
            text, first_line = self._without_preamble(block.text, line_number + 1)
            rows = self._parser.parse("" if block.overlong else text, first_line, at_end=block.at_end)
            if self._mapped is not None:
                self._mapped.count(rows)
            line_number = rows.next_line - (0 if block.overlong else 1)
            self._reader.advance(block, rows.rest)

    def _chunk(self, block: Block, encoded: Encoded, next_line: int) -> Chunk:
        done = self._progress
        self._progress = dataclasses.replace(
            done,
            byte_offset=self._reader.offset,
            line_number=next_line - 1,
            rows_read=done.rows_read + len(encoded.values) + len(encoded.refused),
            acknowledged=done.acknowledged + len(encoded.values),
            refused=done.refused + len(encoded.refused),
            first_at=min(filter(None, (done.first_at, encoded.first_at)), default=None),
            last_at=max(filter(None, (done.last_at, encoded.last_at)), default=None),
        )
        is_tail = block.at_end and not block.data.endswith((b"\n", b"\r"))
        return Chunk(encoded, self._progress, self._reader.digest(), is_tail)

    def _encoded(self, block: Block, text: str, first_line: int) -> tuple[Encoded, str, int]:
        if self._encoding_is_open and not block.data.isascii():
            if not block.decodes:
                raise encoding_question(block.data, first_line, self._dialect.encoding)
            self._encoding_is_open = False
        quoted = self._dialect.quotechar in text or (self._dialect.escapes and "\\" in text)
        if self._mapped is None and block.decodes and not quoted:
            lines = unquoted_lines(text)
            encoded = self._encoder.encode_lines(lines, first_line, self._parser.refusal)
            return encoded, "", first_line + lines.count("\n")
        if self._mapped is None and block.decodes and not (self._dialect.escapes and "\\" in text):
            clean, end = self._encoder.encode_quoted_lines(text)
            encoded, rest, next_line = self._parsed(block, text[end:], first_line + len(clean.values))
            encoded.values, encoded.keys = clean.values + encoded.values, clean.keys + encoded.keys
            return encoded, rest, next_line
        return self._parsed(block, text, first_line)

    def _parsed(self, block: Block, text: str, first_line: int) -> tuple[Encoded, str, int]:
        rows = self._parser.parse(text, first_line, at_end=block.at_end)
        if self._mapped is not None:
            encoded = self._mapped.encode(rows)
        else:
            encoded = self._encoder.encode_cells(rows.cells, rows.lines, rows.raws, rows.uncommon)
        encoded.refused = _by_line(rows.refused, encoded.refused)
        return encoded, rows.rest, rows.next_line

    def _without_preamble(self, text: str, first_line: int) -> tuple[str, int]:
        """Cuts off everything before the first data row. All of it is in the first block."""
        wanted = self._dialect.first_data_line
        if first_line >= wanted:
            return text, first_line
        lines = io.StringIO(text, newline="")
        while first_line < wanted and lines.readline():
            first_line += 1
        return lines.read(), first_line


def row_parser(dialect: Dialect, *, tells_quoted_empty: bool) -> RowParser:
    """Returns the parser of a dialect's rows."""
    return RowParser(
        dialect.delimiter,
        dialect.quotechar,
        dialect.row_width,
        tells_quoted_empty=tells_quoted_empty,
        has_escapes=dialect.escapes,
        tolerated=dialect.tolerated_widths,
    )


def _mapped_rows(plan: FilePlan, counts_folder: Path | None) -> MappedRows:
    # Not imported at the top: a file with our own column names does not need the mapping.
    from rtp_workers.batch.mapped_rows import MappedRows

    return MappedRows(plan, counts_folder)


def encoding_question(data: bytes, first_line: int, taken: str) -> ConfigError:
    """Returns the question for the encoding of a file that begins with ASCII only: any default may be wrong.

    Args:
        data: whole lines, the first ones of the file with a letter beyond ASCII.
        first_line: physical line of the file where they start.
        taken: the encoding that does not fit.
    """
    # Not imported at the top: few files need it.
    from rtp_workers.mapping.columns.encodings import find_encoding

    lines = physical_lines(data.decode("latin-1"))
    at, line = next(((at, line) for at, line in enumerate(lines) if not line.isascii()), (0, ""))
    guess = find_encoding(data)
    return ConfigError(
        f"line {first_line + at} is the first that is not ASCII, and it is not {taken}: "
        f"{line.rstrip().encode('latin-1')[:80]!r}. It looks like {guess}. Load the file again with --encoding "
        f"{guess}, or add encoding = {guess!r} to its section. Rows that are loaded already keep their ids"
    )


def refuse_open_encoding(source: SourceFile, dialect: Dialect) -> None:
    """Raises the question for the encoding where the first letter beyond ASCII, wherever it is, does not fit it.

    Args:
        source: the open file, which is not moved.
        dialect: of a file whose beginning was ASCII only.
    """
    reader, first_line = BlockReader(source.second_look(), dialect.encoding), 1
    while (block := reader.next_block()) is not None:
        if not block.data.isascii():
            if not block.decodes:
                raise encoding_question(block.data, first_line, dialect.encoding)
            return
        first_line += 1 if block.overlong else len(physical_lines(block.text))
        reader.advance(block)


def first_lines(sample: bytes, dialect: Dialect) -> bytes:
    """Returns the content up to the end of the first data row's line. It stays the same when the file grows."""
    lines = io.BytesIO(sample.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    return b"".join(lines.readline() for _ in range(max(1, dialect.first_data_line)))


def _by_line(some: list[RefusedRow], others: list[RefusedRow]) -> list[RefusedRow]:
    return sorted(some + others, key=lambda row: row.line)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pauses the cycle collector, which would scan a block's cells again and again. They contain no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
