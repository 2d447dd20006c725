"""A field is filled without a question only if something says so and nothing else may be it."""

from __future__ import annotations

import pytest

from tests.mapping_files import csv_of, plan_of


def asked(data: bytes) -> dict[str, str]:
    return {question.field: question.question for question in plan_of(data).undecided}


def column_of(data: bytes, field: str) -> str | None:
    use = plan_of(data).uses.get(field)
    return use.columns[0] if use is not None else None


def test_a_name_that_is_known_in_part_is_no_amount_next_to_unknown_numbers() -> None:
    data = csv_of(
        "Date,Market Value,Contribution",
        "2024-01-02,1520.11,100.50",
        "2024-01-03,1640.87,120.25",
        "2024-01-04,1755.19,110.75",
    )
    question = next(one for one in plan_of(data).undecided if one.field == "amount")
    assert "Market Value" in question.question
    assert "Contribution" in question.question
    assert [line[:1] for line in question.lines] == ["#", "#"]
    assert "1520.11, 1640.87" in question.lines[0]
    assert "100.50, 120.25" in question.lines[1]


def test_the_only_amount_needs_no_full_name() -> None:
    data = csv_of("Date,Market Value,Fee", "2024-01-02,1520.11,1.00", "2024-01-03,1640.87,1.50")
    assert asked(data) == {}
    assert column_of(data, "amount") == "Market Value"


@pytest.mark.parametrize(
    "rows",
    [
        # Value is the product of the other two.
        ["2024-01-02,20.00,10.00,2.00", "2024-01-03,45.00,15.00,3.00", "2024-01-04,8.50,8.50,1.00"],
        # Only Value has both signs.
        ["2024-01-02,-20.00,7.15,3.25", "2024-01-03,45.00,8.25,3.50", "2024-01-04,-8.50,9.35,3.75"],
        # Running is what Value adds up to.
        *[["2024-01-02,20.00,120.00,1.1", "2024-01-03,45.00,165.00,1.3", "2024-01-04,8.50,173.50,1.9",
           "2024-01-05,1.50,175.00,2.3"]],
    ],
)  # fmt: skip
def test_what_the_values_prove_is_not_asked_about(rows: list[str]) -> None:
    data = csv_of("Date,Value,Running,Grade", *rows)
    assert "amount" not in asked(data)
    assert column_of(data, "amount") == "Value"


def test_an_amount_whose_product_with_a_column_is_there_may_be_pieces() -> None:
    data = csv_of(
        "Date,Amount,Level,Funds",
        "2024-01-02,2.5,10.00,25.00",
        "2024-01-03,3.5,15.00,52.50",
        "2024-01-04,1.5,8.50,12.75",
    )
    assert "Funds" in str(plan_of(data).undecided)


def test_decimal_numbers_without_any_sign_of_money_are_asked_about() -> None:
    assert "amount" in asked(csv_of("Date,Film,Score", "2024-01-02,Alien,8.5", "2024-01-03,Heat,8.3"))
    assert "amount" not in asked(csv_of("Date,Film,Kosto", "2024-01-02,Alien,8.50", "2024-01-03,Heat,8.30"))


def test_a_price_in_a_market_is_asked_about() -> None:
    data = csv_of("Date,Symbol,Settlement Price", "2024-01-02,AAPL,185.64", "2024-01-03,AAPL,184.25")
    assert "amount" in asked(data)


def test_a_date_of_less_standing_is_asked_about_next_to_an_unknown_one() -> None:
    data = csv_of("Value Date,Dag van transaksie,Amount", "2024-01-13,2024-01-12,5.00", "2024-01-15,2024-01-13,6.00")
    assert "occurred_at" in asked(data)
    known = csv_of("Value Date,Posting Date,Amount", "2024-01-13,2024-01-12,5.00", "2024-01-15,2024-01-13,6.00")
    assert asked(known) == {}
    assert column_of(known, "occurred_at") == "Posting Date"


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("Card payment", "Direct Debit", "ATM"), "payment_method"),
        (("FOLGELASTSCHRIFT", "ONLINE-UEBERWEISUNG", "KARTENZAHLUNG"), "payment_method"),
        (("BUY", "SELL", "DIVIDEND"), None),
        (("limit", "market", "limit"), None),
        (("Deposit", "Withdrawal", "Deposit"), None),
    ],
)
def test_a_type_is_a_payment_method_only_if_most_of_its_words_are(words: tuple[str, ...], field: str | None) -> None:
    rows = [f"2024-01-0{day},{word},{day}.50" for day, word in enumerate(words, 1)]
    assert column_of(csv_of("Date,Type,Amount", *rows), "payment_method") == ("Type" if field else None)


@pytest.mark.parametrize("name", ["Product Name", "Notes", "Asset Name", "Item", "coffee_name"])
def test_a_merchant_needs_a_name_that_says_so(name: str) -> None:
    data = csv_of(f"Date,{name},Amount", "2024-01-02,Blue thing,5.00", "2024-01-03,Red thing,6.00")
    assert column_of(data, "merchant") is None
    assert plan_of(data).attributes == (name,)


@pytest.mark.parametrize(
    "cells", [("NL91ABNA0417164300", "DE89370400440532013000"), ("12-3456-7890123-00", "01-0001-0002211-02")]
)
def test_an_account_is_no_merchant(cells: tuple[str, str]) -> None:
    rows = [f"2024-01-0{day},{cell},{day}.50" for day, cell in enumerate(cells, 1)]
    assert column_of(csv_of("Date,Counterparty,Amount", *rows), "merchant") is None


def test_the_same_name_in_every_row_is_rather_the_owner() -> None:
    rows = [f"2024-01-0{day},A. Owner,{day}.50" for day in range(1, 7)]
    assert column_of(csv_of("Date,Name,Amount", *rows), "merchant") is None
    assert column_of(csv_of("Date,Merchant,Amount", *rows), "merchant") == "Merchant"


def test_an_account_that_changes_from_row_to_row_is_that_of_the_other_party() -> None:
    rows = [f"2024-01-0{day},100{day},{day}.50" for day in range(1, 5)]
    assert column_of(csv_of("Date,Account Number,Amount", *rows), "customer_id") is None
    assert column_of(csv_of("Date,Customer Number,Amount", *rows), "customer_id") == "Customer Number"
    own = [f"2024-01-0{day},1001,{day}.50" for day in range(1, 5)]
    assert column_of(csv_of("Date,Account Number,Amount", *own), "customer_id") == "Account Number"


def test_a_reference_is_no_id() -> None:
    rows = [f"2024-01-{day:02},REF{day},{day}.50" for day in range(1, 13)]
    assert column_of(csv_of("Date,Reference Number,Amount", *rows), "transaction_id") is None
    assert column_of(csv_of("Date,Transaction ID,Amount", *rows[:4]), "transaction_id") == "Transaction ID"
    both = csv_of("bank_txn_id,Date,Reference,Amount", *(f"b-{n},{row}" for n, row in enumerate(rows)))
    assert column_of(both, "transaction_id") == "bank_txn_id"


def test_the_merchant_of_a_file_without_names_is_the_only_column_of_texts() -> None:
    one = csv_of("2024-01-02,Corner shop,-5.00", "2024-01-03,Book store,-6.50", "2024-01-04,Tea house,-7.25")
    assert column_of(one, "merchant") == "column 2"
    two = csv_of(
        "2024-01-02,Corner shop,Jane Doe,-5.00",
        "2024-01-03,Book store,Joe Poe,-6.50",
        "2024-01-04,Tea house,Al Roe,-7.25",
    )
    assert column_of(two, "merchant") is None
