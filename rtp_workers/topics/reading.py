"""Record values in any known format -> documents.

A value that begins with the byte 0 is in the schema registry's wire format (byte 0, a schema id of four bytes, the
body). Every other value is JSON. https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from rtp_workers.errors import AttentionError, RecordError
from rtp_workers.record.documents import Document, decode_json, read_json
from rtp_workers.topics.envelopes import CONNECT_START, ConnectReader, NotAnInsertError, unwrap

MAGIC = b"\0"
HEADER_BYTES = 5

ReadBody = Callable[[bytes], Document]


class Schemas(Protocol):
    """A schema registry."""

    def reader(self, schema_id: int) -> ReadBody:
        """Returns a function that reads bodies of this schema.

        Raises:
            RecordError: the registry knows no such id.
            TransientError: the registry is away.
            AttentionError: the registry refuses us.
        """

    def avro_schema(self, schema_id: int) -> Any:
        """Returns the schema as fastavro parses it; None if it is not Avro. Raises what `reader` raises."""


@dataclass(slots=True)
class Documents:
    """The documents of a batch, by position. If a value holds none, it is None, and an error says why."""

    found: list[Document | None]
    errors: dict[int, RecordError] = field(default_factory=dict)


class DocumentReader:
    """Reads values of any known format, and takes rows out of Connect's and Debezium's envelopes.

    Args:
        schemas: the registry; None if none is set.
    """

    def __init__(self, schemas: Schemas | None = None) -> None:
        self._schemas = schemas
        self._connect = ConnectReader()

    def read(self, value: bytes | None) -> Document:
        """Returns the document of one value.

        Raises:
            RecordError: the value is not a document.
            NotAnInsertError: the value is a tombstone, or a change event that adds no row.
            TransientError: the registry is away; nothing is decided about the record.
            AttentionError: the registry refuses us, or a registry is needed and none is set.
        """
        if value is None:
            raise NotAnInsertError("a tombstone (no value)")
        return unwrap(self._read_framed(value) if value[:1] == MAGIC else read_json(value))

    def read_all(self, values: Sequence[bytes | None]) -> Documents:
        """Reads a batch. Raises only the errors of `read` that concern the registry."""
        documents = Documents([])
        append = documents.found.append
        for index, value in enumerate(values):
            try:
                if value is not None and value.startswith(CONNECT_START):
                    append(self._connect.row(value))
                    continue
                document = decode_json(value)  # type: ignore[arg-type]  # None raises TypeError
                if "payload" in document or "op" in document or "__op" in document or "__deleted" in document:
                    document = unwrap(document)
                append(document)
            except (TypeError, ValueError, RecursionError, RecordError, msgspec.MsgspecError):
                append(self._read_carefully(index, value, documents.errors))
        return documents

    def _read_carefully(self, index: int, value: bytes | None, errors: dict[int, RecordError]) -> Document | None:
        try:
            return self.read(value)
        except RecordError as error:
            errors[index] = error
            return None

    def _read_framed(self, value: bytes) -> Document:
        if len(value) < HEADER_BYTES:
            raise RecordError(
                "not_json", f"the value is neither JSON nor in a schema registry's format ({value!r:.60})"
            )
        schema_id = int.from_bytes(value[1:HEADER_BYTES], "big")
        if self._schemas is None:
            raise AttentionError(
                f"the values are in a schema registry's format (schema id {schema_id}); set RTP_SCHEMA_REGISTRY_URL"
            )
        return self._schemas.reader(schema_id)(value[HEADER_BYTES:])
