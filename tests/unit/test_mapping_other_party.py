"""The merchant is the other party of a transaction: not the kind of payment, its purpose, or the account's owner."""

from __future__ import annotations

import pytest

from tests.mapping_files import csv_of, plan_of

PURCHASES = ("2026-01-15", "2026-01-16", "2026-01-17")


def merchant_of(header: str, *cells: str) -> tuple[str, ...]:
    """Returns the columns that fill the merchant of a file with dates, amounts and these cells."""
    rows = (f"{day},-{at}2.50,{row}" for at, (day, row) in enumerate(zip(PURCHASES, cells, strict=True), start=1))
    uses = plan_of(csv_of(f"Date,Amount,{header}", *rows)).uses
    return uses["merchant"].columns if "merchant" in uses else ()


@pytest.mark.parametrize(
    ("header", "cells", "merchant"),
    [
        ("Beschreibung,Name", ("Express-Zahlung,Laden", "Gutschrift,Anna", "Abbuchung,Markt"), ("Name",)),
        ("Opis operacji,Nadawca/Odbiorca", ("PRZELEW,Anna", "ZAKUP,", "ZAKUP,"), ("Nadawca/Odbiorca",)),
        ("Naam tegenrekening,Omschrijving", ("Anna,extra", ",CCV Auto", "Bakker,januari"), ("Naam tegenrekening",)),
        ("Description,Member Name", ("Baker,JO DOE", "Butcher,JO DOE", "Grocer,JO DOE"), ("Description",)),
        ("Description", ("Baker", "Butcher", "Grocer"), ("Description",)),
    ],
)
def test_a_column_for_the_other_party_comes_before_a_description(
    header: str, cells: tuple[str, ...], merchant: tuple[str, ...]
) -> None:
    assert merchant_of(header, *cells) == merchant


@pytest.mark.parametrize(
    "header", ["From,To", "Sender,Recipient", "Zahlungspflichtige*r,Zahlungsempfänger*in", "Ordenante,Beneficiario"]
)
def test_one_of_two_sides_is_no_merchant(header: str) -> None:
    """On the other side is the account's owner, and which one it is depends on the row."""
    assert merchant_of(header, "Jo Doe,Baker", "Anna,Jo Doe", "Jo Doe,Grocer") == ()


@pytest.mark.parametrize("header", ["Description,Beneficiary details", "Description,Trading name"])
def test_a_description_is_no_merchant_where_another_column_may_name_the_other_party(header: str) -> None:
    assert merchant_of(header, "card payment,Baker", "transfer,Anna", "card payment,Grocer") == ()


@pytest.mark.parametrize(
    ("column", "cells", "field"),
    [
        ("Client Reference", ("REF1", "REF2", "REF3"), "customer_id"),
        ("Customer Ref", ("REF1", "REF2", "REF3"), "customer_id"),
        ("Account Type", ("CHECKING", "CHECKING", "CHECKING"), "payment_method"),
        ("Type", ("Checking", "Checking", "Savings"), "payment_method"),
        ("Case status text", ("open", "open", "closed"), "status"),
    ],
)
def test_a_field_needs_a_whole_name(column: str, cells: tuple[str, ...], field: str) -> None:
    rows = (f"{day},-2.50,{cell}" for day, cell in zip(PURCHASES, cells, strict=True))
    plan = plan_of(csv_of(f"Date,Amount,{column}", *rows))
    assert field not in plan.uses
    assert column in plan.attributes


def test_a_slash_in_the_column_for_the_direction_is_asked_about() -> None:
    header = "交易时间,交易对方,收/支,金额(元)"
    rows = ("2024-01-15 10:30:00,A,支出,35.00", "2024-01-16 09:00:00,B,收入,20.00", "2024-01-17 14:00:00,C,/,88.00")
    (question,) = plan_of(csv_of(header, *rows)).undecided
    assert question.lines[-1].startswith('# neutral_words = ["/"]')


def test_pieces_with_a_sign_are_paid_for() -> None:
    """Pieces that come in have no minus, but their money goes out."""
    rows = ("2024-01-15,80,13.04", "2024-01-16,-5,208.64", "2024-01-17,31,38.34")
    (question,) = plan_of(csv_of("Date,Quantity,Price", *rows)).undecided
    assert question.lines[-1].startswith('sign = "negate"')
