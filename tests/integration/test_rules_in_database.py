"""A field's rule in code and its CHECK in PostgreSQL accept the same values; neither is weaker than the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtp_workers.errors import RecordError
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.record.codec import check
from rtp_workers.record.transaction import FIELD_NAMES, FIELDS, MAX_ATTRIBUTES_BYTES, Transaction
from tests.conftest import Stack

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLAIN: dict[str, Any] = {"transaction_id": "t1", "occurred_at": "2024-01-01T00:00:00Z", "amount": "1"}
COLUMNS = (*FIELD_NAMES, "source", "kafka_partition", "kafka_offset")
INSERT = f"insert into transactions ({', '.join(COLUMNS)}) values ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608 - ours

texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=70),
    st.text(st.sampled_from("AZaz@[`{ \n\r\t\x00\x01\x1f\x20\x7e\x7f\x80\x9f\xa0Éé\u0100😀"), max_size=4),
    st.builds(
        lambda char, size: char * size, st.sampled_from("a\xe9😀"), st.sampled_from([63, 64, 65, 100, 101, 500, 501])
    ),
    st.text("ABCXYZ", min_size=1, max_size=4),
)
digits = st.text("0123456789", min_size=1, max_size=23)
amounts = st.builds(
    lambda sign, whole, fraction: sign + whole + ("." + fraction if fraction else ""),
    st.sampled_from(["", "-"]),
    st.one_of(digits, st.just("0")),
    st.one_of(st.just(""), st.text("0123456789", max_size=21)),
)
instants = st.builds(
    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}".format,
    st.one_of(st.sampled_from([1, 1899, 1900, 2000, 2100, 2101, 9999]), st.integers(0, 9999)),
    st.integers(0, 13),
    st.one_of(st.sampled_from([1, 28, 29, 30, 31]), st.integers(0, 32)),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.one_of(st.just(""), st.sampled_from([".9999995", ".9999994", ".5", ".0000005"])),
    st.sampled_from(["Z", "+00:00", "+15:59", "-15:59", "-00:30"]),
)
plain_text = st.text(st.sampled_from('ab"\\/\n\t\x01\x7fé😀'), max_size=30)
attributes = st.builds(
    lambda values, padding: {**values, "p": "x" * padding},
    st.dictionaries(
        plain_text, st.one_of(plain_text, st.integers(-(10**20), 10**20), st.booleans(), st.none()), max_size=5
    ),
    st.one_of(st.integers(0, 10), st.integers(MAX_ATTRIBUTES_BYTES - 200, MAX_ATTRIBUTES_BYTES + 5)),
)


@pytest.fixture
def session(stack: Stack) -> Iterator[Connection]:
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test")
    yield connection
    connection.close()


def code_accepts(**fields: Any) -> bool:
    try:
        check(Transaction(**{**PLAIN, **fields}))
    except RecordError:
        return False
    return True


def database_accepts(session: Connection, **fields: Any) -> bool:
    record = {**PLAIN, "source": "live", "kafka_partition": 0, "kafka_offset": 0, **fields}
    if record.get("attributes") is not None:
        record["attributes"] = json.dumps(record["attributes"], ensure_ascii=False)
    if any("\0" in value for value in record.values() if isinstance(value, str)):
        return False  # PostgreSQL's protocol itself has no place for U+0000 in text
    try:
        with session.cursor() as cursor:
            cursor.execute(INSERT, [record.get(name) for name in COLUMNS])
    except (psycopg2.DataError, psycopg2.IntegrityError):  # classes 22 and 23; anything else is no refusal
        return False
    finally:
        session.rollback()
    return True


@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.rule.pg_type == "text"])
def test_text_fields(session: Connection, name: str) -> None:
    @EXAMPLES
    @given(texts)
    @example("")
    @example("EUR\n")
    @example("DE\n")
    def agree(value: str) -> None:
        assert code_accepts(**{name: value}) == database_accepts(session, **{name: value})

    agree()


@EXAMPLES
@given(amounts)
@example("1.0000000000000")
@example("-" + "9" * 20 + "." + "9" * 18)
@example("1" + "0" * 20)
@example("0" * 30 + "1")
@example("0.0000000000001")
def test_amounts(session: Connection, amount: str) -> None:
    assert code_accepts(amount=amount) == database_accepts(session, amount=amount)


@EXAMPLES
@given(instants)
@example("1900-01-01T00:00:00Z")
@example("1899-12-31T23:59:59.9999995Z")
@example("1899-12-31T23:59:59.9999994Z")
@example("2100-12-31T23:59:59.9999995Z")
@example("2101-01-01T00:00:00+00:01")
@example("2024-02-30T00:00:00Z")
def test_instants(session: Connection, occurred_at: str) -> None:
    assert code_accepts(occurred_at=occurred_at) == database_accepts(session, occurred_at=occurred_at)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "1e20", "-1e20", "1e-19"])
def test_no_way_around_the_code_stores_such_an_amount(session: Connection, amount: str) -> None:
    assert not database_accepts(session, amount=amount)


@pytest.mark.parametrize("occurred_at", ["infinity", "-infinity", "1899-12-31T23:59:59Z", "2101-01-01T00:00:00Z"])
def test_no_way_around_the_code_stores_such_an_instant(session: Connection, occurred_at: str) -> None:
    assert not database_accepts(session, occurred_at=occurred_at)


@EXAMPLES
@given(attributes)
def test_attributes(session: Connection, attributes: dict[str, Any]) -> None:
    assert code_accepts(attributes=attributes) == database_accepts(session, attributes=attributes)


@pytest.mark.parametrize("text", ["[]", '"text"', "1", "true", "null"])
def test_attributes_are_an_object(session: Connection, text: str) -> None:
    record = {**PLAIN, "attributes": text, "source": "live", "kafka_partition": 0, "kafka_offset": 0}
    with session.cursor() as cursor, pytest.raises(psycopg2.errors.CheckViolation) as caught:
        cursor.execute(INSERT, [record.get(name) for name in COLUMNS])
    assert caught.value.diag.constraint_name == "attributes_object"
