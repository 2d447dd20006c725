"""Turns records into lines of PostgreSQL's COPY text format, a batch at a time.

Python's work per record is the most expensive part of ingestion. So each record is decoded by one C call, and the
checks run once per batch: `forms` checks the form of all instants and amounts together. PostgreSQL's own parsers and
CHECK constraints check lengths, codes, calendar and ranges. Every record that is not plainly fine goes through
`codec`, one by one. Both ways give the same line for the same record; a property test makes sure of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rtp_workers.errors import RecordError
from rtp_workers.record.codec import decode
from rtp_workers.record.forms import amounts_have_form, instants_have_form
from rtp_workers.record.transaction import FIELD_NAMES, FIELDS, MAX_SOURCE_LENGTH

NULL = "\\N"
UNKNOWN_SOURCE = "unknown"
MAX_LOAD_DIGITS = 18  # always fits a bigint
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_AMOUNT, _OCCURRED_AT, _ATTRIBUTES = map(FIELD_NAMES.index, ("amount", "occurred_at", "attributes"))


def _struct(amount: type) -> Any:
    """Returns a flat view of the record, derived from its declaration. Absent fields already hold COPY's NULL."""
    fields: list[Any] = []
    for declared in FIELDS:
        kind: Any = {"amount": amount, "attributes": msgspec.Raw}.get(declared.name, str)
        if declared.required:
            fields.append((declared.name, kind))
        else:
            fields.append((declared.name, kind if kind is msgspec.Raw else kind | None, NULL))
    return msgspec.defstruct("Line", fields, forbid_unknown_fields=True, gc=False)


# A feed sends amounts as text or as numbers, and hardly ever mixes them. So the decoder that fitted last goes first.
_AMOUNT_AS_TEXT = msgspec.json.Decoder(_struct(str)).decode
_AMOUNT_AS_RAW = msgspec.json.Decoder(_struct(msgspec.Raw)).decode
_astuple = msgspec.structs.astuple


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that breaks a rule. ``index`` is its place in the batch.

    The error itself is not kept: its traceback would keep the whole batch alive until a garbage collection.
    """

    index: int
    reason: str
    detail: str


@dataclass(slots=True)
class Lines:
    """A decoded batch.

    Attributes:
        lines: for each message the COPY line of the record's own fields, without a line end; None if it was refused.
        refusals: the refused ones.
        unknown_fields: how many fields were seen that are not fields of the record.
        careful: how many records went through `codec`.
    """

    lines: list[str | None]
    refusals: list[Refusal] = field(default_factory=list)
    unknown_fields: int = 0
    careful: int = 0


def escape(text: str) -> str:
    """Returns `text` with the escapes of COPY's text format."""
    return text.translate(_ESCAPES)


def source_text(headers: Sequence[tuple[str, bytes | None]] | None) -> str:
    """Returns the escaped `source` of a record; ``unknown`` if the header is missing or cannot be stored."""
    for name, value in headers or ():
        if name == "source":
            return _source(value)
    return UNKNOWN_SOURCE


def load_text(value: bytes | None) -> str:
    """Returns the `load_id` in a header ``load``; COPY's NULL if it does not contain one."""
    if value is None or not value.isdigit() or len(value) > MAX_LOAD_DIGITS:
        return NULL
    return str(int(value))


def _source(value: bytes | None) -> str:
    try:
        text = (value or b"").decode()
    except UnicodeDecodeError:
        return UNKNOWN_SOURCE
    if not text or len(text) > MAX_SOURCE_LENGTH or "\0" in text:
        return UNKNOWN_SOURCE
    return escape(text)


class BatchDecoder:
    """Turns message bodies into COPY lines. It remembers which form of amount the feed uses. Not thread-safe."""

    def __init__(self) -> None:
        self._amount_is_text = True

    def lines(self, values: Sequence[bytes | None]) -> Lines:
        """Decodes a batch.

        Args:
            values: message bodies as received.

        Returns:
            A line or a refusal for each, in the order given.
        """
        lines, times, amounts, odd = self._fast(values)
        result = Lines(lines)
        if not (instants_have_form(times) and amounts_have_form(amounts)):
            odd = list(range(len(values)))
        for index in odd:
            self._careful(result, index, values[index])
        return result

    def _fast(self, values: Sequence[bytes | None]) -> tuple[list[str | None], list[str], list[str], list[int]]:
        decode_line = _AMOUNT_AS_TEXT if self._amount_is_text else _AMOUNT_AS_RAW
        amount_is_text = self._amount_is_text
        lines: list[str | None] = []
        times: list[str] = []
        amounts: list[str] = []
        odd: list[int] = []
        append, at, of, join = lines.append, times.append, amounts.append, "\t".join
        for index, value in enumerate(values):
            try:
                # Without a backslash the body has no escapes, so no decoded text can contain a control character.
                if value is None or b"\\" in value:
                    raise TypeError
                texts: Sequence[Any] = _astuple(decode_line(value))
                if texts[_ATTRIBUTES] is not NULL or not amount_is_text or None in texts:
                    texts = _with_raws(texts)
                append(join(texts))
                at(texts[_OCCURRED_AT])
                of(texts[_AMOUNT])
            except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
                append(None)
                odd.append(index)
                if len(odd) == 1:
                    decode_line = self._other_decoder(value) or decode_line
                    amount_is_text = self._amount_is_text
        return lines, times, amounts, odd

    def _other_decoder(self, value: bytes | None) -> Any:
        """Returns the decoder for the other form of amount if it fits this body, else None."""
        other = _AMOUNT_AS_RAW if self._amount_is_text else _AMOUNT_AS_TEXT
        try:
            other(value or b"")
        except (ValueError, RecursionError, msgspec.MsgspecError):
            return None
        self._amount_is_text = not self._amount_is_text
        return other

    def _careful(self, result: Lines, index: int, value: bytes | None) -> None:
        result.careful += 1
        try:
            decoded = decode(value)
        except RecordError as error:
            result.lines[index] = None
            result.refusals.append(Refusal(index, error.reason, error.detail))
            return
        result.unknown_fields += decoded.unknown_fields
        result.lines[index] = "\t".join(NULL if text is None else escape(text) for text in decoded.texts)


def _with_raws(texts: Sequence[Any]) -> list[str]:
    """Turns fields that were kept as received (a number as amount, attributes) into text, JSON's null into NULL."""
    made: list[Any] = [NULL if text is None else text for text in texts]
    if not isinstance(made[_AMOUNT], str):
        literal = str(bytes(made[_AMOUNT]), "ascii")
        made[_AMOUNT] = literal[1:-1] if literal[:1] == '"' else literal
    if made[_ATTRIBUTES] is not NULL:
        text = str(bytes(made[_ATTRIBUTES]), "utf-8")
        if text == "null":
            text = NULL
        elif text[:1] != "{":
            raise TypeError
        made[_ATTRIBUTES] = text.translate(_ESCAPES) if "\n" in text or "\t" in text or "\r" in text else text
    return made
