"""Plain JSON of a known layout -> columns of cells. Unusual records are left to the careful path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rtp_workers.record.documents import MOST_DIGITS, Document
from rtp_workers.topics.envelopes import MARKS
from rtp_workers.topics.layout import Decoding, Layout, attributes_of

# If more than one record in this many does not fit, the layout learns from those records.
MISFITS_IN = 20
LEARN_FROM = 500
# After a batch that mostly did not fit and had nothing new to learn, this many batches take the careful path.
RESTS_FOR = 100
_NUMBERS = re.compile(r"(?:(?!-0\n)-?[0-9]+(?:\.[0-9]+)?\n)*+")
_PLAIN_LITERAL = re.compile(r'(?!-0$)-?[0-9]+(?:\.[0-9]+)?|true|false|null|"[^"\\]*"')
# JSON's escapes, without those that no text column can store: U+0000 and half a surrogate pair.
_ESCAPED = re.compile(r'(?:[^\\]|\\(?:["\\/bfnrt]|u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4}))*+')
_BLANKS = str.maketrans("\t\n\r", "   ")


@dataclass(frozen=True, slots=True)
class Rows:
    """Records of a batch that fit the layout.

    Attributes:
        places: positions of these records in the batch.
        cells: one column of texts per path, ``""`` for a missing value.
        attributes: the rest of each record as JSON, ``""`` if nothing is left.
    """

    places: list[int]
    cells: list[list[str]]
    attributes: list[str]

    def without(self, unfit: set[int]) -> Rows:
        """Returns the rows except some, which are given by their position among these."""
        if not unfit:
            return self
        fit = [at for at in range(len(self.places)) if at not in unfit]
        cells = [[column[at] for at in fit] for column in self.cells]
        return Rows([self.places[at] for at in fit], cells, [self.attributes[at] for at in fit])


NO_ROWS = Rows([], [], [])


class JsonRows:
    """Reads the JSON of one topic, and learns its layout while reading. Not thread-safe."""

    def __init__(self, layout: Layout | None) -> None:
        self._layout = layout
        self._decoding: Decoding | None = None
        self._resting = 0

    def read(self, values: Sequence[bytes | None]) -> Rows:
        """Returns the records that fit the layout known so far."""
        if self._decoding is None or self._resting:
            self._resting = max(0, self._resting - 1)
            return NO_ROWS
        places, rows = _decoded(self._decoding, values)
        if not rows:
            return NO_ROWS
        columns = list(zip(*rows, strict=True))
        unfit: set[int] = set()
        raw, paths = self._decoding.raw, len(self._decoding.raw)
        cells = [
            _literals(column, unfit) if as_raw else _texts(column) for column, as_raw in zip(columns, raw, strict=False)
        ]
        kept = [_json_texts(column, unfit) for column in columns[paths : paths + self._decoding.members]]
        attributes = attributes_of(self._decoding.left_over, kept, len(rows))
        return Rows(places, cells, attributes).without(unfit)

    def learn(self, documents: Sequence[Document], records: int) -> None:
        """Learns from documents that did not fit. Call it before anything is taken out of them.

        Args:
            documents: the documents that did not fit.
            records: how many records the batch had.
        """
        if self._layout is None or self._resting or len(documents) * MISFITS_IN < records:
            return
        learned = self._layout.learn(document for document in documents[:LEARN_FROM] if MARKS.isdisjoint(document))
        if learned or self._decoding is None:
            self._decoding = self._layout.decoding()
        elif len(documents) * 2 > records:
            self._resting = RESTS_FOR
        if self._layout.is_too_large:
            self._layout = self._decoding = None


def _decoded(decoding: Decoding, values: Sequence[bytes | None]) -> tuple[list[int], list[tuple[Any, ...]]]:
    places: list[int] = []
    rows: list[tuple[Any, ...]] = []
    decode, take, place, append = decoding.decode, decoding.take, places.append, rows.append
    for index, value in enumerate(values):
        try:
            append(take(decode(value)))  # type: ignore[arg-type]  # None raises TypeError
            place(index)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            continue
    return places, rows


def _texts(column: Sequence[str | None]) -> list[str]:
    return [text or "" for text in column] if None in column else list(column)  # type: ignore[arg-type]  # no None in it


def _literals(column: Sequence[msgspec.Raw], unfit: set[int]) -> list[str]:
    """Returns the text of each value. Only plain numbers, words and texts fit."""
    texts = _decoded_texts(column, unfit)
    if _NUMBERS.fullmatch("\n".join(texts) + "\n"):
        return texts
    for at, text in enumerate(texts):
        if _PLAIN_LITERAL.fullmatch(text) is None:
            unfit.add(at)
    return ["" if text == "null" else text[1:-1] if text[:1] == '"' else text for text in texts]


def _json_texts(column: Sequence[msgspec.Raw], unfit: set[int]) -> list[str]:
    texts = escaped(_decoded_texts(column, unfit), unfit)
    unfit.update(at for at, text in enumerate(texts) if len(text) > MOST_DIGITS)  # it may be a number as long as that
    if "".join(texts).isprintable():
        return texts
    # Line ends and tabs occur only between members: inside a text, JSON escapes them.
    return [text.translate(_BLANKS) for text in texts]


def escaped(texts: list[str], unfit: set[int]) -> list[str]:
    """Escapes JSON for COPY. A text that PostgreSQL would refuse does not fit."""
    if "\\" not in "".join(texts):
        return texts
    unfit.update(at for at, text in enumerate(texts) if "\\" in text and not _ESCAPED.fullmatch(text))
    return [text.replace("\\", "\\\\") for text in texts]


def _decoded_texts(column: Sequence[msgspec.Raw], unfit: set[int]) -> list[str]:
    try:
        return [str(raw, "utf-8") for raw in column]
    except UnicodeDecodeError:
        unfit.update(at for at, raw in enumerate(column) if not _is_utf8(raw))
        return [str(raw, "utf-8", "replace") for raw in column]


def _is_utf8(raw: msgspec.Raw) -> bool:
    try:
        bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True
