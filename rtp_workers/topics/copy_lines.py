"""Columns of field texts -> COPY lines. A column that surely breaks no rule is used as it is, else text by text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat

from rtp_workers.errors import RecordError
from rtp_workers.record.codec import check_text
from rtp_workers.record.copy_text import NULL, escape
from rtp_workers.record.documents import Document, encode_json
from rtp_workers.record.forms import amounts_have_form, instants_have_form
from rtp_workers.record.transaction import FIELDS, Field

# Instants of these years are within the record's range in every time zone.
SAFE_YEARS = frozenset(str(year) for year in range(1901, 2100))

Refused = dict[int, tuple[str, str]]
Columns = Mapping[str, Sequence[str]]


def copy_lines(columns: Columns, attributes: Callable[[], Sequence[str]], refused: Refused) -> list[str]:
    """Returns one line per record. The line of a refused record has no meaning.

    Args:
        columns: by field, one text per record; ``""`` is null. ``attributes`` is not among them.
        attributes: returns the attributes as JSON, escaped for COPY; ``""`` is null. Called last, because if a record
            has several faults, the first field's counts.
        refused: records that are refused already. Records that break a rule are added.
    """
    parts: list[Iterable[str]] = []
    for declared in FIELDS:
        if declared.name == "attributes":
            parts.append([text or NULL for text in attributes()])
        elif declared.name in columns:
            parts.append(_texts(declared, columns[declared.name], refused))
        else:
            parts.append(repeat(NULL))
    return list(map("\t".join, zip(*parts, strict=False)))


def check_record(columns: Columns, document: Document, refused: Refused) -> dict[str, str]:
    """Checks every rule for the one record in `columns`, and returns its fields without null ones.

    Raises:
        RecordError: the record is refused already, or breaks a rule.
    """
    for declared in FIELDS:
        if declared.name in columns:
            _judge(declared, 0, columns[declared.name][0], refused)
    attributes_of([document], refused)
    if refused:
        raise RecordError(*refused[0])
    return {name: column[0] for name, column in columns.items() if column[0]}


def _texts(declared: Field, column: Sequence[str], refused: Refused) -> Iterable[str]:
    joined = "".join(column)
    if not _is_plain(declared, column, joined):
        for index, text in enumerate(column):
            _judge(declared, index, text, refused)
    if "\\" in joined or not joined.isprintable():
        column = [escape(text) for text in column]
    return [text or NULL for text in column] if "" in column else column


def _is_plain(declared: Field, column: Sequence[str], joined: str) -> bool:
    """Tells whether a column surely breaks no rule. False may also mean that each text must be judged."""
    if declared.name == "occurred_at":
        return instants_have_form(column) and {text[:4] for text in column} <= SAFE_YEARS
    if declared.name == "amount":
        return amounts_have_form(column)
    if declared.required and "" in column:
        return False
    return joined.isprintable() and max(map(len, column)) <= (declared.rule.max_length or 0)


def _judge(declared: Field, index: int, text: str, refused: Refused) -> None:
    if index in refused or (not text and not declared.required):
        return
    try:
        check_text(declared, text)
    except RecordError as error:
        refused[index] = (error.reason, error.detail)


def attributes_of(documents: Sequence[Document], refused: Refused) -> list[str]:
    """Returns the rest of each document as JSON, escaped for COPY; ``""`` if nothing is left."""
    bodies = [encode_json(document) for document in documents]
    text = b"\n".join(bodies).decode()
    if "\\" in text:
        if "\\u0000" in text:
            _refuse_nul(bodies, refused)
        text = text.replace("\\", "\\\\")
    return [body if body != "{}" else "" for body in text.split("\n")]


def _refuse_nul(bodies: Sequence[bytes], refused: Refused) -> None:
    for index, body in enumerate(bodies):
        if b"\\u0000" in body.replace(b"\\\\", b""):
            refused.setdefault(index, ("nul_in_text", "the record contains U+0000, which no text column can store"))
