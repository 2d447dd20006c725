"""The list of refused rows: harmless in a spreadsheet, recoverable, and for its owner only."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import pytest

from rtp_workers.batch.refused_file import RefusedFile, harmless, raw_row
from rtp_workers.batch.rows import RefusedRow

FORMULAS = [
    "=1+1",
    "+1",
    "-5,50,Shop",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'quoted",
    "''=1",
    "plain",
    "",
    "a=b",
    "＝1",
    "\n=1",
    "＠x",
]
LATER_CELLS = [
    "a;=1+1",
    'a;"=1+1"',
    "a\t=1",
    "a,@x",
    "a|+1-cmd",
    "a\r\n=1",
    "a;＝1",
    "a;'=1",
    "'a;''=1",
    "a;-2+3",
    ";;=1",
]


@pytest.mark.parametrize("raw", [*FORMULAS, *LATER_CELLS])
def test_a_row_comes_back_as_it_was(raw: str) -> None:
    assert raw_row(harmless(raw)) == raw
    assert not harmless(raw).startswith(("=", "+", "-", "@", "\t", "\r", "＝"))


@pytest.mark.parametrize("raw", LATER_CELLS)
@pytest.mark.parametrize("separator", [";", "\t", ",", "|"])
def test_no_cell_is_a_formula_where_the_spreadsheet_splits_elsewhere(raw: str, separator: str) -> None:
    lines = harmless(raw).replace('"', "").splitlines()
    cells = [cell for line in lines for cell in line.split(separator)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝"))]


def test_amounts_inside_a_row_stay_as_they_are() -> None:
    assert harmless("2026-01-01,-5.00,Shop;-1,50;+3") == "2026-01-01,-5.00,Shop;-1,50;+3"


def test_the_list_holds_no_formula_and_is_private(tmp_path: Path) -> None:
    refused = RefusedFile(tmp_path / "refused", "a.csv", "identity")
    refused.add(RefusedRow(at + 2, "ragged_row", "the row has 1 cells", raw) for at, raw in enumerate(FORMULAS))
    refused.close()
    assert stat.S_IMODE(refused.path.stat().st_mode) == 0o600
    with refused.path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [raw_row(row["row"]) for row in rows] == FORMULAS
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_the_list_ends_with_a_word_about_it_when_it_is_full(tmp_path: Path) -> None:
    rows = [RefusedRow(at + 2, "ragged_row", "the row has 1 cells", "x" * 50) for at in range(100)]
    refused = RefusedFile(tmp_path, "a.csv", "identity", max_bytes=1_000)
    for row in rows:
        refused.add([row])
    refused.close()
    assert refused.size_bytes == refused.path.stat().st_size < 1_400
    with refused.path.open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    assert [row["reason"] for row in listed] == ["ragged_row"] * (len(listed) - 1) + ["list_full"]
    assert "RTP_LOADER_REFUSED_BYTES" in listed[-1]["detail"]


def test_a_full_list_stays_full_for_a_load_that_resumes(tmp_path: Path) -> None:
    row = RefusedRow(2, "ragged_row", "the row has 1 cells", "x" * 50)
    first = RefusedFile(tmp_path, "a.csv", "identity", max_bytes=100)
    first.add([row])
    first.close()
    second = RefusedFile(tmp_path, "a.csv", "identity", first.size_bytes, max_bytes=100)
    second.add([row])
    assert second.size_bytes == first.size_bytes
