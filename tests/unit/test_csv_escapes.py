"""CSVs as MySQL and PostgreSQL's COPY write them: a backslash escapes, and a backslash with N is no value."""

from __future__ import annotations

import io
import json

import pytest

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader
from rtp_workers.batch.rows import RowParser
from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.section_text import section_text
from rtp_workers.postgres.csv_loads import Progress

QUOTED = "id,created_at,amount,merchant,currency\n" + "".join(
    f'{n},2026-09-{n % 28 + 1:02d} 10:00:00,{n}.50,"Shop \\"{n}\\", Ltd",EUR\n' for n in range(1, 21)
)
COPIED = "id\tcreated_at\tamount\tmerchant\tcurrency\n" + "".join(
    f"{n}\t2026-09-{n % 28 + 1:02d} 10:00:00\t{n}.50\tA\\tB\\\\{n}\\nC\tEUR\n" for n in range(1, 21)
)


def merchants(text: str, block_bytes: int = 1 << 20) -> list[str | None]:
    """Returns the merchants that a load would send, read in blocks of this size; none may be refused."""
    data = text.encode()
    plan = infer(data, "shop.csv")
    assert not plan.undecided, plan.undecided
    assert plan.dialect.escapes
    found: list[str | None] = []
    for chunk in ChunkReader(BlockReader(io.BytesIO(data), "utf-8", block_bytes), plan, Progress()).chunks():
        assert not chunk.encoded.refused, chunk.encoded.refused
        found += [json.loads(value).get("merchant") for value in chunk.encoded.values]
    return found


@pytest.mark.parametrize("block_bytes", [1 << 20, 300, 97])
def test_escaped_quotes_and_missing_values_of_mysql_load(block_bytes: int) -> None:
    found = merchants(QUOTED + "21,2026-09-22 10:00:00,21.50,\\N,\\N\n", block_bytes)
    assert found == [f'Shop "{n}", Ltd' for n in range(1, 21)] + [None]


@pytest.mark.parametrize("block_bytes", [1 << 20, 300, 97])
def test_an_escaped_newline_or_tab_cuts_neither_row_nor_cell(block_bytes: int) -> None:
    """INTO OUTFILE without quotes writes a backslash before the real character."""
    text = COPIED + "".join(f"{n}\t2026-09-01 10:00:00\t1.50\tA\\\tB\\\nC\tEUR\n" for n in range(21, 31))
    text += "31\t2026-09-22 10:00:00\t21.50\t\\N\t\\N\n"
    assert merchants(text, block_bytes) == [f"A\tB\\{n}\nC" for n in range(1, 21)] + ["A\tB\nC"] * 10 + [None]


def test_one_escaped_quote_among_many_rows_is_enough() -> None:
    rows = "".join(f'2026-09-{n:02d},"Shop {n}",-{n}.50\n' for n in range(1, 29))
    text = f'Date,Text,Amount\n{rows}2026-09-29,"The \\"Corner\\"",-29.50\n'
    assert merchants(text)[-1] == 'The "Corner"'


@pytest.mark.parametrize(
    "text",
    [
        'Date,Path,Amount\n2026-01-01,"C:\\",1.00\n2026-01-02,"D:\\new",2.00\n',
        "Date,Path,Amount\n2026-01-01,C:\\temp,1.00\n2026-01-02,\\\\server\\notes,2.00\n",
    ],
)
def test_a_backslash_is_a_character_where_rows_are_even_without_escapes(text: str) -> None:
    assert not infer(text.encode(), "files.csv").dialect.escapes


def test_the_section_of_such_a_file_says_so() -> None:
    plan = infer(QUOTED.encode(), "shop.csv")
    assert 'escape = "backslash"' in section_text(plan, "shop.csv")


def test_line_numbers_count_the_lines_that_an_escape_hides() -> None:
    parser = RowParser("\t", '"', 2, has_escapes=True)
    rows = parser.parse("a\t1\\\n2\nb\t\\N\nragged\\\n\nc\t3\n", 10, at_end=False)
    assert [(line, cells) for line, cells in zip(rows.lines, rows.cells, strict=True)] == [
        (10, ["a", "1\n2"]),
        (12, ["b", ""]),
        (15, ["c", "3"]),
    ]
    assert [(row.line, row.raw) for row in rows.refused] == [(13, "ragged\\\n")]
    assert (rows.rest, rows.next_line) == ("", 16)
