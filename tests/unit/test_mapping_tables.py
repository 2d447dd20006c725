"""A file with several tables: only one is loaded, and the mapping says which. Nothing is left out silently."""

from __future__ import annotations

import pytest

from rtp_workers.mapping.sources import Section
from tests.mapping_files import csv_of, load_all, plan_of

CASH = [
    "Date,Details,Amount,Balance,,",
    "28/03/2022,Deposit,1500,1500,,",
    "29/03/2022,Bought 15 Foo,-1482.06,17.94,,",
    "30/03/2022,Interest,0.41,18.35,,",
]
SHARES = [
    "Date,InvestmentName,TransactionDetails,Quantity,Price,Cost",
    "30/03/2022,Foo,Bought 15 Foo,15,98.804,1482.06",
    "31/03/2022,Bar,Sold 1 Bar,1,104.06,104.06",
]
BLANK = ",,,,,"
TWO_TABLES = csv_of("Cash Transactions,,,,,", *CASH, BLANK, "Investment Transactions,,,,,", *SHARES, BLANK)


def test_two_tables_of_transactions_are_asked_about() -> None:
    [question] = [one for one in plan_of(TWO_TABLES).undecided if "tables" in one.question]
    assert question.lines == ("# header_line = 2", "# header_line = 8")


def test_the_table_that_the_mapping_names_is_loaded_and_no_row_of_the_other_one_is_misread() -> None:
    cash = load_all(TWO_TABLES, mapping=Section(header_line=2))
    assert [record["amount"] for record in cash.records] == ["1500", "-1482.06", "0.41"]
    assert {row.reason for row in cash.refused} >= {"amount_not_a_number"}
    shares = load_all(TWO_TABLES, mapping=Section(header_line=8))
    assert [record["amount"] for record in shares.records] == ["1482.06", "104.06"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Account,Period,Opening balance", "DE12,Jan 2024,100.00", BLANK, *SHARES],
        [*CASH, BLANK, *CASH],
        ["Date,Details,Amount,Balance,,", *CASH],
        [CASH[0], "when,what,how much,left,,", *CASH[1:]],
    ],
    ids=["a preamble", "the same header again", "a header said twice", "a second line of names"],
)
def test_one_table_is_not_taken_for_several(lines: list[str]) -> None:
    assert not any("tables" in one.question for one in plan_of(csv_of(*lines)).undecided)


def test_a_line_of_totals_below_numbers_is_refused_where_no_row_has_a_date() -> None:
    data = csv_of("Pers.-Nr.;Name;Gesamtbrutto", "05126;Ann;4.776,50", "05127;Bob;3.776,00", "Summen:;;8.552,50")
    loaded = load_all(data, mapping=Section(constants={"occurred_at": "2026-01-31T00:00:00Z"}))
    assert [record["amount"] for record in loaded.records] == ["4776.50", "3776.00"]
    assert [row.reason for row in loaded.refused] == ["balance_line"]
