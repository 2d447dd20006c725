"""A field is filled without a question only if something says so and nothing else may be it."""

from __future__ import annotations

import pytest

from rtp_workers.mapping.sources import Section
from tests.mapping_files import csv_of, load_all, plan_of


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


def test_a_time_that_never_changes_is_not_that_of_the_transactions() -> None:
    data = csv_of(
        "Export date,Export time,Transaction date,Transaction time,Amount",
        "28.09.2024,14:38,27.08.2024,11:33,-4.31",
        "28.09.2024,14:38,28.08.2024,13:36,16.96",
    )
    assert column_of(data, "time") == "Transaction time"


def test_a_security_is_no_merchant() -> None:
    rows = [f"2024-01-0{day},Corp {day},CRP{day},{day},-{day}.50" for day in range(1, 4)]
    assert column_of(csv_of("Date,Name,Symbol,Shares,Amount", *rows), "merchant") is None


def test_a_side_whose_amounts_have_both_signs_is_asked_about() -> None:
    data = csv_of("Date,Debit,Credit", "2024-01-02,5.00,", "2024-01-03,,-120.00", "2024-01-04,,25.00")
    assert "Credit" in asked(data)["amount"]


def test_two_sides_without_names_are_asked_about() -> None:
    data = csv_of(
        "11/26/2022,SHOP A,35.01,,119.13",
        "11/23/2022,SHOP B,10.84,,84.12",
        "11/20/2022,SHOP C,42.90,,73.28",
        "11/16/2022,SHOP D,15.75,,30.38",
        "11/14/2022,SHOP E,14.63,,14.63",
        "10/29/2022,PAYMENT,,388.27,0.00",
    )
    assert "money out" in asked(data)["amount"]


def test_whole_numbers_with_signs_are_the_amount_of_a_file_without_names() -> None:
    data = csv_of("30-03-2023,-100,Tesco", "31-03-2023,2000,Salary", "01-04-2023,-500,Rent")
    assert column_of(data, "amount") == "column 2"


def test_a_month_in_words_is_no_text_around_an_amount() -> None:
    data = csv_of("Date,Amount", '"July 22, 2022",5.00', '"July 23, 2022",6.00')
    assert asked(data) == {}
    assert column_of(data, "occurred_at") == "Date"


def test_an_amount_in_cents_by_its_name_is_read_as_such() -> None:
    data = csv_of("id,date,amount_cents", "a,2024-01-02,1999", "b,2024-01-03,500")
    assert asked(data) == {}
    assert load_all(data).records[0]["amount"] == "19.99"


def test_a_dollar_in_the_name_of_the_amount_does_not_say_whose_it_is() -> None:
    data = csv_of("Date,Amount ($)", "13/06/2024,5.00", "14/06/2024,6.00")
    assert all("currency" not in record for record in load_all(data).records)


def test_a_number_of_things_does_not_compete_with_the_amount() -> None:
    data = csv_of("expense_date,expense_amount,expense_quantity", "2024-01-02,160.00,13", "2024-01-03,195.50,2")
    assert column_of(data, "amount") == "expense_amount"
    assert "amount" not in asked(data)


def test_a_flag_that_marks_income_is_asked_about() -> None:
    data = csv_of(
        "fecha,concepto,es_ingreso,cantidad", "2024-01-02,comida,,70", "2024-01-03,regalo,on,200", "2024-01-04,bus,,5"
    )
    question = next(one for one in plan_of(data).undecided if one.field == "amount")
    assert question.lines[:3] == (
        'columns.direction = "es_ingreso"', 'credit_words = ["on"]', 'debit_words = [""]',
    )  # fmt: skip


def test_a_link_is_no_merchant_and_the_kind_of_an_account_no_customer() -> None:
    data = csv_of("Date,Details,Account,Amount", "2024-01-02,https://a.example/1,Credit,5.00",
                  "2024-01-03,https://a.example/2,Credit,6.00")  # fmt: skip
    assert column_of(data, "merchant") is None
    assert column_of(data, "customer_id") is None


def test_the_shares_of_a_split_expense_do_not_compete_with_its_cost() -> None:
    data = csv_of(
        "Date,Description,Cost,Ann,Bob,Cy",
        "2024-01-02,Dinner,150.00,100.00,-50.00,-50.00",
        "2024-01-03,Taxi,30.00,-10.00,20.00,-10.00",
        "2024-01-04,Food,90.00,-30.00,-30.00,60.00",
    )
    assert asked(data) == {}
    assert column_of(data, "amount") == "Cost"


def test_the_date_of_the_record_is_asked_about_next_to_another_one() -> None:
    data = csv_of("outlay_date,created_date,amount", "2024-01-02,2024-01-05,5.00", "2024-01-03,2024-01-05,6.00",
                  "2024-01-03,2024-01-06,7.00")  # fmt: skip
    assert "outlay_date" in asked(data)["occurred_at"]


def test_refunds_without_a_sign_are_asked_about() -> None:
    rows = ["2024-01-02,payment,500.0", "2024-01-03,refund,100.0", "2024-01-04,payment,50.5"]
    assert "refund" in asked(csv_of("date,type,amount", *rows))["amount"]
    assert "amount" not in asked(csv_of("date,type,amount", *(row.replace("refund,", "refund,-") for row in rows)))


def test_a_column_of_dates_is_one_whatever_its_name_means_elsewhere() -> None:
    data = csv_of("sold_at,amount", "2024-01-02 10:00:00,5.00", "2024-01-03 11:00:00,6.00")
    assert column_of(data, "occurred_at") == "sold_at"


def test_the_number_of_a_card_is_no_merchant() -> None:
    rows = [f"2024-01-0{day},4835-****-****-5733  Df,-{day}.50" for day in range(1, 4)]
    assert column_of(csv_of("Date,Details,Amount", *rows), "merchant") is None


def test_whether_it_was_paid_is_no_sign() -> None:
    data = csv_of("payment_date,paid_in_full,amount_paid", "2024-01-02,1,206.27", "2024-01-03,0,666.45")
    assert "amount" not in asked(data)


def test_two_digit_years_that_rather_come_first_are_asked_about() -> None:
    """Read with the day first, these would be the 24th of January in three years."""
    data = csv_of(
        "Time,Coin,Change",
        "24-01-10 10:00:00,EUR,1000.00",
        "24-01-15 11:00:00,EUR,-200.50",
        "24-01-20 14:30:00,EUR,-20.25",
    )
    question = next(one for one in plan_of(data).undecided if one.field == "occurred_at")
    assert "may begin with the year or the day" in question.question
    assert question.lines == (
        '# date_format = "%y-%m-%d %H:%M:%S"  # 24-01-10 10:00:00 is 2024-01-10',
        '# date_format = "%d-%m-%y %H:%M:%S"  # 24-01-10 10:00:00 is 2010-01-24',
    )
    loaded = load_all(data, mapping=Section(date_format="%y-%m-%d %H:%M:%S"))
    assert [row["occurred_at"][:10] for row in loaded.records] == ["2024-01-10", "2024-01-15", "2024-01-20"]


def test_two_digit_years_that_hardly_vary_at_the_end_need_no_question() -> None:
    data = csv_of("Date,Amount", "03/01/24,1000.00", "15/01/24,-200.50", "28/02/24,-20.25")
    assert asked(data) == {}
