"""Documents of a topic become records by their section; what cannot is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtp_workers.errors import ConfigError, RecordError
from rtp_workers.record.copy_text import NULL
from rtp_workers.record.transaction import FIELD_NAMES
from rtp_workers.topics.sections import topic_plan
from tests.topic_records import SIMPLE, TOPIC_ID, PlacedRecord, body, converter_of, section_of

ANYWHERE = PlacedRecord()


def convert(value: bytes | None, lines: str = SIMPLE, record: PlacedRecord = ANYWHERE) -> dict[str, Any]:
    """Returns the one record's fields, by both ways, which must agree."""
    converter = converter_of(lines)
    fields = converter.record(value, record)
    mapped = converter.lines([value], [record])
    assert mapped.refusals == []
    assert mapped.lines[0] is not None
    texts = dict(zip(FIELD_NAMES, mapped.lines[0].split("\t"), strict=True))
    plain = {name: text.encode().decode("unicode_escape").encode("latin-1").decode() if "\\" in text else text
             for name, text in texts.items() if text != NULL}  # fmt: skip
    assert plain == {name: value.decode() if isinstance(value, bytes) else value for name, value in fields.items()}
    return {**fields, "attributes": json.loads(fields.get("attributes", b"{}"))}


def refusal(value: bytes | None, lines: str = SIMPLE, record: PlacedRecord = ANYWHERE) -> tuple[str, str]:
    """Returns the one record's reason and detail, by both ways, which must agree."""
    converter = converter_of(lines)
    with pytest.raises(RecordError) as caught:
        converter.record(value, record)
    mapped = converter.lines([body(), value, body()], [record] * 3)
    assert [(one.index, one.reason) for one in mapped.refusals] == [(1, caught.value.reason)]
    assert [line is None for line in mapped.lines] == [False, True, False]
    return caught.value.reason, caught.value.detail


def test_what_has_no_field_stays_in_attributes_as_it_was_nested() -> None:
    lines = """
    columns.transaction_id = "payment.id"
    columns.occurred_at = "payment.at"
    columns.amount = "payment.amount.value"
    columns.currency = "payment.amount.currency"
    columns.merchant = "items[0].name"
    """
    value = json.dumps({
        "payment": {"id": "p1", "at": "2026-01-31T13:45:00Z", "amount": {"value": 12.5, "currency": "eur"}},
        "items": [{"name": "Tea", "sku": 1}, {"name": "Cup"}],
        "device": {"os": {"name": "x", "version": None}},
        "flag": True,
    }).encode()  # fmt: skip
    assert convert(value, lines) == {
        "transaction_id": "p1", "occurred_at": "2026-01-31T13:45:00Z", "amount": "12.5", "currency": "EUR",
        "merchant": "Tea",
        "attributes": {
            "items": [{"name": "Tea", "sku": 1}, {"name": "Cup"}],
            "device": {"os": {"name": "x", "version": None}},
            "flag": True,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("literal", "amount"),
    [
        ("0.1", "0.1"),
        ("9007199254740993", "9007199254740993"),
        ("12345678901234567890.123456789012", "12345678901234567890.123456789012"),
        ('"12345678901234567890.123456789012"', "12345678901234567890.123456789012"),
        ("1e3", "1000"),
        ("1.5E-7", "0.00000015"),
        ("-0.50", "-0.50"),
        ('"12.50"', "12.50"),
    ],
)
def test_an_amount_is_exact(literal: str, amount: str) -> None:
    assert convert(b'{"id": "p1", "at": "2026-01-31T13:45:00Z", "amount": %s}' % literal.encode())["amount"] == amount


def test_a_number_has_a_point_even_where_texts_have_a_comma() -> None:
    lines = SIMPLE + 'decimal_mark = ","\n'
    values = [body(amount=amount) for amount in ("1.101,50", 1.101, 7, "1.101", 12.5, -3)]
    stored = ["1101.50", "1.101", "7", "1101", "12.5", "-3"]
    assert [convert(value, lines)["amount"] for value in values] == stored
    converter = converter_of(lines)
    for _ in range(2):  # the second time, the layout is known
        mapped = converter.lines(values * 3, [ANYWHERE] * 18)
        assert [line and line.split("\t")[2] for line in mapped.lines] == stored * 3
    texts, only_texts = [body(amount="1.101,50")] * 20, converter_of(lines)
    assert [only_texts.lines(texts, [ANYWHERE] * 20).careful for _ in range(2)] == [20, 0]


@pytest.mark.parametrize("literal", ["true", '"abc"', "null", '""', "1e400", '"1,234.5"', "{}", "[1]", "1" * 21])
def test_what_is_no_amount_is_refused(literal: str) -> None:
    reason, _ = refusal(b'{"id": "p1", "at": "2026-01-31T13:45:00Z", "amount": %s}' % literal.encode())
    assert reason in ("amount_not_a_number", "amount_missing", "amount_range", "path_not_a_value")


@pytest.mark.parametrize(
    ("currency", "amount", "stored"),
    [("EUR", 1999, "19.99"), ("JPY", 1999, "1999"), ("KWD", 1999, "1.999"), ("", 1999, "19.99"), ("EUR", -5, "-0.05")],
)
def test_minor_units_are_those_of_the_currency(currency: str, amount: int, stored: str) -> None:
    lines = SIMPLE + 'columns.currency = "currency"\namount_unit = "minor"\n'
    assert convert(body(amount=amount, currency=currency), lines)["amount"] == stored


def test_a_minor_amount_keeps_all_of_its_digits() -> None:
    lines = SIMPLE + 'amount_unit = "minor"\n'
    assert convert(body(amount="1234567890123456789012.3456789012"), lines)["amount"] == (
        "12345678901234567890.123456789012"
    )


@pytest.mark.parametrize(
    ("unit", "epoch", "stored"),
    [
        ("s", 1769867100, "2026-01-31T13:45:00Z"),
        ("ms", 1769867100250, "2026-01-31T13:45:00.250000Z"),
        ("us", "1769867100250001", "2026-01-31T13:45:00.250001Z"),
        ("ns", 1769867100123456499, "2026-01-31T13:45:00.123456Z"),
        ("ns", "1769867100999999500", "2026-01-31T13:45:01Z"),
        ("s", 1769867100.5, "2026-01-31T13:45:00.500000Z"),
    ],
)
def test_a_time_may_be_an_epoch(unit: str, epoch: Any, stored: str) -> None:
    assert convert(body(at=epoch), f'{SIMPLE}epoch_unit = "{unit}"\n')["occurred_at"] == stored


@pytest.mark.parametrize(
    ("at", "ambiguous", "stored"),
    [
        ("2026-10-25 02:30:00", "earlier", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25 02:30:00", "later", "2026-10-25T02:30:00+01:00"),
        ("2026-10-25 02:30:00", "refuse", "occurred_at_twice"),
        ("2026-10-25 02:30:00", None, "occurred_at_twice"),
        ("2026-03-29 02:30:00", None, "occurred_at_never"),
        ("2026-03-29 03:30:00", None, "2026-03-29T03:30:00+02:00"),
    ],
)
def test_a_local_time_that_comes_twice_needs_the_section_s_word(at: str, ambiguous: str | None, stored: str) -> None:
    lines = f'{SIMPLE}time_zone = "Europe/Berlin"\n' + (f'ambiguous = "{ambiguous}"\n' if ambiguous else "")
    if not stored.startswith("occurred_at"):
        assert convert(body(at=at), lines)["occurred_at"] == stored
        return
    reason, detail = refusal_of_many(lines, body(at=at))
    assert (reason, 'ambiguous = "earlier"' in detail) == (stored, True)


@pytest.mark.parametrize(("more", "stored"), [("year = 2024", "2024-01-31"), ('year_from = "06/2024"', "2025-01-31")])
def test_a_date_without_a_year_gets_the_section_s(more: str, stored: str) -> None:
    lines = f'{SIMPLE}date_format = "%d.%m."\n{more}\n'
    assert convert(body(at="31.01."), lines)["occurred_at"] == f"{stored}T00:00:00Z"


@pytest.mark.parametrize(("more", "amounts"), [("", ["-5", "5", "7"]), ("debit_negative = true", ["5", "-5", "7"])])
def test_a_side_may_be_written_with_a_minus(more: str, amounts: list[str]) -> None:
    lines = SIMPLE.replace("columns.amount", "columns.debit") + f'columns.credit = "in"\n{more}\n'
    bodies = [body(amount="5"), body(amount="-5"), body(amount=None, **{"in": "7"})]
    assert [convert(value, lines)["amount"] for value in bodies] == amounts


def test_a_time_may_be_kafka_s_own() -> None:
    lines = 'columns.transaction_id = "id"\ncolumns.amount = "amount"\noccurred_at = "kafka_timestamp"\n'
    converted = convert(body(), lines)
    assert converted["occurred_at"] == "2026-01-31T13:45:00.250Z"
    assert converted["attributes"] == {"at": "2026-01-31T13:45:00Z"}
    assert convert(body(), lines + 'columns.occurred_at = "at"\n') == converted
    mapped = converter_of(lines).lines([body()], [PlacedRecord(milliseconds=-1, timestamp_kind=0)])
    assert mapped.refusals[0].reason == "occurred_at_missing"


@pytest.mark.parametrize(
    "at", ["", "hello", "2026-02-30T00:00:00Z", "1850-01-01T00:00:00Z", "2150-01-01", "03/04/2026x", {"a": 1}]
)
def test_what_is_no_time_is_refused(at: Any) -> None:
    assert refusal(body(at=at))[0].startswith(("occurred_at", "path_not_a_value"))


def test_several_paths_make_an_id() -> None:
    lines = SIMPLE.replace('"id"', '["account.no", "seq"]') + 'id_prefix = "x-"\n'
    assert convert(body(account={"no": 7}, seq=12), lines)["transaction_id"] == "x-7/12"
    reason, _ = refusal_of_many(lines, body(account={"no": 7}))
    assert reason == "transaction_id_missing"


def refusal_of_many(lines: str, value: bytes) -> tuple[str, str]:
    mapped = converter_of(lines).lines([value], [PlacedRecord()])
    return mapped.refusals[0].reason, mapped.refusals[0].detail


@pytest.mark.parametrize("bad", ["", None, "a\tb", "a\x85b", "x" * 65, ["a"], "a\0b"])
def test_an_id_that_breaks_its_rule_is_refused(bad: Any) -> None:
    assert refusal(body(id=bad))[0] in (
        "transaction_id_missing", "transaction_id_no_controls", "transaction_id_length", "path_not_a_value",
        "nul_in_text",
    )  # fmt: skip


def test_an_id_may_be_where_kafka_keeps_the_record() -> None:
    lines = 'columns.occurred_at = "at"\ncolumns.amount = "amount"\nid = "offset"\n'
    record = PlacedRecord(3, 4711)
    assert convert(body(), lines, record)["transaction_id"] == f"{TOPIC_ID}/0/3/4711"
    longest = PlacedRecord(2**31 - 1, 2**63 - 1)
    assert len(convert(body(), lines, longest)["transaction_id"]) <= 64


def test_an_id_may_come_from_the_content_whatever_the_order_of_its_members() -> None:
    lines = 'columns.occurred_at = "at"\ncolumns.amount = "amount"\nid = "derived"\n'
    one = convert(b'{"at": "2026-01-31T13:45:00Z", "amount": 1.50, "b": {"c": 1, "d": 2}}', lines, PlacedRecord(0, 1))
    same = convert(b'{"b": {"d": 2, "c": 1}, "amount": 1.50, "at": "2026-01-31T13:45:00Z"}', lines, PlacedRecord(5, 9))
    other = convert(b'{"b": {"d": 3, "c": 1}, "amount": 1.50, "at": "2026-01-31T13:45:00Z"}', lines)
    assert one["transaction_id"] == same["transaction_id"] != other["transaction_id"]


@pytest.mark.parametrize("value", [None, b'{"op": "u", "source": {}, "after": {}, "before": {}}'])
def test_a_section_may_skip_what_is_no_insert(value: bytes | None) -> None:
    assert refusal(value)[0] == "not_an_insert"
    mapped = converter_of(SIMPLE + 'changes = "skip"\n').lines([body(), value], [PlacedRecord()] * 2)
    assert (mapped.skipped, mapped.refusals) == ([1], [])


def test_a_list_of_transactions_in_one_record_is_refused_with_what_to_send_instead() -> None:
    reason, detail = refusal(b"[" + body() + b"," + body() + b"]")
    assert (reason, "one record must hold one transaction" in detail) == ("not_an_object", True)


def test_a_value_that_does_not_fit_its_field_stays_where_it_stood() -> None:
    lines = SIMPLE + 'columns.country = "place.country"\ncolumns.merchant = "place.name"\n'
    converted = convert(body(place={"country": "Atlantis", "name": "M" * 501}), lines)
    assert "country" not in converted
    assert converted["attributes"] == {"place": {"country": "Atlantis", "name": "M" * 501}}


def test_an_optional_path_that_holds_an_object_stays_in_attributes() -> None:
    converted = convert(body(shop={"name": {"en": "x"}}), SIMPLE + 'columns.merchant = "shop.name"\n')
    assert converted["attributes"] == {"shop": {"name": {"en": "x"}}}


def test_what_is_dropped_is_nowhere() -> None:
    lines = SIMPLE + 'drop = ["card.number", "items"]\n'
    converted = convert(body(card={"number": "4111", "brand": "visa"}, items=[1, 2]), lines)
    assert converted["attributes"] == {"card": {"brand": "visa"}}


def test_what_is_dropped_through_a_list_is_in_none_of_its_items() -> None:
    lines = SIMPLE + 'columns.category = "items[0].sku"\ndrop = ["items[0].card", "tags[0]", "items[1].by[0].name"]\n'
    items = [
        {"sku": "A", "card": "4111", "by": [{"name": "x", "no": 1}]},
        {"sku": "B", "card": "4222", "by": {"name": "y"}},
        "C",
    ]
    converted = convert(body(items=items, tags=["t", "u"]), lines)
    kept = [{"sku": "A", "by": [{"no": 1}]}, {"sku": "B", "by": {"name": "y"}}, "C"]
    assert (converted["category"], converted["attributes"]) == ("A", {"items": kept, "tags": []})


def test_a_dropped_value_that_fits_no_field_does_not_come_back() -> None:
    lines = SIMPLE + 'columns.payment_method = "card.holder"\ncolumns.country = "land"\ndrop = ["card", "land"]\n'
    converted = convert(body(card={"holder": "H" * 65, "number": "4111"}, land="Atlantis"), lines)
    assert converted["attributes"] == {}
    assert "payment_method" not in converted


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "\\", "\\N", "\\.", "'; DROP TABLE x", "%s", '"', "ü€𝄞"])
def test_text_is_stored_byte_for_byte(text: str) -> None:
    converted = convert(body(shop=text, note=text), SIMPLE + 'columns.merchant = "shop"\n')
    assert converted.get("merchant", "") == ("" if text == "\\N" else text)
    assert converted["attributes"]["note"] == text


def test_u0000_is_refused_wherever_it_is() -> None:
    assert refusal(body(note="a\0b"))[0] == "nul_in_text"
    assert refusal(body(shop="a\0b"), SIMPLE + 'columns.merchant = "shop"\n')[0] == "nul_in_text"
    assert convert(body(note="\\u0000"))["attributes"] == {"note": "\\u0000"}


def test_debit_words_give_the_sign() -> None:
    lines = SIMPLE + 'columns.direction = "kind"\ndebit_words = ["raus"]\n'
    assert convert(body(kind="raus"), lines)["amount"] == "-12.50"
    assert convert(body(kind="Credit"), lines)["amount"] == "12.50"
    assert refusal_of_many(lines, body(kind="what?"))[0] == "direction_unknown"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('columns.amount = "a"', r"leaves open columns.occurred_at \(or occurred_at"),
        ('columns.occurred_at = "a"', "leaves open columns.amount"),
        (SIMPLE + 'amount_unit = "?"', "leaves open amount_unit"),
        ('columns.amount = "?"\noccurred_at = "kafka_timestamp"', "leaves open columns.amount"),
        ('columns.amount = "a"\noccurred_at = "?"', "leaves open occurred_at"),
        (SIMPLE + 'columns.merchant = "a..b"', "not a path into a document"),
    ],
)
def test_a_section_that_leaves_something_open_is_not_used(lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        topic_plan(section_of(lines), "payments")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('files = ["a.csv"]', "not both"),
        ('delimiter = ","', "delimiter cannot be used in a section with topics"),
        ('changes = "maybe"', "is not one of dead_letter, skip"),
        ('occurred_at = "now"', "is not one of kafka_timestamp"),
    ],
)
def test_a_section_that_contradicts_itself_is_an_error(lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        section_of(lines)
