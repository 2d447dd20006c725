"""What inference decides, what it asks for, and what the mapping file says instead."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rtp_workers.batch.blocks import BlockReader
from rtp_workers.batch.chunks import ChunkReader
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.infer import infer
from rtp_workers.mapping.sources import Section
from rtp_workers.postgres.csv_loads import Progress
from tests.mapping_files import csv_of, load_all, plan_of, sources

SIMPLE = csv_of("Date,Description,Amount", "2024-01-15,Coffee,-3.50", "2024-01-16,Pay,1000.00", "2024-01-17,Bus,-2.10")
AMBIGUOUS = csv_of("Date,Description,Amount", "03/04/2024,Coffee,-3.50", "05/06/2024,Pay,1000.00")


def lines_of(data: bytes, mapping: Section | None = None) -> list[str]:
    return [line for question in plan_of(data, mapping=mapping).undecided for line in question.lines]


def test_an_ambiguous_date_is_asked_for_with_the_line_that_decides_it() -> None:
    assert lines_of(AMBIGUOUS) == ["# day_first = true  # 31/12", "# day_first = false  # 12/31"]


@pytest.mark.parametrize(("day_first", "first"), [(True, "2024-04-03T00:00:00Z"), (False, "2024-03-04T00:00:00Z")])
def test_the_mapping_decides_the_day_order(day_first: bool, first: str) -> None:
    mapping = sources({"bank": {"files": ["bank*.csv"], "day_first": day_first}})
    assert load_all(AMBIGUOUS, "bank-1.csv", mapping).records[0]["occurred_at"] == first


def test_reading_ahead_decides_the_day_order_beyond_the_sample() -> None:
    pieces = iter([b"07/08/2024,Tea,-1.00\n", b"31/08/2024,Tea,-1.00\n"])
    plan = infer(AMBIGUOUS, "bank.csv", read_ahead=lambda: next(pieces, b""))
    assert plan.undecided == ()
    assert plan.rules.date_order == "DMY"


def test_another_date_column_that_decides_gives_the_day_order() -> None:
    data = csv_of("Date,Value Date,Amount", "03/04/2024,13/04/2024,1.00", "05/06/2024,06/06/2024,2.00")
    assert plan_of(data).rules.date_order == "DMY"


def test_a_later_row_that_contradicts_the_day_order_is_refused_by_line() -> None:
    rows = [f"{day:02}/01/2024,Coffee,-3.50" for day in range(1, 29)] + ["01/31/2024,Coffee,-3.50"]
    data = csv_of("Date,Description,Amount", *rows)
    loaded = load_all(data, mapping=Section(day_first=True))
    assert len(loaded.records) == 28
    assert [(row.line, row.reason) for row in loaded.refused] == [(30, "occurred_at_contradicts_order")]


def test_a_header_in_a_day_first_language_decides_the_day_order() -> None:
    data = csv_of("Buchungstag;Verwendungszweck;Betrag", "03/04/2024;Kaffee;-3,50", "05/06/2024;Lohn;1000,00")
    assert plan_of(data).rules.date_order == "DMY"


def test_a_step_counter_needs_an_origin() -> None:
    data = csv_of("step,type,amount,nameOrig", "1,PAYMENT,9839.64,C1", "25,TRANSFER,181.00,C2")
    assert any(line.startswith("step_origin = ") for line in lines_of(data))
    mapping = Section(step_origin="2024-01-01T00:00:00Z", step_unit="hour")
    assert load_all(data, mapping=mapping).records[1]["occurred_at"] == "2024-01-02T01:00:00Z"


def test_integer_cents_are_only_read_as_such_by_mapping() -> None:
    data = csv_of("id,date,amount", *(f"{n},2024-01-15,{n * 100}" for n in range(8, 20)))
    assert lines_of(data) == ['# amount_unit = "minor"  # 1999 is 19.99', '# amount_unit = "major"  # 1999 is 1999']
    assert load_all(data, mapping=Section(amount_unit="minor")).records[0]["amount"] == "8.00"
    assert load_all(data, mapping=Section(amount_unit="major")).records[0]["amount"] == "800"


def test_whole_amounts_that_people_write_are_no_cents() -> None:
    rows = [f"{n},2024-01-{n},{n * 1000}" for n in range(11, 20)]
    assert lines_of(csv_of("Nr,Date,Montant", *rows)) == []
    assert lines_of(csv_of("Flat,Date,Amount", *rows)) == []


def test_an_open_decimal_mark_is_asked_for() -> None:
    data = csv_of("date;amount", "2024-01-15;1.234", "2024-01-16;2.500")
    assert lines_of(data) == ['# decimal_mark = "."  # 1.234 is 1.234', '# decimal_mark = ","  # 1.234 is 1234']
    assert load_all(data, mapping=Section(decimal_mark=",")).records[0]["amount"] == "1234"


def test_two_columns_that_may_be_the_amount_are_asked_for() -> None:
    data = csv_of("Date,Amount,Total", "2024-01-15,1.00,1.20", "2024-01-16,2.00,2.40")
    assert lines_of(data) == [
        '# columns.amount = "Amount"  # e.g. 1.00, 2.00',
        '# columns.amount = "Total"  # e.g. 1.20, 2.40',
    ]
    mapping = Section(columns={"amount": ("Total",)})
    assert load_all(data, mapping=mapping).records[0]["amount"] == "1.20"


def test_a_unit_price_is_multiplied_only_by_mapping() -> None:
    data = csv_of("InvoiceDate,Quantity,UnitPrice", "2024-01-15 10:00,6,2.55", "2024-01-16 10:00,-2,3.39")
    assert 'columns.quantity = "Quantity"' in lines_of(data)[1]
    mapping = Section(columns={"amount": ("UnitPrice",), "quantity": ("Quantity",)})
    loaded = load_all(data, mapping=mapping)
    assert [record["amount"] for record in loaded.records] == ["15.30", "-6.78"]
    assert loaded.records[0]["attributes"] == {"Quantity": "6", "UnitPrice": "2.55"}


def test_unsigned_amounts_beside_words_for_debit_and_credit_are_asked_about() -> None:
    data = csv_of("date,amount,whatever", "2024-01-15,5.00,debit", "2024-01-16,9.00,credit")
    assert lines_of(data) == ['columns.direction = "whatever"', '# sign = "as_is"  # keep the amounts as they are']


def test_a_cards_type_is_no_direction() -> None:
    data = csv_of("date,amount,card_type", "2024-01-15,5.00,debit", "2024-01-16,9.00,credit")
    loaded = load_all(data)
    assert [record["amount"] for record in loaded.records] == ["5.00", "9.00"]


def test_the_mapping_can_teach_words_for_debit_and_credit() -> None:
    data = csv_of("date,amount,direction", "2024-01-15,5.00,ven", "2024-01-16,9.00,dovnitr")
    assert lines_of(data) == [
        'columns.direction = "direction"',
        'debit_words = []  # which of "dovnitr", "ven" take money out?',
        'credit_words = []  # which of "dovnitr", "ven" bring money in?',
    ]
    mapping = Section(columns={"direction": ("direction",)}, debit_words=("ven",), credit_words=("dovnitr",))
    assert [record["amount"] for record in load_all(data, mapping=mapping).records] == ["-5.00", "9.00"]


def test_a_word_inside_an_unknown_one_says_on_which_side_to_put_it() -> None:
    data = csv_of(
        "date,amount,direction", "2024-01-15,5.00,Paper-Out", "2024-01-16,9.00,Income", "2024-01-17,1.00,Moved"
    )
    assert lines_of(data) == [
        'columns.direction = "direction"',
        'debit_words = ["Paper-Out"]  # which of "Moved" take money out?',
        'credit_words = []  # which of "Moved" bring money in?',
    ]


def test_rows_without_a_mark_take_the_side_that_the_mapping_gives_them() -> None:
    data = csv_of("Date,Description,Amount,", "12-Dec-2019,Food,18.89,", "02-Dec-2019,Payment,+100.00,CR")
    assert lines_of(data)[:2] == ['columns.direction = "column 4"', 'debit_words = [""]  # the rows without a mark']
    mapping = Section(columns={"direction": ("column 4",)}, debit_words=("",))
    assert [record["amount"] for record in load_all(data, mapping=mapping).records] == ["-18.89", "100.00"]


def test_a_zone_that_several_places_call_the_same_is_asked_for_and_then_read() -> None:
    data = csv_of("id,time,amount", "1,Sat Feb 02 12:50:00 IST 2019,5.00", "2,Sun Feb 03 12:50:00 UTC 2019,6.00")
    assert lines_of(data) == ['time_zone = "Asia/Calcutta"  # its IANA name']
    for zone, first in (("Asia/Kolkata", "2019-02-02T12:50:00+05:30"), ("Asia/Jerusalem", "2019-02-02T12:50:00+02:00")):
        loaded = load_all(data, mapping=Section(time_zone=zone))
        assert [record["occurred_at"] for record in loaded.records] == [first, "2019-02-03T12:50:00Z"]
    assert lines_of(data, Section(time_zone="Europe/Paris")) == lines_of(data)


def test_dates_without_a_year_are_said_to_have_none() -> None:
    (question,) = plan_of(csv_of("Datum;Naam;Bedrag", "01 Mrt;Bakker;-3,50", "12 Apr;Loon;1000,00")).undecided
    assert question.question.startswith("the dates of Datum have no year (e.g. '01 Mrt', '12 Apr')")


def test_times_without_an_offset_are_in_the_sources_zone() -> None:
    data = csv_of("timestamp,amount", "2024-07-01 12:00:00,5.00", "2024-01-01 12:00:00,6.00")
    assert load_all(data).records[0]["occurred_at"] == "2024-07-01T12:00:00Z"
    berlin = load_all(data, mapping=Section(time_zone="Europe/Berlin"))
    assert [record["occurred_at"] for record in berlin.records] == [
        "2024-07-01T12:00:00+02:00",
        "2024-01-01T12:00:00+01:00",
    ]


def test_a_time_of_its_own_offset_keeps_it() -> None:
    data = csv_of("timestamp,amount", "2024-07-01T12:00:00-05:00,5.00")
    assert load_all(data, mapping=Section(time_zone="Europe/Berlin")).records[0]["occurred_at"].endswith("-05:00")


def test_constants_fill_every_row_and_a_column_wins_where_it_is_filled() -> None:
    data = csv_of("date,amount,currency", "2024-01-15,5.00,USD", "2024-01-16,6.00,")
    mapping = Section(constants={"currency": "EUR", "country": "DE"})
    records = load_all(csv_of("date,amount", "2024-01-15,5.00"), mapping=mapping).records
    assert (records[0]["currency"], records[0]["country"]) == ("EUR", "DE")
    assert [record.get("currency") for record in load_all(data).records] == ["USD", None]


def test_a_constant_is_no_guess_for_a_currency_that_is_not_understood() -> None:
    data = csv_of("date,amount,currency", "2024-01-15,5.00,USD", "2024-01-16,6.00,", "2024-01-17,7.00,USDT")
    mapping = Section(constants={"currency": "EUR"}, columns={"currency": ("currency",)})
    loaded = load_all(data, mapping=mapping)
    assert [record["currency"] for record in loaded.records] == ["USD", "EUR"]
    assert [(row.line, row.reason) for row in loaded.refused] == [(4, "currency_not_a_code")]


def test_a_constant_fills_no_country_that_is_not_understood() -> None:
    data = csv_of("date,amount,country", "2024-01-15,5.00,FR", "2024-01-16,6.00,", "2024-01-17,7.00,Atlantis")
    mapping = Section(constants={"country": "DE"}, columns={"country": ("country",)})
    records = load_all(data, mapping=mapping).records
    assert [record.get("country") for record in records] == ["FR", "DE", None]
    assert records[2]["attributes"] == {"country": "Atlantis"}


def test_columns_without_a_field_go_into_attributes_unless_dropped() -> None:
    data = csv_of("date,amount,Balance,Notes", "2024-01-15,5.00,100.00,x", "2024-01-16,6.00,106.00,")
    assert load_all(data).records[0]["attributes"] == {"Balance": "100.00", "Notes": "x"}
    dropped = load_all(data, mapping=Section(drop=("Balance", "Notes")))
    assert "attributes" not in dropped.records[0]


def test_attributes_over_the_limit_refuse_the_row_with_what_to_do() -> None:
    data = csv_of("date,amount,Raw", f"2024-01-15,5.00,{'x' * 9000}", "2024-01-16,6.00,y")
    loaded = load_all(data)
    assert len(loaded.records) == 1
    assert [(row.reason, "drop" in row.detail) for row in loaded.refused] == [("attributes_size", True)]


def test_a_value_too_long_for_its_field_goes_into_attributes_uncut() -> None:
    status = "s" * 100
    data = csv_of("date,amount,status", "2024-01-15,5.00,ok", f"2024-01-16,6.00,{status}")
    records = load_all(data, mapping=Section(columns={"status": ("status",)})).records
    assert "status" not in records[1]
    assert records[1]["attributes"] == {"status": status}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",,", "blank_row"),
        ("00/00/0000,Coffee,1.00", "occurred_at_not_a_date"),
        (",Coffee,1.00", "occurred_at_missing"),
        ("2024-01-15,Coffee,", "amount_missing"),
        ("2024-01-15,Coffee,abc", "amount_not_a_number"),
        ("2024-01-15,Opening balance,100.00", "balance_line"),
        ("Total,,1000.00", "balance_line"),
        ("Date,Description,Amount", "repeated_header"),
        ("2024-01-15,Coffee,$1,850.00", "ragged_row"),
        ("2024-01-15", "ragged_row"),
        ("", "blank_line"),
    ],
)
def test_what_is_no_transaction_is_refused_by_reason_and_line_and_its_neighbours_land(row: str, reason: str) -> None:
    data = SIMPLE + csv_of(row) + csv_of("2024-01-18,Tea,-1.00")
    loaded = load_all(data)
    assert len(loaded.records) == 4
    assert [(refused.line, refused.reason) for refused in loaded.refused] == [(5, reason)]


def test_the_mapping_can_name_rows_to_skip() -> None:
    data = SIMPLE + csv_of("2024-01-18,PENDING tea,-1.00")
    loaded = load_all(data, mapping=Section(skip_rows=("PENDING",)))
    assert [refused.reason for refused in loaded.refused] == ["skipped_by_mapping"]


def test_debit_and_credit_both_filled_refuse_the_row() -> None:
    data = csv_of("Date,Debit,Credit", "2024-01-15,5.00,", "2024-01-16,,6.00", "2024-01-17,0.00,7.00", "2024-01-18,1,2")
    loaded = load_all(data)
    assert [record["amount"] for record in loaded.records] == ["-5.00", "6.00", "7.00"]
    assert [refused.reason for refused in loaded.refused] == ["amount_on_both_sides"]


def test_a_debit_column_that_carries_its_own_minus_is_not_negated_twice() -> None:
    data = csv_of("Date,Debit,Credit", "2024-01-15,-5.00,", "2024-01-16,,6.00")
    assert [record["amount"] for record in load_all(data).records] == ["-5.00", "6.00"]


def test_a_canonical_header_needs_no_mapping() -> None:
    plan = plan_of(csv_of("transaction_id,occurred_at,amount", "a,2024-01-15T00:00:00Z,5"))
    assert plan.canonical
    assert not plan.derives_ids


def test_a_canonical_header_over_foreign_values_is_converted() -> None:
    data = csv_of("transaction_id;occurred_at;amount", "a;31.01.2024;1.234,50", "b;01.02.2024;2,00")
    loaded = load_all(data)
    assert not loaded.plan.canonical
    assert loaded.records[0] == {"transaction_id": "a", "occurred_at": "2024-01-31T00:00:00Z", "amount": "1234.50"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encoding_delimiter_and_line_ends_are_found(encoding: str, delimiter: str, newline: str) -> None:
    chinese = encoding == "gb18030"
    header = ["交易时间", "交易对方", "金额"] if chinese else ["Datum", "Empfänger", "Betrag"]
    names = ["小明餐厅", "北京超市", "某某公司"] if chinese else ["Bäckerei Süß", "Müller", "Käse"]
    rows = [header, *([f"2024-01-{15 + at}", name, f"-{at}.50"] for at, name in enumerate(names))]
    data = newline.join(delimiter.join(row) for row in rows) + newline
    loaded = load_all(data.encode(encoding))
    assert [record["merchant"] for record in loaded.records] == names
    assert loaded.records[2]["amount"] == "-2.50"


def test_a_surplus_empty_cell_on_every_row_belongs_to_no_column() -> None:
    data = csv_of("Date,Description,Amount", "2024-01-15,Coffee,-3.50,", "2024-01-16,Pay,1000.00,")
    loaded = load_all(data)
    assert len(loaded.records) == 2
    assert "attributes" not in loaded.records[0]


def test_an_amount_that_an_unquoted_comma_splits_is_refused_not_read_as_its_first_digit() -> None:
    data = csv_of("Date,Amount,Shop", "2024-01-15,$5.00,Tea", "2024-01-16,$1,850.00,Rent", "2024-01-17,$6.00,Tea")
    loaded = load_all(data)
    assert [record["amount"] for record in loaded.records] == ["5.00", "6.00"]
    assert [(row.line, row.reason) for row in loaded.refused] == [(3, "ragged_row")]


def test_the_files_preamble_is_no_part_of_the_refused_rows() -> None:
    data = csv_of(*(f"Preamble {n};" for n in range(24))) + csv_of(
        "Datum;Betrag", "15.01.2024;-3,50", "16.01.2024;1,00"
    )
    loaded = load_all(data)
    assert loaded.plan.dialect.header_line == 25
    assert len(loaded.records) == 2
    assert loaded.refused == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"files": ["*"], "colums": {}}, "unknown keys colums"),
        ({"files": ["*"], "columns": {"when": "Date"}}, "unknown fields when"),
        ({"columns": {"amount": "Amount"}}, "needs files"),
        ({"files": ["*"], "time_zone": "Berlin"}, "not an IANA time zone"),
        ({"files": ["*"], "day_first": "yes"}, "must be true"),
        ({"files": ["*"], "sign": "reverse"}, "not one of as_is, negate"),
        ({"files": ["*"], "constants": {"currency": "euro"}}, "is not valid; give the ISO 4217 code"),
        ({"files": ["*"], "constants": {"occurred_at": "yesterday"}}, "RFC 3339"),
        ({"files": ["*"], "header_line": -1}, "line number"),
        ({"files": ["*"], "delimiter": ";;"}, "one character"),
    ],
)
def test_a_wrong_mapping_is_an_error_that_names_section_and_key(entries: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        sources({"bank": entries})
    assert "[bank]" in str(error.value)


def test_a_mapping_that_names_a_missing_column_says_what_the_file_has() -> None:
    mapping = sources({"bank": {"files": ["*.csv"], "columns": {"amount": "Betrag"}}})
    with pytest.raises(ConfigError, match=r"Betrag.*it has: Date, Description, Amount"):
        plan_of(SIMPLE, "bank.csv", mapping)


@pytest.mark.parametrize("data", [b"", b"  \n\n"])
def test_an_empty_file_is_an_error_that_names_it(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"empty\.csv: the file is empty"):
        plan_of(data, "empty.csv")


def test_day_numbers_of_a_spreadsheet_are_read_by_mapping() -> None:
    data = csv_of("date,amount", "45306.5,5.00", "45307,6.00")
    records = load_all(data, mapping=Section(columns={"occurred_at": ("date",)}, date_format="excel")).records
    assert [record["occurred_at"] for record in records] == ["2024-01-15T12:00:00Z", "2024-01-16T00:00:00Z"]


def test_a_format_of_the_mapping_replaces_recognition() -> None:
    data = csv_of("date,amount", "15 01 24 at 10h,5.00", "99,6.00")
    mapping = Section(columns={"occurred_at": ("date",)}, date_format="%d %m %y at %Hh")
    loaded = load_all(data, mapping=mapping)
    assert loaded.records[0]["occurred_at"] == "2024-01-15T10:00:00Z"
    assert [row.reason for row in loaded.refused] == ["occurred_at_not_a_date"]


def test_a_load_that_goes_on_in_the_middle_gives_the_ids_of_a_whole_one(tmp_path: Path) -> None:
    data = csv_of("Date,Description,Amount", *["2024-01-15,Tea,-1.00"] * 5, "2024-01-16,Bus,-2.00")
    whole = [record["transaction_id"] for record in load_all(data).records]
    plan = plan_of(data)
    offset = len(csv_of("Date,Description,Amount", *["2024-01-15,Tea,-1.00"] * 3))
    start = Progress(byte_offset=offset, line_number=4)
    chunks = ChunkReader(BlockReader(io.BytesIO(data), "utf-8"), plan, start, tmp_path)
    rest = [json.loads(value)["transaction_id"] for chunk in chunks.chunks() for value in chunk.encoded.values]
    chunks.close()
    assert rest == whole[3:]
