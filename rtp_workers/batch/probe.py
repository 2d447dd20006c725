"""A few rows of a file as they would be stored, to be compared with what is stored of its source."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader
from rtp_workers.batch.planning import PlannedFile
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.postgres.csv_loads import Progress

HEAD_BYTES = 1 << 18
TAIL_BYTES = 1 << 17
MAX_ROWS = 4_000


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
        """The date, as written."""
        return self.occurred_at[:10]


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows of a file.

    Attributes:
        rows: from its beginning, and from its end where it is long.
        whole: these are all rows that can be loaded.
        refused: how many of the rows that were looked at cannot be loaded.
        refusal: why, of the first one.
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
    """Converts the file's first and last rows. The source is not moved.

    Ids that are derived are exact at the beginning. At the end they are, unless a row is repeated in the file.
    """
    head = planned.sample[:HEAD_BYTES]
    whole = len(planned.sample) < HEAD_BYTES
    if not whole:
        head = head[: head.rfind(b"\n") + 1] or head
    rows, refused, refusal = _rows(head, planned.plan)
    if not whole and (tail := _tail(source, planned)):
        plan = planned.plan
        inside = dataclasses.replace(plan, dialect=dataclasses.replace(plan.dialect, first_data_line=1))
        rows += _rows(tail, inside)[0]
    return Probe(tuple(rows[:MAX_ROWS]), whole and len(rows) <= MAX_ROWS, refused, refusal)


def _rows(data: bytes, plan: FilePlan) -> tuple[list[ProbeRow], int, str]:
    rows: list[ProbeRow] = []
    refused, refusal = 0, ""
    reader = BlockReader(io.BytesIO(data), plan.dialect.encoding)
    with closing(ChunkReader(reader, plan, Progress())) as chunks:
        for chunk in chunks.chunks():
            rows += map(_DECODER.decode, chunk.encoded.values)
            refused += len(chunk.encoded.refused)
            refusal = refusal or next((f"{row.reason}: {row.detail}" for row in chunk.encoded.refused), "")
    return rows, refused, refusal


def _tail(source: SourceFile, planned: PlannedFile) -> bytes:
    """Returns the last lines of a plain file; nothing of one that is packed, or written in two bytes a letter."""
    if source.state is None or source.is_packed or planned.plan.dialect.encoding.startswith("utf-16"):
        return b""
    start = max(len(planned.sample) if source.state.size_bytes > len(planned.sample) else HEAD_BYTES, 0)
    data = source.read_at(max(start, source.state.size_bytes - TAIL_BYTES), TAIL_BYTES)
    return data[data.find(b"\n") + 1 :]


def pieces(ids: list[str], size: int = 1_000) -> Iterator[list[str]]:
    """Yields ids in lists of at most `size`."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
