"""Avro in the registry's wire format -> columns of cells. Unusual records are left to the careful path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rtp_workers.errors import RecordError
from rtp_workers.record.documents import encode_json
from rtp_workers.topics.avro import ABSENT, ReadRow, Row, RowReader
from rtp_workers.topics.avro_values import UNREADABLE, NotReadableHereError
from rtp_workers.topics.extract import texts_of
from rtp_workers.topics.json_rows import NO_ROWS, Rows, escaped
from rtp_workers.topics.layout import LeftOver, attributes_of
from rtp_workers.topics.paths import Path
from rtp_workers.topics.reading import HEADER_BYTES, MAGIC, Schemas


class AvroRows:
    """Reads the Avro of one topic. Not thread-safe.

    Args:
        schemas: the schema registry.
        paths: the paths to read. None leads through a list, and none leads into another.
        dropped: the paths to leave out.
    """

    def __init__(self, schemas: Schemas, paths: Sequence[Path], dropped: Sequence[Path]) -> None:
        self._schemas, self._paths, self._dropped = schemas, tuple(paths), tuple(dropped)
        self._readers: dict[bytes, RowReader | None] = {}

    def read(self, values: Sequence[bytes | None]) -> Iterator[Rows]:
        """Yields the records that can be read here, schema by schema.

        Raises:
            TransientError: the registry is away.
            AttentionError: the registry needs a person.
        """
        heads = dict.fromkeys(value[:HEADER_BYTES] for value in values if value is not None and value[:1] == MAGIC)
        for head in heads:
            reader = self._reader(head)
            if reader is not None:
                yield self._rows(reader, head, values)

    def _rows(self, reader: RowReader, head: bytes, values: Sequence[bytes | None]) -> Rows:
        places, rows = _decoded(reader.row, head, values)
        if not rows:
            return NO_ROWS
        columns = list(zip(*rows, strict=True))
        unfit: set[int] = set()
        cells = []
        for column in columns[: len(self._paths)]:
            texts, without = texts_of(column)
            unfit.update(without)
            cells.append(texts)
        first = len(self._paths)
        attributes = _attributes(reader.left_over, columns[first : first + reader.left_overs], len(rows), unfit)
        return Rows(places, cells, attributes).without(unfit)

    def _reader(self, head: bytes) -> RowReader | None:
        """Returns a reader for bodies of a schema; None if the careful path must read them or say what is wrong."""
        if len(head) < HEADER_BYTES:
            return None
        if head not in self._readers:
            try:
                schema = self._schemas.avro_schema(int.from_bytes(head[1:], "big"))
            except RecordError:
                return None  # the registry may know it later
            self._readers[head] = self._make_reader(schema)
        return self._readers[head]

    def _make_reader(self, schema: Any) -> RowReader | None:
        try:
            return RowReader(schema, self._paths, self._dropped) if schema is not None else None
        except NotReadableHereError:
            return None


def _decoded(read: ReadRow, head: bytes, values: Sequence[bytes | None]) -> tuple[list[int], list[Row]]:
    places: list[int] = []
    rows: list[Row] = []
    for index, value in enumerate(values):
        if value is None or not value.startswith(head):
            continue
        try:
            rows.append(read(value))
            places.append(index)
        except UNREADABLE:
            continue
    return places, rows


def _attributes(left_over: LeftOver, columns: Sequence[Sequence[Any]], rows: int, unfit: set[int]) -> list[str]:
    texts = [
        escaped(["" if value is ABSENT else encode_json(value).decode() for value in column], unfit)
        for column in columns
    ]
    return attributes_of(left_over, texts, rows)
