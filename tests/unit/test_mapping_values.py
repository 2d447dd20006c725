"""Amounts, dates, countries and directions as people write them."""

from __future__ import annotations

import pytest

from rtp_workers.mapping.cells import amounts, dates
from rtp_workers.mapping.cells.amounts import Marks, decide_marks, evidence_of
from rtp_workers.mapping.cells.countries import country_code
from rtp_workers.mapping.cells.local_times import offset_of
from rtp_workers.mapping.cells.words import currency_code, is_balance_line, looks_like_balance_line
from rtp_workers.mapping.columns.find_currency import header_currency
from rtp_workers.mapping.columns.find_time import possible_orders
from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.rows.instants import Instants
from tests.mapping_files import csv_of

POINT = Marks(".", ",")
COMMA = Marks(",", ". '\u00a0\u202f")


@pytest.mark.parametrize(
    ("cell", "value", "currency"),
    [
        ("1850.00", "1850.00", None),
        ("$134.09 ", "134.09", "USD"),
        ("($38.48)", "-38.48", "USD"),
        ("$(38.48)", "-38.48", "USD"),
        ("L.E. 12.00", "12.00", "EGP"),
        ("-$5.00", "-5.00", "USD"),
        ("$-5.00", "-5.00", "USD"),
        ("- $12.50", "-12.50", "USD"),
        ("¥28.16", "28.16", None),
        ("CN¥28.16", "28.16", "CNY"),
        ("12.00-", "-12.00", None),
        ("12.00 CR", "12.00", None),
        ("12.00Dr", "-12.00", None),
        ("EUR 12.00", "12.00", "EUR"),
        ("1,23,456.78", "123456.78", None),
        ("Rs. 500", "500", None),
        ("12.5 kr.", "12.5", None),
        ("−12.30", "-12.30", None),
        ("+50", "50", None),
        (".50", "0.50", None),
        ("-0.00", "0.00", None),
        ("1e-05", "0.00001", None),
        ("123456789012345678.123456789012", "123456789012345678.123456789012", None),
    ],
)
def test_amounts_with_a_decimal_point_are_read_exactly(cell: str, value: str, currency: str | None) -> None:
    amount = amounts.parse(cell, POINT)
    assert amount is not None
    assert (amount.value, amount.currency) == (value, currency)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.234,56", "1234.56"),
        ("1 234,56", "1234.56"),
        ("1\u202f234,56 €", "1234.56"),
        ("R$ 1.234,56", "1234.56"),
        ("-337,49", "-337.49"),
    ],
)
def test_amounts_with_a_decimal_comma_are_read_exactly(cell: str, value: str) -> None:
    amount = amounts.parse(cell, COMMA)
    assert amount is not None
    assert amount.value == value


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "-",
        "9053 06 20149",
        "1,23",
        "12.340.00",
        "1,850.0,0",
        "10%",
        "2024-01-01",
        "100 SHIB",
        "(5",
        "--5",
        "1.2.3",
        "NaN",
        "0x10",
    ],
)
def test_what_is_no_amount_in_the_format_is_refused_rather_than_read_as_another(cell: str) -> None:
    assert amounts.parse(cell, POINT) is None


@pytest.mark.parametrize(
    ("cells", "marks"),
    [
        (["12.50", "3.20"], (".", ",")),
        (["12,50", "1.234,56"], (",", ".")),
        (["1,234.50", "5"], (".", ",")),
        (["1'234.50"], (".", "'")),
        (["1.234.567"], (",", ".")),
        (["0.123"], (".", ",")),
        (["1,234", "567", "890", "12", "2,500"], (".", ",")),
    ],
)
def test_the_decimal_mark_follows_from_cells_that_fit_one_reading(cells: list[str], marks: tuple[str, str]) -> None:
    decided = decide_marks(evidence_of(cells))
    assert decided is not None
    assert decided.decimal == marks[0]
    assert marks[1] in decided.thousands


@pytest.mark.parametrize("cells", [["1,234"], ["1.234", "2.500"], ["12.50", "12,50"]])
def test_the_decimal_mark_stays_open_where_both_readings_fit(cells: list[str]) -> None:
    assert decide_marks(evidence_of(cells)) is None


def test_another_columns_decimal_mark_decides_an_open_one() -> None:
    decided = decide_marks(evidence_of(["1.234"]), hint=",")
    assert decided is not None
    assert decided.decimal == ","


@pytest.mark.parametrize(
    ("cell", "order", "day", "clock", "zone"),
    [
        ("2018-03-01", "YMD", "2018-03-01", None, None),
        ("18/04/2018", "DMY", "2018-04-18", None, None),
        ("6/13/15", "MDY", "2015-06-13", None, None),
        ("30.12.23", "DMY", "2023-12-30", None, None),
        ("2024. 01. 05.", "YMD", "2024-01-05", None, None),
        ("20130402", "YMD", "2013-04-02", None, None),
        ("930101", "YMD", "1993-01-01", None, None),
        ("02042013", "DMY", "2013-04-02", None, None),
        ("20240105101112", "YMD", "2024-01-05", "10:11:12", None),
        ("2024年3月4日", "YMD", "2024-03-04", None, None),
        ("04-MAR-24", "DMY", "2024-03-04", None, None),
        ("4. März 2024", "YMD", "2024-03-04", None, None),
        ("4 de março de 2024", "YMD", "2024-03-04", None, None),
        ("4 août 2024", "YMD", "2024-08-04", None, None),
        ("4 ene 2024", "YMD", "2024-01-04", None, None),
        ("4 mei 2024", "YMD", "2024-05-04", None, None),
        ("4 gennaio 2024", "YMD", "2024-01-04", None, None),
        ("2024. május 4.", "YMD", "2024-05-04", None, None),
        ("4 января 2024", "YMD", "2024-01-04", None, None),
        ("Mar 4, 2024 3:04 PM", "MDY", "2024-03-04", "15:04:00", None),
        ("Mon, 4 Mar 2024 10:00:00 +0100", "DMY", "2024-03-04", "10:00:00", "+0100"),
        ("2024-01-05T10:11:12.123Z", "YMD", "2024-01-05", "10:11:12.123", "Z"),
        ("04-03-2024 12.45.27", "DMY", "2024-03-04", "12:45:27", None),
        ("15-01-2024 / 10:11", "DMY", "2024-01-15", "10:11:00", None),
        ("2018-10-01 12:00:00 UTC", "YMD", "2018-10-01", "12:00:00", "UTC"),
        ("12/31/2024 12:05 am", "MDY", "2024-12-31", "00:05:00", None),
        ("20240525T141309Z", "YMD", "2024-05-25", "14:13:09", "Z"),
        ("2024-05-25T14:13:09+02:00[Europe/Berlin]", "YMD", "2024-05-25", "14:13:09", "+02:00"),
        ("2024/05/25(土) 14:00", "YMD", "2024-05-25", "14:00:00", None),
        ("May-25-2024 02:13:09 PM +UTC", "MDY", "2024-05-25", "14:13:09", "UTC"),
        ("May 25, '24", "MDY", "2024-05-25", None, None),
    ],
)  # fmt: skip
def test_dates_are_read_in_the_decided_order(
    cell: str, order: dates.Order, day: str, clock: str | None, zone: str | None
) -> None:
    moment = dates.parse(cell, order)
    assert moment is not None
    assert (moment.day, moment.clock, moment.zone) == (day, clock, zone)


@pytest.mark.parametrize(
    ("cell", "order"),
    [
        ("13/02/2024", "MDY"),
        ("02/13/2024", "DMY"),
        ("00/00/0000", "DMY"),
        ("30.02.2024", "DMY"),
        ("2024-13-01", "YMD"),
        ("2024-01-05 24:00:00", "YMD"),
        ("2024-01-05 10:11:60", "YMD"),
        ("15/04/18  66-6666 SHOP", "DMY"),
        ("1,000.00", "DMY"),
        ("Transfer", "DMY"),
        ("", "DMY"),
    ],
)
def test_what_is_no_date_in_the_order_is_refused(cell: str, order: dates.Order) -> None:
    assert dates.parse(cell, order) is None


@pytest.mark.parametrize(
    ("cells", "orders"),
    [
        (["03/04/2024", "05/06/2024"], ["DMY", "MDY"]),
        (["03/04/2024", "13/06/2024"], ["DMY"]),
        (["03/04/2024", "06/13/2024"], ["MDY"]),
        (["13/06/2024", "06/13/2024"], []),
        (["00/00/0000", "31/01/2024"], ["DMY"]),
        (["930131", "930228"], ["YMD"]),
        (["20240131"], ["YMD"]),
    ],
)
def test_the_day_order_is_what_no_date_contradicts(cells: list[str], orders: list[str]) -> None:
    shapes = [shape for cell in cells if (shape := dates.shape_of(cell)) is not None]
    assert possible_orders(shapes) == orders


@pytest.mark.parametrize(
    "clock",
    ["07:05", "07:05:09", "23:59:59", "24:00", "7:05", "12:60", "12:30:15.5", "12:30:15 PM", "12:30Z", "070509"],
)
def test_a_clock_reads_the_same_whether_or_not_its_day_was_read_before(clock: str) -> None:
    before = ["2026-06-01 10:00:00", "2026-06-02 11:30:00"]
    plan = infer(csv_of("Date,Text,Amount", *(f"{cell},Shop,-1.50" for cell in before)), "bank.csv")
    new, used = Instants(plan), Instants(plan)
    used.read([before])
    cells = [f"2026-06-01 {clock}", f"2026-06-02 {clock}"]
    assert list(map(str, used.read([cells]))) == list(map(str, new.read([cells])))


@pytest.mark.parametrize(
    ("cell", "clock"),
    [("14450", "01:44:50"), ("135015", "13:50:15"), ("6:21", "06:21:00"), ("9:05 pm", "21:05:00"), ("0", "00:00:00")],
)
def test_times_of_day_may_have_lost_their_leading_zeros(cell: str, clock: str) -> None:
    assert dates.parse_clock(cell) == (clock, None)


@pytest.mark.parametrize("cell", ["235960", "24:00", "1234567", "noon"])
def test_what_is_no_time_of_day_is_refused(cell: str) -> None:
    assert dates.parse_clock(cell) is None


@pytest.mark.parametrize(
    ("cells", "unit"),
    [
        (["1705312800"], "s"),
        (["1705312800000"], "ms"),
        (["1705312800.5"], "s"),
        (["1705312800000000000"], "ns"),
        (["17"], None),
        (["2024"], None),
    ],
)
def test_epochs_are_told_by_their_size(cells: list[str], unit: str | None) -> None:
    assert dates.epoch_unit(cells) == unit


@pytest.mark.parametrize(
    ("zone", "day", "offset"),
    [
        ("UTC", "2024-07-01", "Z"),
        ("Europe/Berlin", "2024-07-01", "+02:00"),
        ("Europe/Berlin", "2024-01-01", "+01:00"),
        ("PST", "2024-01-01", "-08:00"),
        ("+0530", "2024-01-01", "+05:30"),
        ("UTC+2", "2024-01-01", "+02:00"),
        ("Nowhere/Land", "2024-01-01", None),
    ],
)
def test_zones_give_the_offset_of_the_day(zone: str, day: str, offset: str | None) -> None:
    assert offset_of(zone, day, "12:00:00") == offset


@pytest.mark.parametrize(
    ("cell", "code"),
    [("United Kingdom", "GB"), ("USA", "US"), ("DE", "DE"), ("de", None), ("EIRE", "IE"), ("Unspecified", None)],
)
def test_countries_are_told_by_code_or_name(cell: str, code: str | None) -> None:
    assert country_code(cell) == code


@pytest.mark.parametrize(
    ("cell", "code"), [("eur", "EUR"), ("€", "EUR"), ("人民币", "CNY"), ("XXX", None), ("kr", None)]
)
def test_currencies_are_told_by_code_sign_or_word(cell: str, code: str | None) -> None:
    assert currency_code(cell) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [("Betrag (EUR)", "EUR"), ("amount_usd", "USD"), ("金额(元)", "CNY"), ("Débit euros", "EUR"), ("Amount", None)],
)
def test_an_amounts_header_may_carry_the_currency(name: str, code: str | None) -> None:
    assert header_currency(name) == code


def test_balance_lines_are_told_from_transactions() -> None:
    assert looks_like_balance_line("Opening balance as of 01/01/2024")
    assert looks_like_balance_line("SALDO ANTERIOR")
    assert not looks_like_balance_line("Balance Transfer Fee")
    assert not looks_like_balance_line("TOTAL ENERGIES PARIS")
    assert is_balance_line("Total")
