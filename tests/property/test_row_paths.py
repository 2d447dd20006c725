"""The fast path and the careful path give the same records and the same refusals, whatever the text."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.quoted_record import QUOTED_EMPTY
from rtp_workers.batch.row_encoder import Encoded, RowEncoder
from rtp_workers.batch.rows import RowParser, Rows, unquoted_lines
from rtp_workers.errors import RecordError
from rtp_workers.record import codec
from rtp_workers.record.transaction import FIELD_NAMES, Transaction

COLUMNS = FIELD_NAMES[:-1]
CELLS = {
    "transaction_id": st.sampled_from(["T1", "", "x" * 64, "x" * 65, "é", "a\tb", "a\x85b", "ключ", "\x7f", "a\\b"]),
    "occurred_at": st.sampled_from(
        [
            "2026-01-31T13:45:00Z",
            "2026-01-31 13:45:00.123456789+15:59",
            "2026-02-29T00:00:00Z",
            "2024-02-29T00:00:00Z",
            "1900-02-28T23:59:59Z",
            "1900-01-01T00:00:00+01:00",
            "2100-12-31T23:59:59.9999999Z",
            "2101-01-01T00:00:00+02:00",
            "2026-04-31T00:00:00Z",
            "2026-12-31T24:00:00Z",
            "2026-12-31T23:59:60Z",
            "2026-12-31t23:59:59z",
            "2026-12-31T23:59:59",
            "2026-12-31T23:59:59+16:00",
            "٢٠٢٦-12-31T23:59:59Z",
            "now",
            "",
        ]
    ),
    "amount": st.one_of(
        st.sampled_from(["1", "-1.50", "0012.5", "1" * 20, "1" * 21, "0." + "1" * 12, "0." + "1" * 13, "1.", ".5"]),
        st.sampled_from(["+1", "1e3", "NaN", "", "0x10", "1_000", " 1", "١"]),
    ),
    "currency": st.sampled_from(["EUR", "", "eur", "EURO", "ÄBC", "EUR "]),
    "country": st.sampled_from(["DE", "", "de", "D", "DEU"]),
}
TEXT = st.one_of(
    st.sampled_from(
        ["", "card", "a" * 64, "a" * 65, "a" * 100, "a" * 501, "ü" * 64, "😀" * 64, "\\", "\x7f", "\x1f", "\x00"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\r\n",'), max_size=8),
)
ROW = st.tuples(*(CELLS.get(name, TEXT) for name in COLUMNS))
LIKELY = st.tuples(*(st.sampled_from(["", "é"]) if name not in CELLS else CELLS[name].filter(bool) for name in COLUMNS))
ROWS = st.lists(st.one_of(ROW, LIKELY), min_size=1, max_size=12)


def outcome(encoded: Encoded) -> tuple[list[bytes], list[bytes], list[tuple[int, str]]]:
    return encoded.values, encoded.keys, [(row.line, row.reason) for row in encoded.refused]


def one_by_one(rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> Encoded:
    """The reference: a Transaction per row, checked and encoded."""
    encoded = Encoded()
    encoder = RowEncoder(columns)
    for line, row in enumerate(rows, 2):
        one = encoder.encode_cells([row], [line], [""], {0})
        encoded.values += one.values
        encoded.keys += one.keys
        encoded.refused += one.refused
    return encoded


@given(ROWS)
@settings(max_examples=400)
def test_lines_encode_as_their_rows_do_one_by_one(rows: list[tuple[str, ...]]) -> None:
    text = "".join(",".join(row) + "\n" for row in rows)
    parser = RowParser(",", '"', len(COLUMNS))
    fast = RowEncoder(COLUMNS).encode_lines(text, 2, parser.refusal)
    assert outcome(fast) == outcome(one_by_one(rows))


@given(ROWS)
def test_cells_encode_as_their_rows_do_one_by_one(rows: list[tuple[str, ...]]) -> None:
    fast = RowEncoder(COLUMNS).encode_cells(rows, range(2, 2 + len(rows)), [""] * len(rows), set())
    assert outcome(fast) == outcome(one_by_one(rows))


@given(ROWS, st.permutations(COLUMNS))
def test_the_order_of_columns_does_not_matter(rows: list[tuple[str, ...]], order: list[str]) -> None:
    turned = [tuple(row[COLUMNS.index(name)] for name in order) for row in rows]
    text = "".join(",".join(row) + "\n" for row in turned)
    parser = RowParser(",", '"', len(order))
    assert outcome(RowEncoder(order).encode_lines(text, 2, parser.refusal)) == outcome(one_by_one(rows))


@given(ROWS)
def test_what_is_encoded_decodes_to_the_cells(rows: list[tuple[str, ...]]) -> None:
    text = "".join(",".join(row) + "\n" for row in rows)
    encoded = RowEncoder(COLUMNS).encode_lines(text, 2, RowParser(",", '"', len(COLUMNS)).refusal)
    refused = {row.line for row in encoded.refused}
    kept = [row for line, row in enumerate(rows, 2) if line not in refused]
    for row, value, key in zip(kept, encoded.values, encoded.keys, strict=True):
        cells = dict(zip(COLUMNS, row, strict=True))
        assert codec.decode(value).texts == (*(cell or None for cell in row), None)
        assert key == (cells["customer_id"] or cells["transaction_id"]).encode()


OBJECTS = st.one_of(
    st.sampled_from(
        [
            "",
            "{}",
            '{ "b": 1.50, "a": [1, null], "b": true }',
            '{"currency":"","attributes":{}}',
            '{"a":",\\"currency\\":\\"\\""}',
            '{"a":"\\u0000"}',
            '{"a":"\\\\u0000"}',
            '{"a":"\\ud800"}',
            '{"a":1e400}',
            '{"a":123456789012345678901234567890.10}',
            '{"a":1},{"b":2}',
            '{"a":1',
            '{"a":' + "[" * 1_010,
            "[1]",
            "null",
            "x",
            '{"a":' * 5_000 + "1" + "}" * 5_000,
            '{"a":"' + "é" * 3_000 + '"}',
            '{"a":"' + "é" * 5_000 + '"}',
            '{"é":"\u2028"}',
        ]
    ),
    st.dictionaries(st.text(max_size=3), st.floats() | st.text(max_size=3), max_size=3).map(json.dumps),
)
WITH_OBJECTS = st.lists(
    st.tuples(st.one_of(ROW, LIKELY, LIKELY), OBJECTS).map(lambda pair: (*pair[0], pair[1])), max_size=9
)


@given(WITH_OBJECTS, st.permutations(FIELD_NAMES))
def test_attributes_encode_as_they_do_one_by_one(rows: list[tuple[str, ...]], order: list[str]) -> None:
    turned = [tuple(row[FIELD_NAMES.index(name)] for name in order) for row in rows]
    fast = RowEncoder(order).encode_cells(turned, range(2, 2 + len(rows)), [""] * len(rows), set())
    assert outcome(fast) == outcome(one_by_one(rows, FIELD_NAMES))


class OneByOne(RowParser):
    """The reference: every record is read on its own."""

    def _add_run(self, rows: Rows, lines: Sequence[str], first_line: int) -> bool:
        return False


MASKS = st.lists(st.booleans(), min_size=len(FIELD_NAMES), max_size=len(FIELD_NAMES))


@given(WITH_OBJECTS, st.permutations(FIELD_NAMES), MASKS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([",", ";"]))
@settings(max_examples=400)
def test_quoted_lines_encode_as_their_rows_do_one_by_one(
    rows: list[tuple[str, ...]], order: list[str], quoted: list[bool], line_end: str, delimiter: str
) -> None:
    lines = [
        delimiter.join(
            _quoted(row[FIELD_NAMES.index(name)])
            if quote or set(row[FIELD_NAMES.index(name)]) & {'"', delimiter}
            else row[FIELD_NAMES.index(name)]
            for name, quote in zip(order, quoted, strict=True)
        )
        + line_end
        for row in rows
    ]
    fast, end = RowEncoder(order, delimiter).encode_quoted_lines("".join(lines))
    taken = len(fast.values)
    assert end == len("".join(lines[:taken]))
    parsed = OneByOne(delimiter, '"', len(order)).parse("".join(lines[:taken]), 2, at_end=True)
    assert (len(parsed.cells), parsed.refused) == (taken, [])
    slow = RowEncoder(order).encode_cells(parsed.cells, parsed.lines, parsed.raws, set(range(taken)))
    assert outcome(fast) == outcome(slow)


def test_clean_lines_with_quotes_are_taken_up_to_the_first_that_needs_a_closer_look() -> None:
    line = 'T1,2026-01-31T13:45:00Z,1.50,C1,"Smith, Jones",,EUR,,"",DE,"{""a"":""b, c""}"\r\n'
    clean = line.replace(',"",', ",,")
    fast, end = RowEncoder(FIELD_NAMES).encode_quoted_lines(clean * 3 + line + clean)
    assert (len(fast.values), fast.refused, end) == (3, [], 3 * len(clean))
    record = codec.decode(fast.values[0])
    assert record.texts[FIELD_NAMES.index("merchant")] == "Smith, Jones"
    for odd in ('"Smith" ', 'Smith "J"', '"Smith ""J"""', '"Smith\nJ"', '"Smith'):
        assert RowEncoder(FIELD_NAMES).encode_quoted_lines(clean.replace('"Smith, Jones"', odd)) == (Encoded(), 0)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


PIECES = [
    "a",
    "a,b,c\n",
    '"a","b",c\n',
    '"{""x"":1}"',
    '"a,b"',
    ",",
    ",,",
    '"',
    '""',
    '"""',
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
]
ODD_PIECES = ["é", "\0", "\udc80", "\x0b", "\u2028", ",\n", '"",', ',""\n', "x" * 70_000]


@given(st.lists(st.sampled_from(PIECES + ODD_PIECES), max_size=60).map("".join), st.booleans(), st.booleans())
@settings(max_examples=1_000, deadline=None)
def test_runs_of_lines_parse_as_their_records_do_one_by_one(text: str, at_end: bool, tells: bool) -> None:
    fast = RowParser(",", '"', 3, tells_quoted_empty=tells).parse(text, 1, at_end=at_end)
    slow = OneByOne(",", '"', 3).parse(text, 1, at_end=at_end)
    assert (fast.cells, fast.lines) == (slow.cells, slow.lines)
    assert [raw.rstrip("\r\n") for raw in fast.raws] == [raw.rstrip("\r\n") for raw in slow.raws]
    assert (fast.refused, fast.rest, fast.next_line) == (slow.refused, slow.rest, slow.next_line)
    if tells:
        kinds = [[cell is QUOTED_EMPTY for cell in row] for row in fast.cells]
        assert kinds == [[cell is QUOTED_EMPTY for cell in row] for row in slow.cells]
        assert fast.uncommon == slow.uncommon


def test_plain_lines_do_not_go_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowParser, "_add_one", None)
    rows = RowParser(",", '"', 3).parse('a,"b ""c""","{""x"":1}"\n' * 100, 1, at_end=True)
    assert rows.cells == [["a", 'b "c"', '{"x":1}']] * 100


ANY_CHARACTER = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
OPTIONAL_TEXT = st.one_of(st.none(), st.text(ANY_CHARACTER, max_size=20))
RECORDS = st.builds(
    Transaction,
    transaction_id=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64),
    occurred_at=st.datetimes(datetime(1902, 1, 1), datetime(2099, 1, 1)).map(lambda time: time.isoformat() + "Z"),
    amount=st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15).map(
        lambda number: f"{number:f}"
    ),
    customer_id=OPTIONAL_TEXT,
    merchant=OPTIONAL_TEXT,
    category=OPTIONAL_TEXT,
    status=OPTIONAL_TEXT,
    currency=st.one_of(st.none(), st.sampled_from(["EUR", "USD"])),
    country=st.one_of(st.none(), st.sampled_from(["DE", "US"])),
    attributes=st.one_of(
        st.none(), st.dictionaries(st.text(ANY_CHARACTER, max_size=5), st.integers() | st.booleans(), max_size=3)
    ),
)


@given(
    st.lists(RECORDS, min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"]),
    st.booleans(),
    st.integers(200, 4000),
)
@settings(deadline=None)
def test_any_table_in_any_dialect_comes_back_equal(
    records: list[Transaction], delimiter: str, line_end: str, encoding: str, ended: bool, block_bytes: int
) -> None:
    text = _written(records, delimiter, line_end)
    data = (text if ended else text.removesuffix(line_end)).encode(encoding)
    assert _read_back(data, encoding, delimiter, block_bytes) == [_reencoded(record) for record in records]


def _written(records: Sequence[Transaction], delimiter: str, line_end: str) -> str:
    # Not by the csv module: before Python 3.13 it leaves a CR unquoted, and it cannot tell null from an empty text.
    return "".join(
        delimiter.join(_cell(record, name, delimiter) for name in FIELD_NAMES) + line_end for record in records
    )


def _cell(record: Transaction, name: str, delimiter: str) -> str:
    value = getattr(record, name)
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    quoted = not text or any(mark in text for mark in (delimiter, '"', "\r", "\n"))
    return _quoted(text) if quoted else text


def _read_back(data: bytes, encoding: str, delimiter: str, block_bytes: int) -> list[bytes]:
    pieces = io.BytesIO(data)
    reader = BlockReader(pieces, encoding, block_bytes)
    parser = RowParser(delimiter, '"', len(FIELD_NAMES))
    encoder = RowEncoder(FIELD_NAMES, delimiter)
    line, values = 1, list[bytes]()
    while (block := reader.next_block()) is not None:
        if '"' not in block.text:
            encoded, rest = encoder.encode_lines(unquoted_lines(block.text), line, parser.refusal), ""
        else:
            clean, end = encoder.encode_quoted_lines(block.text)
            rows = parser.parse(block.text[end:], line, at_end=block.at_end)
            assert rows.refused == []
            encoded, rest = encoder.encode_cells(rows.cells, rows.lines, rows.raws, rows.uncommon), rows.rest
            encoded.values = clean.values + encoded.values
        assert encoded.refused == []
        values += encoded.values
        reader.advance(block, rest)
    return values


def _reencoded(record: Transaction) -> bytes:
    codec.check(record)
    return codec.encode(record)


def test_a_quoted_empty_cell_is_an_empty_text_and_an_empty_cell_null() -> None:
    row = ["T1", "2026-01-31T13:45:00Z", "1", QUOTED_EMPTY, "", QUOTED_EMPTY, QUOTED_EMPTY, "", "", QUOTED_EMPTY]
    encoded = one_by_one([row])
    assert encoded.refused == []
    texts = dict(zip(FIELD_NAMES, codec.decode(encoded.values[0]).texts, strict=True))
    assert (texts["customer_id"], texts["merchant"], texts["category"]) == ("", None, "")
    assert (texts["currency"], texts["country"]) == (None, None)


def test_a_refused_row_names_the_rule() -> None:
    row = ["T1", "2026-02-30T13:45:00Z", "1", "", "", "", "", "", "", ""]
    with pytest.raises(RecordError) as caught:
        codec.check(Transaction(transaction_id="T1", occurred_at=row[1], amount="1"))
    assert [refused.reason for refused in one_by_one([row]).refused] == [caught.value.reason]
