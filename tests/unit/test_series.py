"""Which source a file belongs to, what its memory fixes, and when two files cannot be one series: pure decisions."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from rtp_workers.batch.overlap import compare, cut_off, ids_that_repeat, repeats
from rtp_workers.batch.probe import Probe, ProbeRow
from rtp_workers.batch.series import recall, remembered_plan, remembered_section
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.sources import Section
from rtp_workers.postgres.csv_sources import CsvSource, StoredRow
from tests.mapping_files import csv_of, plan_of

HEADER = ("Date", "Description", "Amount")
READING = {
    "columns": {"date": ["Date"], "amount": ["Amount"], "merchant": ["Description"]},
    "rules": {"date_order": "DMY", "decimal_mark": ",", "time_zone": "UTC", "sign": "as_is"},
}
OCCURRED = datetime(2026, 1, 1, tzinfo=UTC)
SPANS = (("2026-01-01", "2026-01-31"),)
MEMORY = CsvSource("bank", None, "columns-1", "derived-2", HEADER, HEADER, READING, "january.csv", rows=31, spans=SPANS)


def row(day: int, text: str = "Shop", *, month: int = 1, amount: str = "-1.00", **more: Any) -> ProbeRow:
    number = f"{month}/{day} {text} {amount}"
    return ProbeRow(number, f"2026-{month:02d}-{day:02d}T00:00:00Z", amount, text, **more)


def stored(*rows: ProbeRow, **changed: Any) -> dict[str, StoredRow]:
    found = {}
    for one in rows:
        kept = StoredRow(
            one.transaction_id, OCCURRED, "csv:january.csv", 1, one.status, json.dumps(one.attributes or {})
        )
        found[one.transaction_id] = dataclasses.replace(kept, **changed)
    return found


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (HEADER, True),
        ((*HEADER, "Card"), True),
        (("Amount", "Date", "Description"), True),
        (("Date", "Amount"), True),
        (("Date", "Description"), False),
        (("Date", "Amount", "A", "B", "C"), False),
        (("Date", "Text", "Amount"), False),
    ],
    ids=["same", "added", "reordered", "dropped", "no amount", "mostly other", "another text"],
)
def test_a_file_without_a_section_belongs_to_the_source_with_its_columns(header: tuple[str, ...], found: bool) -> None:
    assert (recall([MEMORY], Section(), header, ()) is MEMORY) == found


def test_a_bank_may_drop_the_second_of_several_amounts() -> None:
    columns = {"date": ["Date"], "debit": ["Out", "Fee"], "credit": ["In"]}
    header = ("Date", "Text", "In", "Out", "Fee")
    memory = dataclasses.replace(MEMORY, header=header, id_columns=header, reading={**READING, "columns": columns})
    later = header[:-1]
    assert recall([memory], Section(), later, ()) is memory
    assert remembered_section(Section(), memory, later).columns["debit"] == ("Out",)
    assert recall([memory], Section(), ("Date", "Text", "In", "Fee"), ()) is None


def test_a_source_whose_section_is_alive_is_not_inherited() -> None:
    giro = dataclasses.replace(MEMORY, section="giro")
    assert recall([giro], Section(name="savings", files=("s*",)), HEADER, {"giro", "savings"}) is None
    assert recall([giro], Section(name="renamed", files=("s*",)), HEADER, {"renamed"}) is giro
    assert recall([giro], Section(name="giro", files=("s*",)), HEADER, {"giro"}) is giro


def test_a_section_keeps_its_own_word_and_takes_the_rest_from_the_memory() -> None:
    given = Section(name="bank", files=("b*",), decimal_mark=".")
    section = remembered_section(given, MEMORY, HEADER)
    assert (section.decimal_mark, section.day_first, section.id, section.id_source) == (
        ".",
        True,
        "derived",
        "columns-1",
    )
    assert section.columns["amount"] == ("Amount",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id_source": "other"},
        {"id": "columns"},
        {"id_columns": ("Date",)},
        {"columns": {"transaction_id": ("Description",)}},
    ],
)
def test_a_section_that_would_issue_new_ids_is_refused_with_the_line_that_keeps_them(wrong: dict[str, Any]) -> None:
    section = dataclasses.replace(Section(name="bank", files=("b*",)), **wrong)
    with pytest.raises(ConfigError, match=r"Keep their ids with\n  (id|id_source|id_columns) = "):
        remembered_section(section, MEMORY, HEADER)
    remembered_section(section, dataclasses.replace(MEMORY, rows=0), HEADER)


def test_exports_of_one_account_agree_but_for_a_late_booking() -> None:
    old = [row(day) for day in range(1, 32)]
    new = [*old[9:], row(15, "Late fee"), *(row(day, month=2) for day in range(1, 20))]
    overlap = compare(Probe(tuple(new), whole=True), stored(*old[9:]), MEMORY, lambda first, last: 21)
    assert overlap.is_one_series


@pytest.mark.parametrize("shared", [1, 2, 3, 8])
def test_accounts_that_share_a_few_rows_are_not_one_series(shared: int) -> None:
    new = [row(day, "Fee" if day <= shared + 1 else "Own") for day in range(2, 29)]
    overlap = compare(Probe(tuple(new), whole=True), stored(*new[:shared]), MEMORY, lambda first, last: 25)
    assert not overlap.is_one_series


def test_files_that_follow_each_other_or_share_nothing_are_no_question() -> None:
    march = Probe(tuple(row(day, month=3) for day in range(1, 20)), whole=True)
    assert compare(march, {}, MEMORY, lambda first, last: 0).is_one_series
    other = Probe(tuple(row(day, "Own") for day in range(1, 20)), whole=True)
    assert compare(other, {}, MEMORY, lambda first, last: 19).is_one_series


def test_equal_purchases_on_a_day_that_both_files_cut_off_are_doubtful() -> None:
    coffee = row(31, "Coffee", attributes={"Balance": "97.00"})
    found = Probe((coffee, row(1, month=2)), whole=True)
    for balance, doubtful in (("100.00", [coffee]), ("97.00", [])):
        known = stored(coffee, attributes=json.dumps({"Balance": balance}))
        overlap = compare(found, known, MEMORY, lambda first, last: 0)
        assert cut_off(found, overlap, known, MEMORY) == doubtful


def test_a_file_that_repeats_transactions_under_new_ids_is_noticed() -> None:
    rows = [row(day) for day in range(1, 11)]
    alike = {at: (f"other-{at}", "csv:old.csv") for at in range(8)}
    assert repeats(rows, alike, named=False) == "csv:old.csv"
    assert repeats(rows, {0: alike[0], 9: alike[1]}, named=False) is None
    scattered = {at: (f"other-{at}", "csv:old.csv") for at in (0, 2, 4, 5, 6, 9)}
    assert repeats(rows, scattered, named=False) == "csv:old.csv"
    assert repeats(rows, scattered, named=True) is None


def test_an_id_with_two_contents_is_found() -> None:
    first = row(1)
    other = ProbeRow(first.transaction_id, first.occurred_at, "-9.99", "Other")
    assert ids_that_repeat([first, row(2), other]) == (first, other)
    assert ids_that_repeat([first, row(2), first]) is None


def test_an_attribute_of_earlier_files_stays_an_attribute() -> None:
    """A later release, or more rows, may know more of a column; the field of stored rows is empty all the same."""
    reading = READING | {"columns": {"date": ["Date"], "amount": ["Amount"]}}
    memory = dataclasses.replace(MEMORY, reading=reading)
    lines = ("Date,Description,Amount,Category", "31/01/2026,Shop,-1.00,Food", "30/01/2026,Baker,-2.00,Food")
    plan = plan_of(csv_of(*lines))
    recalled = remembered_plan(plan, Section(), memory)
    assert recalled.attributes == ("Description",)
    assert recalled.uses["category"].columns == ("Category",)  # earlier files did not have it
    assert remembered_plan(plan, Section(columns={"merchant": ("Description",)}), memory).attributes == ()
