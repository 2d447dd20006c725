"""Converts some rows of a file as a load would, to compare them with the stored rows of its source."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader, refuse_open_encoding, row_parser
from rtp_workers.batch.planning import PlannedFile
from rtp_workers.batch.rows import physical_lines
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.columns.encodings import decodes
from rtp_workers.mapping.infer import SAMPLE_BYTES
from rtp_workers.mapping.plan import Dialect, FilePlan
from rtp_workers.postgres.csv_loads import Progress

# A file up to this size is converted as a whole: most bank exports are smaller. Of a larger file only both ends are
# converted, where exports overlap. To convert and look up two thousand rows takes about 50 ms.
WHOLE_BYTES = 1 << 18
HEAD_BYTES = 1 << 16
TAIL_BYTES = 1 << 15
MAX_ROWS = 4_000
MAX_LETTERED_ROWS = 1_000
# Reasons of rows that are no transactions, however a file is read: every statement of some banks has such rows.
NO_TRANSACTIONS = frozenset({"balance_line", "repeated_header", "skipped_by_mapping", "blank_line", "blank_row"})


class ProbeRow(msgspec.Struct, frozen=True, gc=False):
    """One transaction of the file."""

    transaction_id: str
    occurred_at: str
    amount: str
    merchant: str | None = None
    status: str | None = None
    attributes: dict[str, Any] | None = None

    @property
    def day(self) -> str:
        """The date, as the file writes it."""
        return self.occurred_at[:10]


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows of a file.

    Attributes:
        rows: rows from the file's beginning and, if the file is long, from its end.
        whole: True if these are all rows that can be loaded.
        refused: how many of the transactions that were looked at cannot be loaded. Balance lines are none.
        refusal: why the first of these cannot be loaded.
    """

    rows: tuple[ProbeRow, ...]
    whole: bool
    refused: int = 0
    refusal: str = ""

    @property
    def first_day(self) -> str:
        """The earliest date among the rows."""
        return min(row.day for row in self.rows)

    @property
    def last_day(self) -> str:
        """The latest date among the rows."""
        return max(row.day for row in self.rows)


_DECODER = msgspec.json.Decoder(ProbeRow)


def probe(source: SourceFile, planned: PlannedFile) -> Probe:
    """Converts the file's first and last rows. The source's position does not change.

    Derived ids of the first rows are exact. Those of the last rows are exact unless the file repeats a row.

    Raises:
        ConfigError: the beginning left the encoding open, and a later letter does not fit what was assumed.
    """
    head, tail, whole = _ends(source, planned)
    dialect = planned.plan.dialect
    if dialect.encoding_is_open and not decodes(tail, dialect.encoding):
        refuse_open_encoding(source, dialect)
    rows, refused, refusal = _rows(head, planned.plan)
    last = _rows(tail, _headless(planned.plan))[0] if tail else []
    last = last[-MAX_ROWS // 2 :]
    shown = rows[: MAX_ROWS - len(last)] + last
    return Probe(tuple(shown), whole and len(shown) == len(rows), refused, refusal)


def cells(source: SourceFile, planned: PlannedFile) -> list[list[str]]:
    """Returns the cells of the file's first and last rows, unconverted. The source's position does not change."""
    head, tail, _ = _ends(source, planned)
    return _cells(head, planned.plan.dialect) + (_cells(tail, _headless(planned.plan).dialect) if tail else [])


def rows_beyond_ascii(source: SourceFile, planned: PlannedFile) -> list[dict[str, Any]]:
    """Returns some records with letters beyond ASCII, as they would be stored. The source is not moved.

    They come from the sample and from the file's end, at most `MAX_LETTERED_ROWS`. There are none for UTF-16.
    """
    dialect = planned.plan.dialect
    if dialect.encoding.startswith("utf-16"):
        return []
    sample = planned.sample.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = sample.split(b"\n")[dialect.first_data_line - 1 :] if not sample.isascii() else []
    if source.state is not None and len(planned.sample) >= SAMPLE_BYTES:
        lines[-1:] = _tail(source, planned).splitlines()  # the sample's last line may be cut off
    lines = [line for line in lines if not line.isascii()]
    data = b"\n".join(lines[:: -(-len(lines) // MAX_LETTERED_ROWS) or 1])
    records: list[dict[str, Any]] = []
    with suppress(ConfigError):  # a question that the load asks itself, once it is due
        records.extend(map(msgspec.json.decode, _values(data, _headless(planned.plan))))
    return records


def _values(data: bytes, plan: FilePlan) -> Iterator[bytes]:
    reader = BlockReader(io.BytesIO(data), plan.dialect.encoding)
    with closing(ChunkReader(reader, plan, Progress())) as chunks:
        for chunk in chunks.chunks():
            yield from chunk.encoded.values


def _ends(source: SourceFile, planned: PlannedFile) -> tuple[bytes, bytes, bool]:
    """Returns the file's first lines, its last lines, and whether the first ones are the whole file."""
    if len(planned.sample) < WHOLE_BYTES:
        return planned.sample, b"", True
    head = planned.sample[:HEAD_BYTES]
    head = head[: head.rfind(b"\n") + 1] or head
    return head, _tail(source, planned), False


def _headless(plan: FilePlan) -> FilePlan:
    """Returns the plan for lines from the middle of the file, where every line is a row."""
    dialect = dataclasses.replace(plan.dialect, first_data_line=1, encoding_is_open=False)
    return dataclasses.replace(plan, dialect=dialect)


def _cells(data: bytes, dialect: Dialect) -> list[list[str]]:
    reader = BlockReader(io.BytesIO(data), dialect.encoding)
    text = ""
    while (block := reader.next_block()) is not None:
        text += block.text
        reader.advance(block)
    lines = physical_lines(text)[dialect.first_data_line - 1 :]
    parser = row_parser(dialect, tells_quoted_empty=False)
    return parser.parse("".join(lines), dialect.first_data_line, at_end=True).cells


def _rows(data: bytes, plan: FilePlan) -> tuple[list[ProbeRow], int, str]:
    rows: list[ProbeRow] = []
    refused, refusal = 0, ""
    reader = BlockReader(io.BytesIO(data), plan.dialect.encoding)
    with closing(ChunkReader(reader, plan, Progress())) as chunks:
        for chunk in chunks.chunks():
            rows += map(_DECODER.decode, chunk.encoded.values)
            telling = [row for row in chunk.encoded.refused if row.reason not in NO_TRANSACTIONS]
            refused += len(telling)
            refusal = refusal or next((f"{row.reason}: {row.detail}" for row in telling), "")
    return rows, refused, refusal


def _tail(source: SourceFile, planned: PlannedFile) -> bytes:
    """Returns the last lines of the file, or of the sample if that is the whole file or the rest cannot be reached.

    Returns nothing for a file in UTF-16.
    """
    if planned.plan.dialect.encoding.startswith("utf-16"):
        return b""
    if source.state is None or source.is_packed:
        data = planned.sample[max(HEAD_BYTES, len(planned.sample) - TAIL_BYTES) : planned.sample.rfind(b"\n") + 1]
        return data[data.find(b"\n") + 1 :]
    data = source.read_at(max(HEAD_BYTES, source.state.size_bytes - TAIL_BYTES), TAIL_BYTES)
    return data[data.find(b"\n") + 1 :]


def pieces(ids: list[str], size: int = 1_000) -> Iterator[list[str]]:
    """Yields the ids in lists of at most `size`."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
