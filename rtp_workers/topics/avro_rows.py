"""Avro in the registry's wire format -> columns of cells. Unusual records are left to the careful path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from rtp_workers.errors import RecordError
from rtp_workers.record.documents import encode_json
from rtp_workers.topics.avro import ABSENT, ReadRow, Row, RowReader
from rtp_workers.topics.avro_pattern import BodyPattern
from rtp_workers.topics.avro_schema import AvroSchema, plan_rows
from rtp_workers.topics.avro_values import UNREADABLE, NotReadableHereError
from rtp_workers.topics.extract import texts_of
from rtp_workers.topics.json_rows import NO_ROWS, Rows, escaped
from rtp_workers.topics.layout import attributes_of
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
        self._readers: dict[bytes, _SchemaReader | None] = {}

    def read(self, values: Sequence[bytes | None]) -> Iterator[Rows]:
        """Yields the records that can be read here, schema by schema.

        Raises:
            TransientError: the registry is away.
            AttentionError: the registry needs a person.
        """
        heads = [value[:HEADER_BYTES] if value is not None else b"" for value in values]
        for head in dict.fromkeys(heads):
            reader = self._reader(head) if head.startswith(MAGIC) else None
            if reader is not None:
                yield from reader.rows(values, [at for at, one in enumerate(heads) if one == head])

    def _reader(self, head: bytes) -> _SchemaReader | None:
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

    def _make_reader(self, schema: Any) -> _SchemaReader | None:
        try:
            return _SchemaReader(AvroSchema(schema), self._paths, self._dropped) if schema is not None else None
        except NotReadableHereError:
            return None


class _SchemaReader:
    """Reads the bodies of one schema: short ones by its pattern, and the others one after the other.

    Raises:
        NotReadableHereError: the schema needs the careful path.
    """

    def __init__(self, schema: AvroSchema, paths: Sequence[Path], dropped: Sequence[Path]) -> None:
        self._plan = plan_rows(schema, paths, dropped)
        self._read = RowReader(schema, self._plan).row
        self._pattern: BodyPattern | None = None
        with suppress(NotReadableHereError):
            self._pattern = BodyPattern(schema, self._plan)

    def rows(self, values: Sequence[Any], places: list[int]) -> Iterator[Rows]:
        """Yields the records that can be read.

        Args:
            values: the values of the batch.
            places: the positions of those that were written with this schema.
        """
        if self._pattern is not None:
            matched, places = self._matched(self._pattern, values, places)
            yield matched
        yield self._one_by_one(values, places)

    def _matched(self, pattern: BodyPattern, values: Sequence[Any], places: list[int]) -> tuple[Rows, list[int]]:
        """Returns the records that match the pattern, and the positions of the others."""
        groups = pattern.groups([values[at] for at in places])
        others = [at for at, found in zip(places, groups, strict=True) if found is None]
        if others:
            places = [at for at, found in zip(places, groups, strict=True) if found is not None]
        if not places:
            return NO_ROWS, others
        unfit: set[int] = set()
        texts = pattern.texts([found for found in groups if found is not None], unfit)
        return self._rows(places, texts, unfit), others

    def _one_by_one(self, values: Sequence[Any], places: list[int]) -> Rows:
        places, rows = _decoded(self._read, values, places)
        if not rows:
            return NO_ROWS
        columns = list(zip(*rows, strict=True))
        unfit: set[int] = set()
        texts: list[list[str]] = []
        for column in columns[: self._plan.cells]:
            cells, without = texts_of(column)
            unfit.update(without)
            texts.append(cells)
        texts += [_json_texts(column, unfit) for column in columns[self._plan.cells :]]
        return self._rows(places, texts, unfit)

    def _rows(self, places: list[int], texts: list[list[str]], unfit: set[int]) -> Rows:
        cells, kept = texts[: self._plan.cells], texts[self._plan.cells :]
        return Rows(places, cells, attributes_of(self._plan.left_over, kept, len(places))).without(unfit)


def _decoded(read: ReadRow, values: Sequence[Any], places: Sequence[int]) -> tuple[list[int], list[Row]]:
    read_places: list[int] = []
    rows: list[Row] = []
    for at in places:
        try:
            rows.append(read(values[at]))
            read_places.append(at)
        except UNREADABLE:
            continue
    return read_places, rows


def _json_texts(column: Sequence[Any], unfit: set[int]) -> list[str]:
    return escaped(["" if value is ABSENT else encode_json(value).decode() for value in column], unfit)
