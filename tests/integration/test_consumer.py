"""Kafka -> PostgreSQL on real servers: rows, duplicates, dead letters, skipped offsets, and a ledger that balances."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from rtp_workers.kafka.topics import delete_records, delete_topic, ensure_topic, log_offsets
from tests.conftest import Stack, StartRtp
from tests.programs import run_rtp
from tests.reading import (
    assert_balanced,
    dead_letters,
    ledger_sums,
    query,
    rows_by_id,
    wait_for_ledger,
)
from tests.records import body, produce, produce_in_transactions
from tests.waiting import wait_until

DEEP = b'{"transaction_id":"bad","occurred_at":"2026-01-01T00:00:00Z","amount":1,"attributes":{"a":%s%s}}'


@dataclass(frozen=True)
class Bad:
    """A message that must become a dead letter, with the start of its reason."""

    name: str
    value: bytes | None
    reason: str


BAD = [
    Bad("null value", None, "null_value"),
    Bad("empty", b"", "empty_value"),
    Bad("not JSON", b"hello", "not_json"),
    Bad("truncated", body("bad")[:-5], "not_json"),
    Bad("array", b"[1]", "not_an_object"),
    Bad("scalar", b"1", "not_an_object"),
    Bad("two objects in one message", body("bad") + b"\n" + body("bad2"), "not_json"),
    Bad("invalid UTF-8", body("bad").replace(b"C1", b"\xff\xfe"), "invalid_utf8"),
    Bad("invalid UTF-8 in an unknown field", body("bad", other="X").replace(b"X", b"\xff"), "invalid_utf8"),
    Bad("NUL in the id", body("ba\0d"), "nul_in_text"),
    Bad("control character in the id", body("ba\x07d"), "transaction_id_no_controls"),
    Bad("raw DEL in the id", body("ba?d").replace(b"?", b"\x7f"), "transaction_id_no_controls"),
    Bad("raw C1 in the id", body("ba?d").replace(b"?", "\x85".encode()), "transaction_id_no_controls"),
    Bad("NUL in a text", body("bad", merchant="a\0b"), "nul_in_text"),
    Bad("NUL in the attributes", body("bad", attributes={"a": "x\0y"}), "nul_in_text"),
    Bad("half a surrogate pair", body("bad").replace(b"C1", b"\\ud800"), "not_json"),
    Bad("half a surrogate pair in the attributes", body("bad", attributes={"a": "?"}).replace(b"?", b"\\udc00"), ""),
    Bad("NaN", body("bad", amount=float("nan")), "not_json"),
    Bad("Infinity", body("bad", amount=float("inf")), "not_json"),
    Bad("NaN as text", body("bad", amount="NaN"), "amount_not_decimal"),
    Bad("1e400", body("bad").replace(b'"12.50"', b"1e400"), "amount_range"),
    Bad("exponent in text", body("bad", amount="1e3"), "amount_not_decimal"),
    Bad("21 digits before the point", body("bad", amount="123456789012345678901"), "amount_range"),
    Bad("19 digits after the point", body("bad", amount="0.1234567890123456789"), "amount_range"),
    Bad("boolean for a number", body("bad", amount=True), "amount_wrong_type"),
    Bad("spaces around a number", body("bad", amount=" 1 "), "amount_not_decimal"),
    Bad("underscores in a number", body("bad", amount="1_000"), "amount_not_decimal"),
    Bad("hexadecimal", body("bad", amount="0x10"), "amount_not_decimal"),
    Bad("year 0", body("bad", occurred_at="0000-01-01T00:00:00Z"), "occurred_at_not_in_calendar"),
    Bad("year 10000", body("bad", occurred_at="10000-01-01T00:00:00Z"), "occurred_at_not_rfc3339"),
    Bad("year 1899", body("bad", occurred_at="1899-12-31T23:59:59Z"), "occurred_at_range"),
    Bad("rounds to 2101", body("bad", occurred_at="2100-12-31T23:59:59.9999999Z"), "occurred_at_range"),
    Bad("epoch number", body("bad", occurred_at=1704067200), "occurred_at_wrong_type"),
    Bad("no offset", body("bad", occurred_at="2026-01-01T00:00:00"), "occurred_at_not_rfc3339"),
    Bad("now", body("bad", occurred_at="now"), "occurred_at_not_rfc3339"),
    Bad("infinity", body("bad", occurred_at="infinity"), "occurred_at_not_rfc3339"),
    Bad("30 February", body("bad", occurred_at="2026-02-30T00:00:00Z"), "occurred_at_not_in_calendar"),
    Bad("second 60", body("bad", occurred_at="2026-06-30T23:59:60Z"), "occurred_at_not_rfc3339"),
    Bad("hour 24", body("bad", occurred_at="2026-06-30T24:00:00Z"), "occurred_at_not_rfc3339"),
    Bad("offset of 16 hours", body("bad", occurred_at="2026-06-30T12:00:00+16:00"), "occurred_at_not_rfc3339"),
    Bad("id too long", body("x" * 65), "transaction_id_length"),
    Bad("id empty", body(""), "transaction_id_length"),
    Bad("text too long", body("bad", merchant="x" * 501), "merchant_length"),
    Bad("currency in lower case", body("bad", currency="eur"), "currency_code"),
    Bad("currency with a line end", body("bad", currency="EUR\n"), "currency_code"),
    Bad("country of three letters", body("bad", country="DEU"), "country_code"),
    Bad("text is a number", body("bad", merchant=5), "merchant_wrong_type"),
    Bad("required field missing", body("bad", amount=...), "amount_missing"),
    Bad("required field null", body(None), "transaction_id_missing"),
    Bad("attributes are a list", body("bad", attributes=[1]), "attributes_object"),
    Bad("attributes over 8 KB", body("bad", attributes={"a": "x" * 8200}), "attributes_size"),
    Bad("nested 100,000 deep", DEEP % (b"[" * 100_000, b"]" * 100_000), "nested_too_deep"),
]


def test_bad_records_become_dead_letters_and_their_neighbours_land(stack: Stack, start_rtp: StartRtp) -> None:
    values: list[bytes | None] = []
    for index, bad in enumerate(BAD):
        values += [body(f"before-{index}"), bad.value, body(f"after-{index}")]
    offsets = produce(stack, values)
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    letters = {letter["kafka_offset"]: letter for letter in dead_letters(stack)}
    wrong = [
        (bad.name, letters.get(offset, {}).get("reason"), bad.reason)
        for bad, offset in zip(BAD, offsets[1::3], strict=True)
        if offset not in letters or not letters[offset]["reason"].startswith(bad.reason)
    ]
    assert wrong == []
    assert len(letters) == len(BAD)
    for bad, offset in zip(BAD, offsets[1::3], strict=True):
        stored = letters[offset]["value"]
        assert (None if stored is None else bytes(stored)) == bad.value
        assert letters[offset]["headers"] == [["source", base64.b64encode(b"test").decode()]]
        assert letters[offset]["detail"]
    assert set(rows_by_id(stack)) == {f"{side}-{index}" for side in ("before", "after") for index in range(len(BAD))}


def test_records_become_rows_exactly_as_they_were_sent(stack: Stack, start_rtp: StartRtp) -> None:
    texts = [
        "tab\there",
        "new\nline",
        "back\\slash",
        "\\.",
        "\\N",
        'quo"te',
        "%s",
        "'; drop table transactions; --",
        "",
        "é😀",
    ]
    produce(stack, [body(f"t{i}", merchant=text) for i, text in enumerate(texts)])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    rows = rows_by_id(stack)
    assert [rows[f"t{i}"]["merchant"] for i in range(len(texts))] == texts
    assert ledger_sums(stack) == {"inserted": len(texts), "duplicates": 0, "dead_lettered": 0, "skipped": 0}


def test_amounts_are_stored_exactly(stack: Stack, start_rtp: StartRtp) -> None:
    literals = [
        b'"12.50"',
        b"12.50",
        b"9007199254740993",
        b"1234567.890123456789",
        b"99999999999999999999.999999999999",
    ]
    literals += [b"1E3", b"1.5e-3", b"-0.0", b'"-0.01"', b"0.1000000000000000000"]
    produce(stack, [body(f"a{i}").replace(b'"12.50"', text) for i, text in enumerate(literals)])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    rows = rows_by_id(stack)
    assert [rows[f"a{i}"]["amount"] for i in range(len(literals))] == [
        Decimal(text.decode().strip('"')) for text in literals
    ]


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        (None, "unknown"),
        ((("source", b""),), "unknown"),
        ((("source", b"\xff"),), "unknown"),
        ((("source", None),), "unknown"),
        ((("source", b"x" * 301),), "unknown"),
        ((("source", b"a\0b"),), "unknown"),
        ((("source", b"tab\there\\"),), "tab\there\\"),
        ((("other", b"x"), ("source", b"csv:bank.csv")), "csv:bank.csv"),
    ],
)
def test_a_hostile_source_header_is_no_reason_to_refuse(
    stack: Stack, start_rtp: StartRtp, headers: Any, source: str
) -> None:
    produce(stack, [body("one")], headers=headers)
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    assert rows_by_id(stack)["one"]["source"] == source


def test_repeated_ids_are_counted_or_dead_letters_and_never_overwrite(stack: Stack, start_rtp: StartRtp) -> None:
    same = [body("a"), body("a"), body("a", amount="12.5"), body("a", occurred_at="2026-01-31T12:45:00.250Z")]
    other = [body("a", amount="12.51"), body("a", merchant="")]
    produce(stack, [*same, *other, body("b")])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    produce(stack, [body("b"), body("a", country="DE")], kafka_partition=4)
    wait_for_ledger(stack)
    assert ledger_sums(stack) == {"inserted": 2, "duplicates": 4, "dead_lettered": 3, "skipped": 0}
    assert {letter["reason"] for letter in dead_letters(stack)} == {"conflicting_duplicate"}
    assert rows_by_id(stack)["a"]["amount"] == Decimal("12.50")


def test_unknown_fields_are_ignored(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("a", nested={"x": [1, 2]}), body("b", merchant=None, attributes=None)])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    assert set(rows_by_id(stack)) == {"a", "b"}


def test_markers_and_aborted_records_of_a_transactional_producer_are_skipped(stack: Stack, start_rtp: StartRtp) -> None:
    outcomes = enumerate((True, False, True))
    produce_in_transactions(
        stack, [([body(f"tx{number}-{index}") for index in range(5)], commit) for number, commit in outcomes]
    )
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    assert set(rows_by_id(stack)) == {f"tx{number}-{index}" for number in (0, 2) for index in range(5)}
    assert ledger_sums(stack)["skipped"] == 3 + 5


def test_a_re_created_topic_starts_new_ledger_rows(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body(f"old{i}") for i in range(5)] + [b"bad"])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    delete_topic(stack.endpoints, stack.topic)
    wait_until(lambda: _created_again(stack), timeout_s=60, what="the topic, made again")
    produce(stack, [body(f"new{i}") for i in range(7)] + [b"bad", b"worse"])
    wait_until(lambda: len(rows_by_id(stack)) == 12, timeout_s=90, what="rows of both topics")
    wait_until(lambda: len(dead_letters(stack)) == 3, timeout_s=60, what="dead letters of both topics")
    assert_balanced(stack)
    ids = query(stack, "select topic_id, sum(next_offset - first_offset) as offsets from ingest_ledger group by 1")
    assert sorted(int(row["offsets"]) for row in ids) == [6, 9]


def _created_again(stack: Stack) -> bool:
    return ensure_topic(stack.endpoints, stack.topic).created


def test_a_hole_in_the_log_waits_for_a_person_and_is_then_counted(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body(f"a{i}") for i in range(5)])
    first = start_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    wait_until(lambda: not first.running(), timeout_s=60, what="the first consumer's end")
    assert first.process.returncode == 0
    produce(stack, [body(f"b{i}") for i in range(10)])
    delete_records(stack.endpoints, stack.topic, {0: 12})
    start_rtp("consume", "--no-api", env=stack.env)
    wait_until(lambda: query(stack, "select * from log_holes"), timeout_s=60, what="the hole, noted")
    assert set(rows_by_id(stack)) == {f"a{i}" for i in range(5)}
    resumed = run_rtp("resume", "--accept-holes", env=stack.env)
    assert "7 offsets counted as skipped" in resumed.stdout
    wait_for_ledger(stack)
    assert set(rows_by_id(stack)) == {f"a{i}" for i in range(5)} | {f"b{i}" for i in range(7, 10)}
    assert ledger_sums(stack)["skipped"] == 7


def test_another_group_id_is_a_configuration_error(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("a")])
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    other = run_rtp("consume", "--no-api", env={**stack.env, "RTP_GROUP_ID": "somebody-else"})
    assert other.returncode == 2
    assert f"RTP_GROUP_ID={stack.env['RTP_GROUP_ID']}" in other.stderr


def test_a_pause_outlives_the_consumer_and_the_lag_grows_meanwhile(stack: Stack, start_rtp: StartRtp) -> None:
    assert run_rtp("pause", "--reason", "test", env=stack.env).returncode == 0
    produce(stack, [body(f"a{i}") for i in range(5)])
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_until(lambda: '"event": "paused"' in consumer.output(), timeout_s=60, what="the pause")
    assert rows_by_id(stack) == {}
    assert run_rtp("resume", env=stack.env).returncode == 0
    wait_for_ledger(stack)
    assert len(rows_by_id(stack)) == 5


def test_a_missing_column_pauses_ingestion_and_makes_no_dead_letter(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("a")])
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    query(stack, "alter table transactions rename column country to land")
    produce(stack, [body("b")])
    wait_until(lambda: "write_failed" in consumer.output(), timeout_s=60, what="the reason in the log")
    query(stack, "alter table transactions rename column land to country")
    query(stack, "alter table transactions add column own text not null default 'x'")
    query(stack, "alter table transactions alter column own drop default")
    produce(stack, [body("c")])
    wait_until(lambda: consumer.output().count("write_failed") >= 1, timeout_s=60, what="still waiting")
    query(stack, "alter table transactions alter column own set default 'x'")
    wait_for_ledger(stack)
    assert set(rows_by_id(stack)) == {"a", "b", "c"}
    assert dead_letters(stack) == []


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_offsets_are_shown_in_kafka_too_of_every_partition(
    stack: Stack, start_rtp: StartRtp, protocol: str
) -> None:
    """KEDA's scaler has no lag for a partition whose offset was never committed. And with both group protocols."""
    produce(stack, [body(f"a{i}") for i in range(3)], kafka_partition=2)
    start_rtp("consume", "--no-api", env={**stack.env, "RTP_CONSUMER_GROUP_PROTOCOL": protocol})
    wait_for_ledger(stack)
    ends = {number: end for number, (_, end) in log_offsets(stack.endpoints, stack.topic).items()}
    group = Consumer(
        {"bootstrap.servers": stack.endpoints.need("kafka_bootstrap"), "group.id": stack.env["RTP_GROUP_ID"]}
    )
    try:
        partitions = [TopicPartition(stack.topic, number) for number in ends]
        wait_until(
            lambda: {found.partition: found.offset for found in group.committed(partitions, 10)} == ends,
            timeout_s=60,
            what="an offset of every partition in Kafka",
        )
    finally:
        group.close()
