"""The sign of a statement's amounts is asked about if only the bank's point of view, or nothing at all, shows it."""

from __future__ import annotations

import pytest

from rtp_workers.mapping.sources import Section
from tests.mapping_files import csv_of, load_all, plan_of

CARD = csv_of(
    "Date,Description,Amount",
    "2024-01-15,GROCER,17.15",
    "2024-01-16,CINEMA,9.00",
    "2024-01-17,PAYMENT - THANK YOU,-26.15",
)
PURCHASES = csv_of("Date,Description,Amount", "2024-01-15,GROCER,17.15", "2024-01-16,CINEMA,9.00")


def lines_asked(data: bytes, mapping: Section | None = None) -> list[str]:
    return [line for question in plan_of(data, mapping=mapping).undecided for line in question.lines]


def test_both_answers_are_offered_and_neither_is_chosen() -> None:
    lines = lines_asked(CARD)
    assert [line.split("  ")[0] for line in lines] == ['# sign = "negate"', '# sign = "as_is"']


def test_the_answer_turns_every_sign_or_keeps_it() -> None:
    turned = load_all(CARD, mapping=Section(sign="negate")).records
    assert [record["amount"] for record in turned] == ["-17.15", "-9.00", "26.15"]
    kept = load_all(CARD, mapping=Section(sign="as_is")).records
    assert [record["amount"] for record in kept] == ["17.15", "9.00", "-26.15"]


def test_amounts_without_any_minus_are_read_as_written_and_a_note_says_so() -> None:
    assert lines_asked(PURCHASES) == []
    assert [record["amount"] for record in load_all(PURCHASES).records] == ["17.15", "9.00"]
    assert noted(PURCHASES)
    salary = csv_of("Date,Description,Amount", "2024-01-15,DEPOSIT,17.15", "2024-01-16,DEPOSIT,9.00")
    assert not noted(salary)


def test_a_mapping_that_names_the_amount_is_not_asked_again() -> None:
    assert lines_asked(CARD, Section(columns={"amount": ("Amount",)})) == []


def noted(data: bytes) -> bool:
    return any("all are read as money in" in note for note in plan_of(data).notes)


@pytest.mark.parametrize(
    "rows",
    [
        ["2024-01-15,GROCER,-17.15", "2024-01-16,CINEMA,-9.00", "2024-01-17,PAYMENT - THANK YOU,26.15"],
        ["2024-01-15,DEPOSIT,17.15", "2024-01-16,DEPOSIT,9.00", "2024-01-17,RENT,-26.15"],
        ["2024-01-15,PAYMENT RECEIVED,17.15", "2024-01-16,PAYMENT RECEIVED,9.00", "2024-01-17,REFUND,-6.15"],
        ["2024-01-15,SALE 1,17.15", "2024-01-16,SALE 2,9.00", "2024-01-17,REFUND 1,-17.15"],
    ],
)
def test_amounts_with_the_sign_of_an_account_need_no_answer(rows: list[str]) -> None:
    assert lines_asked(csv_of("Date,Description,Amount", *rows)) == []


@pytest.mark.parametrize(
    ("text", "amount", "other"),
    [
        ("Description", "Amount", "Customer"),
        ("Description", "Amount", "Order No"),
        ("Description", "Total paid", "Place"),
        ("Vendor", "Amount", "Place"),
    ],
)
def test_sales_payments_and_orders_without_a_sign_need_no_answer(text: str, amount: str, other: str) -> None:
    data = csv_of(f"Date,{text},{amount},{other}", "2024-01-15,GROCER,17.15,a", "2024-01-16,CINEMA,9.00,b")
    assert lines_asked(data) == []


def test_the_debt_of_a_card_proves_no_sign() -> None:
    rows = [f"2024-01-{10 + at},SHOP {at},****1234,10.00,{100 + 10 * at}.00" for at in range(6)]
    assert noted(csv_of("Date,Description,Card,Amount,Balance", *rows))
    bare = [row.replace("****1234", "main") for row in rows]
    assert not noted(csv_of("Date,Description,Account,Amount,Balance", *bare))
