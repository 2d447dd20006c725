"""The batch path and the record path give the same line for the same message, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtp_workers.errors import RecordError
from rtp_workers.record.codec import decode
from rtp_workers.record.copy_text import NULL, BatchDecoder, escape

texts = st.one_of(
    st.text(max_size=70),
    st.sampled_from(
        ["\\N", "\\.", "", "a\tb", "a\nb", "\x7f", "\x85", "é", "😀", "NaN", "EUR", "DE", "x" * 65, "x" * 501]
    ),
)
instants = st.one_of(
    texts,
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        [
            "2026-01-31T23:59:59.123456789+15:59",
            "2026-01-31t23:59:59z",
            "2026-01-31 23:59:59-00:00",
            "2026-01-31T23:59:60Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:00+01:60",
            "2026-01-31T12:00:00",
            "0000-01-01T00:00:00Z",
            "２０26-01-31T12:00:00Z",
        ]
    ),
)
amounts = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
    st.booleans(),
    st.none(),
    texts,
    st.sampled_from(
        [
            "12.50",
            "-0.01",
            "1e3",
            "+1",
            ".5",
            "5.",
            "00012",
            "1" * 21,
            "0." + "1" * 13,
            "0." + "1" * 18,
            "0." + "1" * 19,
            "1.50000000000000",
        ]
    ),
)
values = st.one_of(st.none(), st.integers(), st.booleans(), st.lists(st.integers(), max_size=2), texts)
optional = {
    name: st.one_of(st.none(), texts, values)
    for name in ("customer_id", "merchant", "category", "currency", "payment_method", "status", "country", "surprise")
}
attributes = st.one_of(values, st.dictionaries(st.text(max_size=5), values, max_size=3))
records: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"transaction_id": texts, "occurred_at": instants, "amount": amounts},
    optional={**optional, "attributes": attributes},
)


def _messages(record: dict[str, Any], ascii_only: bool, indent: int | None, cut: int) -> bytes:
    body = json.dumps(record, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    return body if cut == 0 else body[:-cut]


messages = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.builds(_messages, records, st.booleans(), st.sampled_from([None, 1]), st.sampled_from([0, 0, 0, 0, 1])),
)


def _by_record(message: bytes | None) -> str | None:
    try:
        decoded = decode(message)
    except RecordError:
        return None
    return "\t".join(NULL if text is None else escape(text) for text in decoded.texts)


# Judged by PostgreSQL alone in a batch (its CHECK constraints and parsers), and before that in a single record.
LEFT_TO_POSTGRES = ("_length", "_no_controls", "_code", "occurred_at_not_in_calendar", "occurred_at_range")


def _left_to_postgres(message: bytes | None) -> bool:
    try:
        decode(message)
    except RecordError as error:
        return error.reason.endswith(LEFT_TO_POSTGRES)
    return False


@given(st.lists(messages, max_size=6))
def test_a_batch_gives_the_lines_that_its_records_give_one_by_one(batch: list[bytes | None]) -> None:
    result = BatchDecoder().lines(batch)
    refused = {refusal.index for refusal in result.refusals}
    assert refused == {index for index, line in enumerate(result.lines) if line is None}
    for index, (message, line) in enumerate(zip(batch, result.lines, strict=True)):
        alone = _by_record(message)
        if line != alone:
            assert index not in refused
            assert _left_to_postgres(message)


@given(st.lists(messages, max_size=6))
def test_every_line_has_exactly_one_cell_a_field(batch: list[bytes | None]) -> None:
    for line in BatchDecoder().lines(batch).lines:
        if line is not None:
            assert line.count("\t") == 10
            assert "\n" not in line
            assert "\r" not in line
