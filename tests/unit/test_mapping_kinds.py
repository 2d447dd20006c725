"""Kinds of exports that were read wrongly once: what is decided, what is asked for, and what the mapping then says."""

from __future__ import annotations

from typing import Any

import pytest

from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.affixes import common_affix
from rtp_workers.mapping.section_text import section_text
from rtp_workers.mapping.sources import Section
from tests.mapping_files import asked, csv_of, load_all, plan_of, sources

NO_YEAR = csv_of("Date,Text,Amount", "30/12,Coffee,-3.50", "02/01,Pay,1000.00", "03/01,Bus,-2.10")


def amounts_of(data: bytes, **mapping: Any) -> list[str]:
    return [record["amount"] for record in load_all(data, mapping=Section(**mapping)).records]


def test_rows_above_the_header_are_asked_about() -> None:
    page = ["1/2026,15/03/2026,Empresa A,79/2026,10.50", "2/2026,16/03/2026,Empresa B,80/2026,11.50"]
    rows = ["3/2026,17/03/2026,Empresa C,81/2026,12.50", "4/2026,18/03/2026,Empresa D,82/2026,13.50"]
    header = "Contrato,Fecha,Proveedor,Modalidad,Importe"
    data = csv_of("Informe de contratos", *page, header, *rows)
    assert asked(data)["occurred_at"] == ("# header_line = 4  # only what is below",)
    assert amounts_of(data, header_line=4) == ["12.50", "13.50"]
    summary = csv_of("Saldo,01/03/2026,100.00", header, *rows)
    assert asked(summary) == {}


@pytest.mark.parametrize("months", [("1", "12"), ("Januari", "Desember"), ("Jan", "Dec")])
def test_a_year_and_a_month_without_a_day_are_the_first_of_the_month(months: tuple[str, str]) -> None:
    data = csv_of("Tahun,Bulan,Total", f"2026,{months[0]},5.50", f"2025,{months[1]},4.50")
    lines = asked(data)["occurred_at"]
    assert [line.partition("  #")[0] for line in lines] == ['# columns.year = "Tahun"', '# columns.month = "Bulan"']
    records = load_all(data, mapping=Section(columns={"year": ("Tahun",), "month": ("Bulan",)})).records
    assert [one["occurred_at"] for one in records] == ["2026-01-01T00:00:00Z", "2025-12-01T00:00:00Z"]


@pytest.mark.parametrize("part", ["year", "month", "day"])
def test_a_part_of_a_date_alone_is_refused(part: str) -> None:
    with pytest.raises(ConfigError, match=f"columns.{part} needs columns.year and columns.month, too"):
        sources({"bank": {"files": ["*"], "columns": {part: "Tahun"}}})


def test_the_unknown_side_of_a_pair_is_found_by_where_it_is_filled() -> None:
    data = csv_of("Date,Withdrawal,Nazvanie,Balance", "2024-01-01,5.00,,95.00", "2024-01-02,,20.00,115.00")
    assert amounts_of(data) == ["-5.00", "20.00"]


def test_two_unknown_sides_are_asked_about_unless_a_balance_tells() -> None:
    rows = ["2024-01-01,5.00,0", "2024-01-02,0,20.00", "2024-01-03,7.00,0"]
    assert "amount" in asked(csv_of("Date,Amount,Autre", *rows))
    with_balance = ["2024-01-01,5.00,,95.00", "2024-01-02,,20.00,115.00", "2024-01-03,7.00,,108.00"]
    with_balance += ["2024-01-04,8.00,,100.00", "2024-01-05,,1.00,101.00"]
    assert amounts_of(csv_of("Date,Amount,Autre,Reste", *with_balance))[:2] == ["-5.00", "20.00"]


def test_a_balance_that_stands_in_rows_of_its_own_is_no_side() -> None:
    data = csv_of(
        "Data;Opis;Kwota;X", "2024-01-01;Saldo inicial;;100.00", "2024-01-02;Sklep;-5.00;", "2024-01-03;A;-2.00;"
    )
    assert amounts_of(data) == ["-5.00", "-2.00"]


def test_the_headers_currency_wins_against_a_sparse_column_of_foreign_ones() -> None:
    data = csv_of(
        "Date,Amount (JPY),Local amount,Currency", "2024-01-01,1200,,", "2024-01-02,1540,10.00,USD", "2024-01-03,480,,"
    )
    assert {record["currency"] for record in load_all(data).records} == {"JPY"}


def test_a_column_of_codes_next_to_the_amount_is_its_currency_whatever_it_is_called() -> None:
    data = csv_of("Date,Text,Mutatie,", '2024-01-01,A,EUR,"150,00"', '2024-01-02,B,USD,"-0,03"')
    records = load_all(data, mapping=Section(columns={"amount": ("column 4",)})).records
    assert [record["currency"] for record in records] == ["EUR", "USD"]


@pytest.mark.parametrize(
    ("cells", "field", "value"),
    [
        (["R38.70", "R1 028.90"], None, "38.70"),
        (["Rs. 1,250.00", "Rs. 99.50"], None, "1250.00"),
        (["12,50 kr", "1.099,00 kr"], None, "12.50"),
        (["12,50 zł", "1 099,00 zł"], "PLN", "12.50"),
        (["Xyz 12.50", "Xyz 99.10"], None, "12.50"),
        (["د.ك 4.750", "د.ك 93.210"], "KWD", "4.750"),
    ],
)
def test_a_sign_around_the_amounts_is_left_out_and_its_currency_asked_for_where_shared(
    cells: list[str], field: str | None, value: str
) -> None:
    data = csv_of("Date;Shop;Amount", *(f"2024-01-0{at};Shop {at};{cell}" for at, cell in enumerate(cells, 1)))
    if field is None:
        assert set(asked(data)) == {"currency"}
    record = load_all(data, mapping=Section(constants={} if field else {"currency": "ZAR"})).records[0]
    assert (record["amount"], record["currency"]) == (value, field or "ZAR")


def test_the_mapping_names_a_prefix_and_a_suffix() -> None:
    data = csv_of("Date,Text,Thing", "2024-01-01,A,about 5.00 coins", "2024-01-02,B,about 7.25 coins")
    columns = {"amount": ("Thing",)}
    constants = {"currency": "EUR"}
    found = amounts_of(data, columns=columns, amount_prefix="about", amount_suffix="coins", constants=constants)
    assert found == ["5.00", "7.25"]


def test_codes_that_begin_with_a_letter_are_no_amounts() -> None:
    assert common_affix(["INV-1", "INV-2"]) is None
    data = csv_of("Date,Order,Amount", "2024-01-01,R1001,5.00", "2024-01-02,R1002,6.00", "2024-01-03,R1003,7.00")
    assert amounts_of(data) == ["5.00", "6.00", "7.00"]


@pytest.mark.parametrize(("cell", "number"), [("Rs.500", "500"), ("kr.500", "500"), ("$.50", ".50"), ("USD.5", None)])
def test_the_point_of_an_abbreviation_is_no_decimal_point(cell: str, number: str | None) -> None:
    part = amounts.take_apart(cell)
    assert (part.number if part else None) == number


def test_a_date_without_a_year_is_asked_about_and_the_mapping_gives_the_year() -> None:
    assert asked(NO_YEAR)["occurred_at"][0].startswith("# year = ")
    when = [record["occurred_at"][:10] for record in load_all(NO_YEAR, mapping=Section(year=2024)).records]
    assert when == ["2024-12-30", "2024-01-02", "2024-01-03"]
    across = [record["occurred_at"][:10] for record in load_all(NO_YEAR, mapping=Section(year_from="12/2023")).records]
    assert across == ["2023-12-30", "2024-01-02", "2024-01-03"]


@pytest.mark.parametrize(
    ("cells", "mapping", "first"),
    [
        (["2102", "2202"], {}, "2018-02-21"),
        (["102", "2202"], {}, "2018-02-01"),
        (["'06/07", "'25/07"], {}, "2018-07-06"),
        (["07/25", "07/06"], {}, "2018-07-25"),
        (["01 Mrt", "03 Des"], {}, "2018-03-01"),
        (["Mar 1", "Dec 3"], {}, "2018-03-01"),
        (["6.7.", "25.7."], {}, "2018-07-06"),
        (["06/07 14:30", "25/07 15:00"], {}, "2018-07-06"),
        (["29/02", "01/03"], {"day_first": True, "year": 2024}, "2024-02-29"),
    ],
)
def test_dates_without_a_year_are_recognised_in_every_writing(
    cells: list[str], mapping: dict[str, Any], first: str
) -> None:
    data = csv_of("Date,Text,Amount", *(f"{cell},Shop {cell[:2]},-{at}.50" for at, cell in enumerate(cells, 1)))
    assert "year" in asked(data)["occurred_at"][0]
    record = load_all(data, mapping=Section(**({"year": 2018} | mapping))).records[0]
    assert record["occurred_at"][:10] == first


def test_a_date_format_without_a_year_is_refused_unless_the_year_is_given() -> None:
    with pytest.raises(ConfigError, match="has no year"):
        sources({"bank": {"files": ["*"], "date_format": "%d/%m"}})
    mapping = sources({"bank": {"files": ["*"], "date_format": "%d/%m", "year": 2024}})
    assert load_all(NO_YEAR, "bank.csv", mapping).records[0]["occurred_at"] == "2024-12-30T00:00:00Z"


def test_no_printed_answer_dates_every_row_alike() -> None:
    lines = asked(csv_of("a,Amount,b", "x,1.50,y", "z,2.50,w"))["occurred_at"]
    assert not any(line.startswith("constants") for line in lines)


def test_six_digits_are_shown_in_both_readings_and_never_decided() -> None:
    data = csv_of("oper;amount", "150103;5.75", "150104;7.20", "151231;8.10")
    assert any("150103 is 2015-01-03" in line for line in asked(data)["occurred_at"])
    mapping = Section(columns={"occurred_at": ("oper",)}, date_format="%y%m%d")
    assert load_all(data, mapping=mapping).records[2]["occurred_at"] == "2015-12-31T00:00:00Z"


def test_a_second_date_in_a_cell_stays_in_attributes() -> None:
    data = csv_of("Date,Text,Amount", "11/16/2020 as of 11/15/2020,Interest,0.14", "09/21/2020,Buy,-234.00")
    records = load_all(data).records
    assert [record["occurred_at"][:10] for record in records] == ["2020-11-16", "2020-09-21"]
    assert records[0]["attributes"]["Date"] == "11/16/2020 as of 11/15/2020"
    assert "Date" not in records[1].get("attributes", {})


def test_rounding_is_to_the_even_neighbour_and_suggested_for_the_noise_of_floats() -> None:
    data = csv_of("Date,Text,Amount", "2024-01-01,A,22.200000000000003", "2024-01-02,B,2.345", "2024-01-03,C,-0.001")
    assert any("round_to = 2 stores 22.20" in note for note in plan_of(data).notes)
    assert amounts_of(data) == ["22.200000000000003", "2.345", "-0.001"]
    assert amounts_of(data, round_to=2) == ["22.20", "2.34", "0.00"]


def test_an_amount_with_a_second_one_in_a_note_is_refused_by_a_reason_of_its_own() -> None:
    data = csv_of("Date,Text,Amount", "2024-01-01,A,10.20", "2024-01-02,B,131.77(refunded 89.84)", "2024-01-03,C,5.00")
    assert [row.reason for row in load_all(data).refused] == ["amount_with_note"]


def test_words_that_are_neither_debit_nor_credit_are_asked_about() -> None:
    data = csv_of("Date,Amount,Direction", "2024-01-01,5.00,out", "2024-01-02,6.00,in", "2024-01-03,7.00,transfer")
    assert "neutral_words" in asked(data)["amount"][2]
    assert amounts_of(data, neutral_words=("transfer",)) == ["-5.00", "6.00", "7.00"]
    assert amounts_of(data, debit_words=("transfer",)) == ["-5.00", "6.00", "-7.00"]


def test_an_id_that_repeats_with_other_content_is_asked_about_with_both_rows() -> None:
    data = csv_of(
        "Date,Transaction ID,Account,Amount", *(f"2024-01-01,tx{at // 2:03},{'ab'[at % 2]},{at}.50" for at in range(40))
    )
    plan = plan_of(data)
    (question,) = plan.undecided
    assert question.field == "transaction_id"
    assert "tx000 | a" in question.question
    assert "tx000 | b" in question.question
    assert len({record["transaction_id"] for record in load_all(data, mapping=Section(id="derived")).records}) == 40


def test_an_id_that_repeats_in_equal_rows_is_an_id() -> None:
    rows = [f"2024-01-01,tx{at:03},{at}.50" for at in range(20)]
    plan = plan_of(csv_of("Date,Transaction ID,Amount", *rows, rows[3]))
    assert not plan.undecided
    assert plan.rules.id_rule == "columns"


def statement(rows: list[tuple[str, str, int]], balance: int) -> bytes:
    lines = ["Date,Description,Amount,Balance"]
    for day, text, cents in rows:
        balance += cents
        lines.append(f"{day},{text},{cents / 100:.2f},{balance / 100:.2f}")
    return csv_of(*lines)


@pytest.mark.parametrize("nothing", ["NOTPROVIDED", "not provided", "NONREF", "n/a", "000000"])
def test_a_column_with_words_for_no_reference_is_no_id(nothing: str) -> None:
    rows = [f"2024-01-{day:02},Shop {day},-{day}.50,{100_000 + day}" for day in range(1, 10)]
    named = csv_of("Date,Text,Amount,Transaction ID", *rows)
    assert plan_of(named).uses["transaction_id"].columns == ("Transaction ID",)
    plan = plan_of(csv_of("Date,Text,Amount,Transaction ID", *rows, f"2024-01-10,Shop,-1.25,{nothing}"))
    assert plan.derives_ids
    assert not plan.undecided


def test_an_id_that_counts_from_zero_is_an_id() -> None:
    rows = [f"2024-01-{day + 1:02},Shop {day},-{day}.50,{day}" for day in range(9)]
    assert not plan_of(csv_of("Date,Text,Amount,Transaction ID", *rows)).derives_ids


def test_a_derived_id_leaves_out_what_changes_from_export_to_export() -> None:
    first = [(f"2026-06-{day:02}", f"Kiosk {day}", -100 * day) for day in range(1, 21)]
    later = [*first[:9], ("2026-06-09", "Late fee", -250), *first[9:]]
    before, after = (
        {record["transaction_id"] for record in load_all(statement(rows, 500_000)).records} for rows in (first, later)
    )
    assert len(after) == 21
    assert before < after


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Balance", ["100.00", "93.50", "80.00"]),
        ("Reste", ["96.50", "94.40", "89.30", "84.20", "79.10"]),
        ("Status", ["pending", "booked", "booked"]),
        ("Amount Refunded", ["0.00", "2.10", "0.00"]),
        ("Exported at", ["2024-02-01 10:00", "2024-02-01 10:00", "2024-02-01 10:00"]),
        ("No.", ["1", "2", "3"]),
        ("", ["3", "2", "1"]),
    ],
)
def test_balances_statuses_stamps_and_row_numbers_are_volatile(name: str, cells: list[str]) -> None:
    amounts_written = ["-3.50", "-2.10", "-5.10", "-5.10", "-5.10"]
    rows = [
        f"2024-01-{at + 1:02},Shop {at},{amount},{cell}"
        for at, (amount, cell) in enumerate(zip(amounts_written, cells, strict=False))
    ]
    plan = plan_of(csv_of(f"Date,Description,Amount,{name}", *rows))
    assert plan.ids_left_out == (name or "column 4",)


def test_a_file_in_two_encodings_is_asked_about() -> None:
    header, rows = "Date,Description,Amount\n", [f"2024-01-{day:02},Café {day},-{day}.50\n" for day in range(1, 9)]
    utf8 = header.encode() + "".join(rows).encode()
    mixed = utf8 + "2024-01-09,Bäcker,-9.50\n".encode("cp1252")
    (question,) = plan_of(mixed).undecided
    assert question.question.startswith("8 lines of the file (2, 3, 4, ...) are UTF-8, others are ")
    assert 'encoding = "' not in section_text(plan_of(mixed), "bank.csv").replace("# encoding", "")
    assert plan_of(mixed, mapping=Section(encoding="cp1252")).undecided == ()
    assert plan_of(utf8).undecided == ()
    assert plan_of((header + "".join(rows)).encode("cp1252")).undecided == ()


def test_the_mapping_names_the_columns_of_an_id() -> None:
    data = csv_of("Date,Description,Amount,Note", "2024-01-01,Shop,-3.50,a", "2024-01-02,Bus,-2.10,b")
    other = csv_of("Note,Date,Description,Amount", "x,2024-01-01,Shop,-3.50", "y,2024-01-02,Bus,-2.10")
    mapping = Section(name="bank", id_columns=("Date", "Description", "Amount"))
    one, two = (
        [record["transaction_id"] for record in load_all(file, mapping=mapping).records] for file in (data, other)
    )
    assert one == two


def test_states_and_modes_fill_no_field() -> None:
    data = csv_of(
        "Date,Amount,State,Mode",
        "2024-01-01,5.00,Tamil Nadu,Test",
        "2024-01-02,6.00,Kerala,Live",
        "2024-01-03,7.00,Goa,Live",
    )
    record = load_all(data).records[0]
    assert "status" not in record
    assert "payment_method" not in record
    assert record["attributes"] == {"State": "Tamil Nadu", "Mode": "Test"}


@pytest.mark.parametrize("code", ["JPY", "KRW", "VND", "CLP"])
def test_currencies_without_cents_need_no_question_about_them(code: str) -> None:
    rows = [f"2024-01-{day:02},Shop {day},{day * 1000},{code}" for day in range(1, 20)]
    assert asked(csv_of("Date,Shop,Amount,Currency", *rows)) == {}


def test_a_coin_without_a_code_of_three_letters_keeps_no_other_coins_code() -> None:
    data = csv_of("Date,Note,Amount", "2024-06-13,a,225.59USDT", "2024-06-14,b,0.00011BTC")
    assert [record.get("currency") for record in load_all(data).records] == [None, "BTC"]


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("Time (CET)", "2023-07-03T18:05:10+02:00"),
        ("Time (UTC)", "2023-07-03T18:05:10Z"),
        ("Time CET", "2023-07-03T18:05:10+02:00"),
    ],
)
def test_a_zone_in_the_columns_name_is_that_of_its_times(name: str, time: str) -> None:
    data = csv_of(f"{name},Amount,Payee", "2023-07-03 18:05:10,-5.50,Tea", "2023-12-03 18:05:10,9.00,Pay")
    assert load_all(data).records[0]["occurred_at"] == time


def test_a_zone_that_may_change_in_summer_is_asked_about_unless_the_cells_have_one() -> None:
    bare = csv_of("Time (EST),Amount", "2023-07-03 18:05:10,-5.50", "2023-12-03 18:05:10,9.00")
    assert 'time_zone = "America/New_York"' in asked(bare)["occurred_at"][0]
    assert asked(bare, time_zone="America/New_York") == {}
    own = csv_of("Time (EST),Amount", "2023-07-03 18:05:10-05:00,-5.50", "2023-12-03 18:05:10-05:00,9.00")
    days = csv_of("Date (EST),Amount", "2023-07-13,-5.50", "2023-12-13,9.00")
    assert asked(own) == asked(days) == {}


def test_a_long_list_of_single_texts_before_other_rows_has_a_delimiter_too() -> None:
    data = csv_of("Date,Amount", *(f"2024-01-{day % 28 + 1:02},{day}.50" for day in range(100)), "2024-01-01,1.00|x")
    assert plan_of(data).dialect.delimiter == ","


def test_a_bare_dollar_next_to_dates_that_begin_with_the_month_is_that_of_the_united_states() -> None:
    data = csv_of("Date,Text,Amount", "06/13/2024,a,$225.59", "06/14/2024,b,-$1.10")
    assert {record["currency"] for record in load_all(data).records} == {"USD"}
    assert any("USD" in note and "constants.currency" in note for note in plan_of(data).notes)


def test_any_other_bare_dollar_leaves_the_currency_empty_and_the_note_says_so() -> None:
    data = csv_of("Date,Text,Amount", "13/06/2024,a,$225.59", "14/06/2024,b,-$1.10")
    assert all("currency" not in record for record in load_all(data).records)
    assert any("$" in note and "constants.currency" in note for note in plan_of(data).notes)
    canadian = load_all(data, mapping=Section(constants={"currency": "CAD"})).records
    assert {record["currency"] for record in canadian} == {"CAD"}
