"""Rows of a CSV: every defect that FAULTS.md names is refused by its line, and the neighbours stay."""

from __future__ import annotations

import io

import pytest

from rtp_workers.batch.blocks import MAX_LINE_BYTES, BlockReader
from rtp_workers.batch.quoted_record import MAX_FIELD_CHARACTERS, MAX_FIELD_LINES, QUOTED_EMPTY
from rtp_workers.batch.rows import RowParser, Rows, unquoted_lines

Refused = list[tuple[int, str]]


def parse(text: str, width: int = 3, *, at_end: bool = True) -> Rows:
    return RowParser(",", '"', width).parse(text, 1, at_end=at_end)


def kept(rows: Rows) -> list[tuple[int, list[str]]]:
    return list(zip(rows.lines, rows.cells, strict=True))


LONG = "x" * MAX_FIELD_CHARACTERS
TALL = "x\n" * (MAX_FIELD_LINES - 1)

CASES: dict[str, tuple[str, list[tuple[int, list[str]]], Refused]] = {
    "plain": ("a,b,c\nd,e,f\n", [(1, ["a", "b", "c"]), (2, ["d", "e", "f"])], []),
    "no newline at the end": ("a,b,c\nd,e,f", [(1, ["a", "b", "c"]), (2, ["d", "e", "f"])], []),
    "CRLF": ("a,b,c\r\nd,e,f\r\n", [(1, ["a", "b", "c"]), (2, ["d", "e", "f"])], []),
    "CR": ("a,b,c\rd,e,f\r", [(1, ["a", "b", "c"]), (2, ["d", "e", "f"])], []),
    "mixed line ends": ("a,b,c\rd,e,f\r\ng,h,i\n", [(n + 1, list(c)) for n, c in enumerate(("abc", "def", "ghi"))], []),
    "too few cells": ("a,b\nd,e,f\n", [(2, ["d", "e", "f"])], [(1, "ragged_row")]),
    "too many cells": ("a,b,c,d\nd,e,f\n", [(2, ["d", "e", "f"])], [(1, "ragged_row")]),
    "blank lines": ("\na,b,c\n\n", [(2, ["a", "b", "c"])], [(1, "blank_line"), (3, "blank_line")]),
    "quoted delimiter": ('a,"b,b",c\n', [(1, ["a", "b,b", "c"])], []),
    "quoted newline": ('a,"b\nb",c\nd,e,f\n', [(1, ["a", "b\nb", "c"]), (3, ["d", "e", "f"])], []),
    "quoted CRLF stays as it is": ('a,"b\r\nb",c\r\n', [(1, ["a", "b\r\nb", "c"])], []),
    "doubled quote": ('a,"b ""x""",c\n', [(1, ["a", 'b "x"', "c"])], []),
    "all quoted": ('"a","b,","c"\n', [(1, ["a", "b,", "c"])], []),
    "quote inside an unquoted cell": ('a,5" pipe,c\n', [(1, ["a", '5" pipe', "c"])], []),
    "text after a closing quote": ('a,"b"x,c\nd,e,f\n', [(2, ["d", "e", "f"])], [(1, "quote_misplaced")]),
    "unclosed quote at the end": ('d,e,f\na,"b,c\n1,2,3\n', [(1, [*"def"]), (3, [*"123"])], [(2, "quote_unclosed")]),
    "unclosed quote, later quotes": (
        'a,"b,c\nd,e,f\ng,"h,h",i\n',
        [(2, ["d", "e", "f"]), (3, ["g", "h,h", "i"])],
        [(1, "quote_misplaced")],
    ),
    "a field of 64 kB": (f'a,"{LONG}",c\n', [(1, ["a", LONG, "c"])], []),
    "a field over 64 kB": (f'a,"{LONG}x",c\nd,e,f\n', [(2, ["d", "e", "f"])], [(1, "quote_unclosed")]),
    "a field of 100 lines": (f'a,"{TALL}",c\n', [(1, ["a", TALL, "c"])], []),
    "a field over 100 lines": (
        f'a,"{TALL}\n",c\nd,e,f\n',
        [(102, ["d", "e", "f"])],
        [
            (1, "quote_unclosed"),
            *((n, "ragged_row") for n in range(2, 100)),
            (100, "blank_line"),
            (101, "quote_unclosed"),
        ],
    ),
    "ragged over several lines": ('a,"b\n1,2,3\n",c,d\nd,e,f\n', [(4, ["d", "e", "f"])], [(1, "ragged_row")]),
    "bytes that do not decode": ("a,b\udc80,c\nd,e,f\n", [(2, ["d", "e", "f"])], [(1, "undecodable")]),
    "form feed and NEL are text": ("a,b\x0c\x85\u2028,c\n", [(1, ["a", "b\x0c\x85\u2028", "c"])], []),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_and_refusals(name: str) -> None:
    text, cells, refused = CASES[name]
    rows = parse(text)
    assert kept(rows) == cells
    assert [(row.line, row.reason) for row in rows.refused] == refused
    assert rows.next_line == len(list(io.StringIO(text, newline=""))) + 1


def test_a_quoted_empty_cell_is_told_from_an_empty_one() -> None:
    rows = parse('a,"",\n')
    assert rows.cells[0][1] is QUOTED_EMPTY
    assert rows.cells[0][2] is not QUOTED_EMPTY
    assert rows.uncommon == {0}


def test_an_open_quote_waits_for_the_next_block() -> None:
    rows = parse('a,b,c\nd,"e\n', at_end=False)
    assert (rows.rest, rows.next_line, rows.refused) == ('d,"e\n', 2, [])


def test_a_refused_row_keeps_its_text() -> None:
    assert parse("a,b\n").refused[0].raw == "a,b"


def test_many_unclosed_quotes_take_linear_time() -> None:
    rows = parse('a,"b""x\n' * 20_000)
    assert len(rows.refused) == 20_000


@pytest.mark.parametrize(("text", "lines"), [("a\r\nb\rc", "a\nb\nc\n"), ("a\n", "a\n"), ("", "")])
def test_line_ends_become_lf(text: str, lines: str) -> None:
    assert unquoted_lines(text) == lines


class Pieces(io.BytesIO):
    """Gives three bytes at most, as a pipe may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(3, size or 3))


def blocks_of(data: bytes, encoding: str = "utf-8", block_bytes: int = 8) -> list[tuple[str, bool]]:
    reader = BlockReader(Pieces(data), encoding, block_bytes)
    found = []
    while (block := reader.next_block()) is not None:
        found.append((block.text, block.overlong))
        reader.advance(block)
    assert reader.offset == len(data) or encoding.startswith("utf-16")
    return found


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_blocks_hold_whole_lines(encoding: str, line_end: str) -> None:
    text = line_end.join(("first", "sécond", "a third line", "", "end"))
    found = [block for block, _ in blocks_of(text.encode(encoding), encoding)]
    assert "".join(found) == text
    assert all(block.endswith(("\n", "\r")) for block in found[:-1])
    assert found[-1] == "end"
    assert not any(block.startswith("\n") for block in found if line_end == "\r\n")


def test_an_overlong_line_is_skipped_and_the_next_is_read() -> None:
    data = b"a\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\nb\n"
    reader = BlockReader(io.BytesIO(data), "utf-8", 1 << 16)
    seen = []
    while (block := reader.next_block()) is not None:
        seen.append((block.text[:3], block.overlong))
        reader.advance(block)
    assert seen == [("a\n", False), ("xxx", True), ("b\n", False)]
    assert reader.offset == len(data)


def test_utf_16_cut_in_the_middle_of_a_character_does_not_decode() -> None:
    reader = BlockReader(io.BytesIO("ab\n".encode("utf-16") + b"c"), "utf-16")
    texts = []
    while (block := reader.next_block()) is not None:
        texts.append((block.text, block.decodes))
        reader.advance(block)
    assert texts == [("ab\n", True), ("\udcff", False)]


def test_the_digest_proves_content_up_to_an_offset() -> None:
    whole, longer = b"a\nb\n", b"a\nb\nc\n"
    first, second = BlockReader(io.BytesIO(whole), "utf-8"), BlockReader(io.BytesIO(longer), "utf-8")
    first.skip(len(whole))
    second.skip(len(whole))
    assert first.digest() == second.digest()
    second.skip(len(longer))
    assert first.digest() != second.digest()
