"""Unsigned amounts that go both ways: what is asked, and what the printed answers give."""

from __future__ import annotations

from typing import Any

import pytest

from rtp_workers.mapping.sources import Section
from tests.mapping_files import asked, csv_of, load_all, plan_of


def amounts_of(data: bytes, **mapping: Any) -> list[str]:
    return [record["amount"] for record in load_all(data, mapping=Section(**mapping)).records]


def list_of(*kinds: str, name: str = "Type") -> bytes:
    rows = [f"2024-01-{day:02},{kind},Thing {day},{day}.50" for day, kind in enumerate(kinds, 11)]
    return csv_of(f"Date,{name},Note,Amount", *rows)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sale", "purchase"),
        ("Sales invoice", "Purchase invoice"),
        ("Loan", "Repayment"),
        ("Topup", "Payment"),
        ("Capital call", "Distribution"),
        ("Zugang", "Abgang"),
        ("Pix recebido", "Pix enviado"),
        ("Przelew przychodzący", "Przelew wychodzący"),
        ("매출", "매입"),
    ],
)
def test_kinds_that_are_opposites_are_asked_about(one: str, other: str) -> None:
    (line, *_) = asked(list_of(one, other, one, other))["amount"]
    assert line == 'columns.direction = "Type"'


@pytest.mark.parametrize(
    ("into", "out"),
    [("Wpłata", "Wypłata"), ("إيداع", "سحب"), ("Insättning", "Uttag"), ("Talletus", "Nosto"), ("充值", "消费")],
)
def test_words_for_deposits_and_withdrawals_give_the_sign(into: str, out: str) -> None:
    assert amounts_of(list_of(into, out, into)) == ["11.50", "-12.50", "13.50"]


@pytest.mark.parametrize("kinds", [("Card", "Cash"), ("Online", "Store"), ("Fixed", "Variable"), ("Needs", "Wants")])
def test_kinds_that_say_nothing_of_a_side_are_not_asked_about(kinds: tuple[str, str]) -> None:
    assert asked(list_of(*kinds, *kinds)) == {}


def test_a_refund_is_money_out_where_sales_are_money_in() -> None:
    data = list_of("sale", "fee", "refund", "sale")
    lines = asked(data)["amount"]
    assert next(line for line in lines if "refund" in line).startswith('debit_words = ["refund", "fee"]')
    answers = {"columns": {"direction": ("Type",)}, "debit_words": ("refund", "fee"), "credit_words": ("sale",)}
    assert amounts_of(data, **answers) == ["11.50", "-12.50", "-13.50", "14.50"]


def test_a_salary_among_other_categories_is_asked_about() -> None:
    data = list_of("Food", "Rent", "Salary", "Food", name="Category")
    lines = asked(data)["amount"]
    assert lines[1:3] == ('# credit_words = ["Salary"]', '# debit_words = ["Food", "Rent"]')
    company = csv_of("Date,Category,Employee,Amount", "2024-01-11,Food,Ann,5.50", "2024-01-12,Salary,Bob,900.50")
    assert asked(company) == {}


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_running_balance_tells_the_side_of_each_kind(newest_first: bool) -> None:
    steps = [("Opened", 500), ("Bought", -50), ("Bonus", 1), ("Bought", -100), ("Bonus", 2), ("Bought", -30)]
    rows, balance = [], 0
    for day, (kind, change) in enumerate(steps, 11):
        balance += change
        rows.append(f"2024-01-{day},{kind},{abs(change)}.00,{balance}.00")
    data = csv_of("Date,What,Amount,Balance", *(reversed(rows) if newest_first else rows))
    lines = asked(data)["amount"]
    assert lines[:3] == (
        '# columns.direction = "What"',
        '# debit_words = ["Bought"]',
        '# credit_words = ["Bonus", "Opened"]',
    )


def test_a_name_of_both_sides_means_the_direction() -> None:
    data = csv_of("DATUM;PRIJEM_VYDAJ;CASTKA", "1.1.2017;V;10.50", "2.1.2017;P;20.50", "13.1.2017;V;-1.50")
    answers = {"columns": {"direction": ("PRIJEM_VYDAJ",)}, "debit_words": ("V",), "credit_words": ("P",)}
    assert asked(data)["amount"][0] == 'columns.direction = "PRIJEM_VYDAJ"'
    assert amounts_of(data, **answers)[:2] == ["-10.50", "20.50"]


def test_a_fee_in_rows_without_either_side_is_money_out() -> None:
    rows = ["2024-01-11,Shop,,10.50,", "2024-01-12,Fee,,,0.50", "2024-01-13,Pay,99.00,,", "2024-01-14,Fee,,,3.00"]
    data = csv_of("Date,Text,Money In,Money Out,Fee", *rows)
    assert plan_of(data).uses["debit"].columns == ("Money Out", "Fee")
    assert amounts_of(data) == ["-10.50", "-0.50", "99.00", "-3.00"]
    both = csv_of("Date,Text,Money In,Money Out,Fee", *rows, "2024-01-15,Shop,,7.00,1.00")
    assert plan_of(both).uses["debit"].columns == ("Money Out",)


def test_of_several_amounts_the_first_filled_one_counts() -> None:
    data = csv_of("Date,Text,Paid,Charged", "2024-01-11,A,10.50,", "2024-01-12,B,,0.50", "2024-01-13,C,1.00,2.00")
    assert amounts_of(data, columns={"amount": ("Paid", "Charged")}) == ["10.50", "0.50", "1.00"]
