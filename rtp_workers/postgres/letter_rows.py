"""Dead letters as rows of a statement: headers as JSON, and no more rows at once than memory allows."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from rtp_workers.postgres.batch import KafkaRecord

PAGE_ROWS, PAGE_BYTES = 500, 1 << 20
_VALUE_AT = 6  # where a dead letter's row has its value


def pages(rows: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Divides dead letters among statements, because the client copies each several times, with values in hex."""
    page: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        page.append(row)
        size += len(row[_VALUE_AT] or b"")
        if len(page) >= PAGE_ROWS or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def headers_json(record: KafkaRecord) -> str:
    """Returns a record's headers as a JSON list of [name, base64 or null]."""
    headers = record.headers() or ()
    return json.dumps(
        [[_storable(name), None if value is None else base64.b64encode(value).decode()] for name, value in headers]
    )


def _storable(name: str) -> str:
    """A header's name without what jsonb cannot hold."""
    return name.encode("utf-8", "replace").decode().replace("\0", "�")
