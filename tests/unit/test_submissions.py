"""Which bodies POST /transactions takes, and what it says of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtp_workers.producer.submissions import parse
from rtp_workers.web.problems import Problem


def transaction(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"own-{number}",
        "occurred_at": "2026-01-31T13:45:00+01:00",
        "amount": "12.50",
        "customer_id": f"C-{number}",
        **fields,
    }


def refusal(body: bytes) -> Problem:
    with pytest.raises(Problem) as refused:
        parse(body)
    assert refused.value.status == 422
    return refused.value


def test_one_transaction_keeps_the_bytes_that_were_sent() -> None:
    body = b'{"transaction_id":"n","occurred_at":"2026-01-31T13:45:00Z","amount":12345678901234567.000000000001}'
    (only,), is_list = parse(b"  " + body + b"\n")
    assert (only.value, only.key, only.transaction_id, is_list) == (body, b"n", "n", False)


def test_a_list_keeps_its_order_and_each_customer_is_the_key() -> None:
    found, is_list = parse(json.dumps([transaction(number) for number in range(200)]).encode())
    assert is_list
    assert [one.transaction_id for one in found] == [f"own-{number}" for number in range(200)]
    assert [one.key for one in found] == [f"C-{number}".encode() for number in range(200)]


def test_unknown_members_are_passed_on() -> None:
    (only,), _ = parse(json.dumps(transaction(1, further={"a": 1})).encode())
    assert b'"further"' in only.value


@pytest.mark.parametrize(
    ("body", "index", "field"),
    [
        (transaction(1, amount="1,5"), None, "amount"),
        (transaction(1, amount=1e-20), None, "amount"),
        ([transaction(1), transaction(2, occurred_at="yesterday")], 1, "occurred_at"),
        ([transaction(1), {"amount": "1"}], 1, "transaction_id"),
        ([transaction(1, transaction_id="")], 0, "transaction_id"),
        ([transaction(1, attributes={"a": "x" * 9_000})], 0, "attributes"),
        ([transaction(1, attributes=[])], 0, "attributes"),
        ([transaction(1), 5], 1, None),
        ([transaction(1, amount=True)], 0, "amount"),
        ([transaction(1, currency="eur")], 0, "currency"),
        ([transaction(1, merchant="a\0b")], 0, "merchant"),
        ([transaction(1, further="x" * 1_000_000)], 0, None),
    ],
)
def test_a_refusal_names_index_and_field(body: Any, index: int | None, field: str | None) -> None:
    problem = refusal(json.dumps(body).encode())
    assert [(finding.index, finding.field) for finding in problem.errors] == [(index, field)]
    assert problem.errors[0].message in problem.detail


def test_every_bad_transaction_of_a_list_is_named() -> None:
    problem = refusal(json.dumps([transaction(1, amount="x"), transaction(2), transaction(3, amount=None)]).encode())
    assert [finding.index for finding in problem.errors] == [0, 2]
    assert "2 of 3" in problem.detail


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"[", b"nonsense", b"[]", b"5", b"null", b"\xff", b'"text"', b"[" * 5_000, b"{}{}"]
)
def test_what_is_no_transaction_is_refused(body: bytes) -> None:
    assert refusal(body).detail
