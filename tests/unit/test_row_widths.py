"""Rows with fewer or more cells than the file has columns."""

from __future__ import annotations

import pytest

from rtp_workers.batch.chunks import row_parser
from rtp_workers.mapping.infer import infer
from tests.mapping_files import csv_of

HEADER = "Date;Payee;Amount;Note;Place"
FULL = [f"2026-07-{day:02d};Shop {day};-{day}.15;paid;Berlin" for day in range(1, 11)]
SHORT = [f"2026-07-{day:02d};Shop {day};-{day}.15" for day in range(11, 21)]


def parsed(*lines: str, header: str = HEADER) -> tuple[list[list[str]], list[str]]:
    data = csv_of(header, *lines)
    dialect = infer(data, "bank.csv").dialect
    text = data.decode().partition("\n")[2]
    rows = row_parser(dialect, tells_quoted_empty=False).parse(text, 2, at_end=True)
    assert {len(cells) for cells in rows.cells} <= {dialect.row_width}
    return rows.cells, [row.reason for row in rows.refused]


def test_empty_cells_that_are_left_out_at_the_end_are_empty() -> None:
    cells, refused = parsed(*FULL, *SHORT)
    assert refused == []
    assert cells[-1] == ["2026-07-20", "Shop 20", "-20.15", "", ""]


def test_a_single_short_row_is_refused() -> None:
    _, refused = parsed(*FULL, *FULL, SHORT[0])
    assert refused == ["ragged_row"]


@pytest.mark.parametrize(
    "short", ["2026-07-{0};-{0}.15;paid;Berlin", "Shop {0};-{0}.15;paid;Berlin", "2026-07-{0};Shop {0};paid;Berlin"]
)
def test_rows_that_lack_another_cell_are_refused(short: str) -> None:
    _, refused = parsed(*FULL, *(short.format(day) for day in range(11, 21)))
    assert refused == ["ragged_row"] * 10


def test_a_continued_text_is_refused() -> None:
    _, refused = parsed(*(line for full in FULL for line in (full, ";and more;")))
    assert refused == ["ragged_row"] * 10


def test_a_row_may_end_with_a_blank_cell_if_the_header_does() -> None:
    cells, refused = parsed(*FULL, FULL[0] + "; ", header=HEADER + ";")
    assert refused == []
    assert cells[-1] == FULL[0].split(";")


def test_a_row_whose_text_was_split_is_refused_although_its_last_cell_is_empty() -> None:
    _, refused = parsed(*FULL, "2026-07-11;Route 66; 12;5.00;paid;")
    assert refused == ["ragged_row"]


def test_a_file_with_our_own_columns_is_read_strictly() -> None:
    header = "transaction_id,occurred_at,amount,merchant,currency"
    full = [f"a{n},2026-07-14T10:00:00Z,1.50,Shop,EUR" for n in range(10)]
    short = [f"b{n},2026-07-14T10:00:00Z,1.50,Shop" for n in range(10)]
    plan = infer(csv_of(header, *full, *short), "own.csv")
    assert plan.canonical
    assert (plan.dialect.fewest_cells, plan.dialect.most_cells) == (0, 0)
