"""The seven licensed files of ../shared/data/real against an independent reading, with the mapping lines each needs.

Runs where ../shared is present, as it is in CI; the files are never copied into the project.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from rtp_workers.mapping.sources import Section
from tests.mapping_files import Loaded, load_all, plan_of, sources

REAL = Path(__file__).parents[3] / "shared" / "data" / "real"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/real is not present")
Reading = tuple[str, Decimal]


def data_of(number: str) -> bytes:
    return next(REAL.glob(f"{number}_*.csv")).read_bytes()


def cells_of(data: bytes, encoding: str) -> Iterator[list[str]]:
    yield from csv.reader(io.StringIO(data.decode(encoding), newline=""))


def read(loaded: Loaded) -> list[Reading]:
    return [(record["occurred_at"], Decimal(record["amount"])) for record in loaded.records]


def utc(text: str, form: str) -> str:
    return datetime.strptime(text, form).isoformat() + "Z"


def test_the_dutch_bank_needs_no_line() -> None:
    data = data_of("01")
    loaded = load_all(data)
    lines = data.decode("latin-1").replace("\r", "\n").split("\n")
    rows = [line.strip('"').split('","') for line in lines if line][1:]
    assert read(loaded) == [(utc(row[4], "%Y-%m-%d"), Decimal(row[6].replace(",", "."))) for row in rows]
    assert [record["customer_id"] for record in loaded.records] == [row[0] for row in rows]
    assert [record["currency"] for record in loaded.records] == ["EUR"] * 3
    assert [record["transaction_id"] for record in loaded.records] == [f"{row[0]}/{row[3]}" for row in rows]
    assert [record.get("merchant", "") for record in loaded.records] == [row[9] for row in rows]
    assert [record["attributes"]["Code"] for record in loaded.records] == ["db", "cb", "bg"]


def test_the_bank_of_singapore_needs_no_line_and_its_continuation_rows_are_refused() -> None:
    data = data_of("04")
    loaded = load_all(data)
    rows = [row for row in cells_of(data, "ascii") if len(row) == 5 and row[0][:1].isdigit()]
    assert read(loaded) == [(utc(row[0], "%d/%m/%Y"), Decimal(row[4] or 0) - Decimal(row[3] or 0)) for row in rows]
    # The descriptions say only what kind of payment it was.
    assert [record["attributes"]["Description"] for record in loaded.records] == [row[2] for row in rows]
    assert {record["currency"] for record in loaded.records} == {"SGD"}
    assert [row.reason for row in loaded.refused].count("ragged_row") == 8
    assert len({record["transaction_id"] for record in loaded.records}) == len(rows) == 8


def test_the_file_without_a_header_needs_no_line_for_time_and_amount_and_one_for_its_names() -> None:
    data = data_of("08")
    rows = list(cells_of(data.replace(b"\r", b"\n"), "ascii"))
    expected = [
        (utc(row[0], "%m/%d/%y"), Decimal(row[3].replace(",", "")) * (-1 if row[4] == "debit" else 1)) for row in rows
    ]
    assert read(load_all(data)) == expected
    header = ["Date", "Payee", "Memo", "Amount", "Debit/Credit", "Account", "Category"]
    named = load_all(data, "08.csv", sources({"mint": {"files": ["08*"], "header": header}}))
    assert read(named) == expected
    assert [record["customer_id"] for record in named.records] == [row[5] for row in rows]
    assert [record["category"] for record in named.records] == [row[6] for row in rows]
    assert [record["merchant"] for record in named.records] == [row[1] for row in rows]


def test_the_chinese_wallet_whose_ids_repeat_needs_two_lines() -> None:
    data = data_of("09")
    assert [question.field for question in plan_of(data).undecided] == ["amount", "transaction_id"]
    loaded = load_all(data, mapping=Section(id="columns", neutral_words=("/",)))
    rows = [[cell.strip() for cell in row] for row in cells_of(data, "utf-8") if row[0][:2] == "20"]
    signs = {"支出": -1, "收入": 1, "/": 1}
    assert read(loaded) == [
        (utc(row[0], "%Y-%m-%d %H:%M:%S"), Decimal(row[5].strip("¥")) * signs[row[4]]) for row in rows
    ]
    assert [record["transaction_id"] for record in loaded.records] == [row[8] for row in rows]
    assert [record["status"] for record in loaded.records] == [row[7] for row in rows]
    assert [record.get("payment_method", "/") for record in loaded.records] == [row[6] for row in rows]
    assert [record.get("merchant", "/") for record in loaded.records] == [row[2] for row in rows]
    assert [record["category"] for record in loaded.records] == [row[1] for row in rows]
    assert {record["currency"] for record in loaded.records} == {"CNY"}
    assert len(rows) == 27


def test_the_fraud_set_needs_no_line() -> None:
    data = data_of("23")
    loaded = load_all(data)
    rows = list(cells_of(data, "ascii"))[1:]
    assert read(loaded) == [(utc(row[4] + row[5].zfill(6), "%Y%m%d%H%M%S"), Decimal(row[2])) for row in rows]
    columns = {"transaction_id": 0, "customer_id": 1, "currency": 3}
    for field, at in columns.items():
        assert [record.get(field, "") for record in loaded.records] == [row[at] for row in rows]
    assert len(rows) == 8640
    assert loaded.refused == []


def test_the_card_set_needs_no_line() -> None:
    data = data_of("27")
    loaded = load_all(data)
    rows = [row for row in cells_of(data, "ascii") if row and row[0].isdigit()]
    assert read(loaded) == [
        (
            utc("-".join(row[2:5]) + " " + row[5], "%Y-%m-%d %H:%M"),
            Decimal(row[6].strip("( )").replace("$", "").replace(",", "")) * (-1 if "(" in row[6] else 1),
        )
        for row in rows
    ]
    assert [record["customer_id"] for record in loaded.records] == [row[0] for row in rows]
    assert [record["category"] for record in loaded.records] == [row[12] for row in rows]
    assert {record["currency"] for record in loaded.records} == {"USD"}
    assert len(rows) == 19963
    assert len({record["transaction_id"] for record in loaded.records}) == len(rows)
    assert {row.reason for row in loaded.refused} <= {"blank_row", "blank_line"}


def test_the_payments_seed_asks_for_time_and_unit_and_loads_with_these_two_lines() -> None:
    data = data_of("43")
    assert {question.field for question in plan_of(data).undecided} == {"occurred_at", "amount"}
    lines = {"constants": {"occurred_at": "2018-01-01T00:00:00Z"}, "amount_unit": "minor"}
    loaded = load_all(data, "43.csv", sources({"payments": {"files": ["43*"], **lines}}))
    rows = list(cells_of(data, "utf-8"))[1:]
    assert read(loaded) == [("2018-01-01T00:00:00Z", Decimal(row[3]) / 100) for row in rows]
    assert [record["transaction_id"] for record in loaded.records] == [row[0] for row in rows]
    assert [record["payment_method"] for record in loaded.records] == [row[2] for row in rows]
