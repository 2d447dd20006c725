"""Finds rows with garbled texts: an earlier load read the same transactions in another encoding.

This concerns only files whose ids are in a column. With a corrected encoding, such a file has the same ids with other
texts, and all of its records would become dead letters. Derived ids keep the encoding in which they were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rtp_workers.batch.planning import PlannedFile
from rtp_workers.batch.probe import pieces, rows_beyond_ascii
from rtp_workers.batch.source_file import SourceFile
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells.texts import recoded
from rtp_workers.mapping.columns.encodings import EVERY_ENCODING
from rtp_workers.postgres import csv_sources
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.csv_sources import StoredTexts

TEXTS = ("customer_id", "merchant", "category", "payment_method", "status")


@dataclass(frozen=True, slots=True)
class Garbled:
    """One stored row whose text another encoding has garbled.

    Attributes:
        encoding: the encoding in which an earlier load read the row.
        stored: the row.
        right: one of its texts, as this file has it.
        wrong: the same text, as it is stored.
    """

    encoding: str
    stored: StoredTexts
    right: str
    wrong: str


def refuse_garbled_rows(connection: Connection, source: SourceFile, planned: PlannedFile) -> None:
    """Refuses a file whose ids are in a column, if some of its rows are stored with garbled texts.

    Args:
        connection: role rtp_ingest, in autocommit mode.
        source: the open file. Its position does not change.
        planned: a plan whose ids are in a column.

    Raises:
        ConfigError: there are such rows; the message has the commands that correct them and keep their ids.
    """
    if planned.overlap is not None:
        return
    rows = rows_beyond_ascii(source, planned)
    read_as = planned.plan.dialect.encoding
    found = _garbled_texts(connection, rows, read_as) or _garbled_ids(connection, rows, read_as)
    if found:
        raise _question(source.name, read_as, found)


def _garbled_texts(connection: Connection, rows: list[dict[str, Any]], read_as: str) -> list[Garbled]:
    """Returns the rows that are stored under their own id, with texts that another encoding has garbled."""
    stored = _stored(connection, [row["transaction_id"] for row in rows])
    differing = [row for row in rows if _differs(row, stored.get(row["transaction_id"]))]
    for encoding in EVERY_ENCODING if differing else ():
        found = [
            Garbled(encoding, there, *example)
            for row in differing
            if (example := _explained(row, there := stored[row["transaction_id"]], read_as, encoding)) is not None
        ]
        if found:
            return found
    return []


def _garbled_ids(connection: Connection, rows: list[dict[str, Any]], read_as: str) -> list[Garbled]:
    """Returns the rows that are stored under an id that another encoding has garbled."""
    ids = [row["transaction_id"] for row in rows if not row["transaction_id"].isascii()]
    for encoding in EVERY_ENCODING if ids else ():
        garbled = {wrong: right for right in ids if (wrong := _recoded(right, read_as, encoding)) != right}
        stored = _stored(connection, filter(None, garbled))
        if stored:
            return [Garbled(encoding, row, garbled[wrong], wrong) for wrong, row in stored.items()]
    return []


def _stored(connection: Connection, ids: Iterable[str]) -> dict[str, StoredTexts]:
    found: dict[str, StoredTexts] = {}
    for some in pieces(list(ids)):
        found.update(csv_sources.stored_texts(connection, some))
    return found


def _differs(row: Mapping[str, Any], stored: StoredTexts | None) -> bool:
    return stored is not None and _texts_of(row) != _texts_of(stored.texts)


def _explained(row: Mapping[str, Any], stored: StoredTexts, read_as: str, encoding: str) -> tuple[str, str] | None:
    """Returns a text of the file and the stored text, if both are the same bytes in two encodings; else None."""
    there = set(_texts_of(stored.texts))
    for text in _texts_of(row):
        if text not in there and (garbled := _recoded(text, read_as, encoding)) in there:
            return text, str(garbled)
    return None


def _texts_of(record: Mapping[str, Any]) -> list[str]:
    attributes = record.get("attributes") or {}
    cells = [record.get(name) for name in TEXTS] + [text for name in sorted(attributes) for text in (attributes[name],)]
    return [cell for cell in cells if isinstance(cell, str)]


def _recoded(text: str, read_as: str, encoding: str) -> str | None:
    try:
        return recoded(text, read_as, encoding)
    except UnicodeError:
        return None  # not from this file's bytes, but a constant of its section


def _question(name: str, read_as: str, found: list[Garbled]) -> ConfigError:
    first = found[0]
    loads = sorted({(row.stored.load_id or 0, row.stored.source.removeprefix("csv:")) for row in found})
    purges = [
        f"rtp purge --load {load_id}" if load_id else f"rtp purge --file {file} --by-name" for load_id, file in loads
    ]
    files = " and ".join(dict.fromkeys(file for _, file in loads))
    return ConfigError(
        f"{name} is not loaded: at least {len(found):,} of its rows are stored with garbled texts, from {files}, which "
        f'was read as {first.encoding}: "{first.wrong}" instead of "{first.right}". This file is read as {read_as}.\n'
        f"  If {read_as} is right, and you still have {files}: {'; '.join(purges)}; then load {files} again, and this "
        "file. The rows come back with the ids and the texts of their file\n"
        f"  If {first.encoding} is right: rtp load --encoding {first.encoding} {name}\n"
        f'  To keep the stored rows as they are: overlap = "same" in the section, or rtp load --overlap same. New rows '
        "are then stored, and the records of the garbled ones become dead letters, from which nothing is lost"
    )
