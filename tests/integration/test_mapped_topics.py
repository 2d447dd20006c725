"""Topics of others and our own in one consumer: rows, dead letters, waiting, and trouble that stays with its topic."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

from rtp_workers.cli import topic_map
from rtp_workers.settings import PlatformSettings, load
from tests.conftest import Stack, StartRtp
from tests.dagster_runs import failure_text, run_job, settings_of
from tests.foreign_topics import (
    has_caught_up,
    new_topic,
    send,
    simple_section,
    sums_of,
    wait_for_topics,
    with_topics,
    write_sections,
)
from tests.programs import run_rtp, status_with
from tests.reading import assert_balanced, dead_letters, messages, query, rows_by_id
from tests.records import body as own_body
from tests.records import produce
from tests.schema_registry import avro, framed, schema_registry
from tests.topic_records import body
from tests.topic_shapes import all_shapes, answered
from tests.waiting import wait_until

EVENTS = 10
SALE = {
    "type": "record",
    "name": "Sale",
    "fields": [{"name": name, "type": "string"} for name in ("id", "at", "amount")],
}


def consume_all(stack: Stack, **settings: str) -> None:
    """Runs a consumer until everything has come."""
    done = run_rtp("consume", "--no-api", "--until-idle", "4s", env=with_topics(stack, **settings), timeout_s=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def ready(stack: Stack) -> tuple[int, str]:
    """Returns the status and the text of /health/ready; (0, "") while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.consumer_port}/health/ready", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_fourteen_public_shapes_become_rows_beside_our_own(stack: Stack) -> None:
    settings = load(PlatformSettings, kafka_bootstrap=stack.endpoints.need("kafka_bootstrap"), home=stack.home)
    sections = []
    for shape in all_shapes():
        topic = new_topic(stack, shape.name, partitions=1)
        send(stack, topic, [json.dumps(shape.document(n)).encode() for n in range(EVENTS)], partitions=1)
        look = topic_map.look_at(settings, topic, None, shape.name)
        assert {question.field for question in look.plan.undecided} == set(shape.asked), shape.name
        sections.append(answered(look.text, shape))
    write_sections(stack, *sections)
    produce(stack, [own_body(f"own-{n}") for n in range(EVENTS)])
    consume_all(stack)
    assert_balanced(stack)
    assert dead_letters(stack) == []
    counts = {
        row["source"]: row["rows"]
        for row in query(stack, "select source, count(*) as rows from transactions group by 1")
    }
    consumable = {f"topic:{stack.topic}.{shape.name}" for shape in all_shapes() if shape.consumable}
    assert counts == {"test": EVENTS, **dict.fromkeys(consumable, EVENTS)}
    for shape in all_shapes():
        for n in range(EVENTS) if shape.consumable else ():
            assert_row(stack, shape.name, n, shape.row(n))


def assert_row(stack: Stack, shape: str, n: int, expected: dict[str, str | None]) -> None:
    """Compares one row with what a shape says of it, as PostgreSQL compares values."""
    found = query(
        stack, "select * from transactions where source = %s and kafka_offset = %s", f"topic:{stack.topic}.{shape}", n
    )
    assert len(found) == 1
    assert found[0]["topic_id"] is not None
    for name, value in expected.items():
        if name == "amount":
            assert found[0][name] == type(found[0][name])(value)
        elif name == "occurred_at":
            assert query(stack, "select %s::timestamptz as at", value)[0]["at"] == found[0][name]
        else:
            assert found[0][name] == value, (shape, n, name)


def test_a_topic_without_a_section_waits_until_it_has_one_and_a_later_topic_is_picked_up(
    stack: Stack, start_rtp: StartRtp
) -> None:
    first = new_topic(stack, "first")
    send(stack, first, [body(id=f"a{n}") for n in range(20)])
    produce(stack, [own_body("own")])
    consumer = start_rtp("consume", env=with_topics(stack))
    wait_until(lambda: "own" in rows_by_id(stack), what="our own record")
    wait_until(lambda: first in ready(stack)[1], what="the topic on /health/ready")
    status, text = ready(stack)
    assert status == 503
    assert f"rtp map --topic {first}" in text
    assert sums_of(stack, first) == {}
    wait_until(lambda: "topic_not_consumed" in consumer.output(), what="the topic in the log")
    shown = status_with(lambda found: found["topics_not_consumed"] is not None, stack.env)
    assert shown["topics_not_consumed"].keys() == {first}

    write_sections(stack, simple_section(f"{stack.topic}.*"))
    wait_for_topics(stack, [first])
    assert consumer.output().count("topic_not_consumed") == 1
    later = new_topic(stack, "later")
    send(stack, later, [body(id=f"b{n}") for n in range(20)])
    wait_for_topics(stack, [later])
    wait_until(lambda: ready(stack)[0] == 200, what="ready")
    assert len(rows_by_id(stack)) == 41


def test_a_corrected_mapping_applies_to_what_comes(stack: Stack, start_rtp: StartRtp) -> None:
    topic = new_topic(stack, "pay")
    write_sections(stack, simple_section(topic, more='columns.merchant = "shop"'))
    send(stack, topic, [body(id=f"a{n}", shop="S", store="T") for n in range(4)])
    start_rtp("consume", "--no-api", env=with_topics(stack))
    wait_for_topics(stack, [topic])
    write_sections(stack, simple_section(topic, more='columns.merchant = "store"'))

    def both_shown() -> bool:
        send(stack, topic, [body(id=f"b{time.monotonic_ns()}", shop="S", store="T")] * 1, partitions=1)
        return {row["merchant"] for row in rows_by_id(stack).values()} == {"S", "T"}

    wait_until(both_shown, what="a row by the corrected mapping")


def test_bad_records_become_dead_letters_and_their_neighbours_land(stack: Stack) -> None:
    topic, skipping = new_topic(stack, "pay"), new_topic(stack, "skipping")
    update = json.dumps({"op": "u", "source": {}, "before": {}, "after": {}}).encode()
    bad: list[tuple[bytes | None, str]] = [
        (None, "not_an_insert"), (update, "not_an_insert"), (b"", "empty_value"), (b"hello", "not_json"),
        (b"[1]", "not_an_object"), (b'{"id": "\xff"}', "invalid_utf8"), (body(id="a\0b"), "nul_in_text"),
        (body(id=""), "transaction_id_missing"), (body(id="x" * 65), "transaction_id_length"),
        (body(amount="abc"), "amount_not_a_number"), (body(amount=None), "amount_missing"),
        (body(amount="1" * 21), "amount_range"), (body(at="hello"), "occurred_at_not_a_date"),
        (body(at="2026-02-30T00:00:00Z"), "occurred_at"), (body(at="1850-01-01T00:00:00Z"), "occurred_at"),
        (body(note="a\0b"), "nul_in_text"), (body(id="big", note="n" * 9000), "attributes_size"),
    ]  # fmt: skip
    good = [body(id=f"a{n}") for n in range(len(bad))]
    values = [value for pair in zip(good, (value for value, _ in bad), strict=True) for value in pair]
    send(stack, topic, values, partitions=1)
    send(stack, skipping, [body(id="s1"), None, update, body(id="s2")], partitions=1)
    write_sections(stack, simple_section(topic), simple_section(skipping, "skip", 'changes = "skip"'))
    consume_all(stack)
    wait_for_topics(stack, [topic, skipping])
    found = [letter["reason"] for letter in dead_letters(stack)]
    assert [
        reason if not reason.startswith(wanted) else wanted for reason, (_, wanted) in zip(found, bad, strict=True)
    ] == [wanted for _, wanted in bad]
    assert rows_by_id(stack).keys() == {f"a{n}" for n in range(len(bad))} | {"s1", "s2"}
    assert sums_of(stack, skipping) == {"inserted": 2, "duplicates": 0, "dead_lettered": 0, "skipped": 2}
    assert [bytes(letter["value"]) if letter["value"] is not None else None for letter in dead_letters(stack)] == [
        value for value, _ in bad
    ]


def test_repeated_ids_are_counted_or_refused_across_topics(stack: Stack) -> None:
    topic = new_topic(stack, "pay")
    write_sections(stack, simple_section(topic))
    send(stack, topic, [body(id="a"), body(id="a"), body(id="a", amount="9"), body(id="own", amount="9")], partitions=1)
    produce(stack, [own_body("own")])
    consume_all(stack)
    wait_for_topics(stack, [topic])
    assert sums_of(stack, topic)["duplicates"] == 1
    assert {letter["reason"] for letter in dead_letters(stack)} == {"conflicting_duplicate"}
    assert len(rows_by_id(stack)) + len(dead_letters(stack)) == 4


def test_a_registry_that_is_away_stops_its_topic_alone(stack: Stack, start_rtp: StartRtp) -> None:
    plain, coded = new_topic(stack, "plain"), new_topic(stack, "coded")
    write_sections(stack, simple_section(f"{stack.topic}.*"))
    with schema_registry() as registry:
        schema_id = registry.add(SALE)
        registry.status = 500
        sales: list[Any] = [{"id": f"s{n}", "at": "2026-01-31T13:45:00Z", "amount": "1.50"} for n in range(10)]
        send(stack, coded, [framed(schema_id, avro(SALE, sale)) for sale in sales] + [framed(4711, b"x")], partitions=1)
        send(stack, plain, [body(id=f"p{n}") for n in range(10)])
        produce(stack, [own_body("own")])
        start_rtp("consume", env=with_topics(stack, RTP_SCHEMA_REGISTRY_URL=registry.url))
        wait_for_topics(stack, [plain])
        wait_until(lambda: "schema registry" in ready(stack)[1], what="the registry's trouble on /health/ready")
        assert f"topic {coded}, schema_registry: " in ready(stack)[1]
        wait_until(lambda: "own" in rows_by_id(stack), what="our own topic's record")
        assert dead_letters(stack) == []
        assert not has_caught_up(stack, coded)
        registry.status = 0
        wait_for_topics(stack, [coded])
        wait_until(lambda: ready(stack)[0] == 200, what="ready")
    assert len(rows_by_id(stack)) == 21
    (letter,) = dead_letters(stack)
    assert letter["reason"] == "unknown_schema_id"
    assert "4711" in letter["detail"]


def test_ids_by_offset_and_kafka_s_time_are_stored(stack: Stack) -> None:
    topic = new_topic(stack, "clicks", configs={"message.timestamp.type": "CreateTime"})
    write_sections(stack, f'[c]\ntopics = ["{topic}"]\ncolumns.amount = "amount"\noccurred_at = "kafka_timestamp"\n')
    send(stack, topic, [b'{"amount": 5.5}', b'{"amount": 5.5}'], partitions=1)
    consume_all(stack)
    rows = sorted(rows_by_id(stack).values(), key=lambda row: int(row["kafka_offset"]))
    assert [row["transaction_id"] for row in rows] == [f"{row['topic_id']}/0/0/{n}" for n, row in enumerate(rows)]
    age = query(stack, "select max(abs(extract(epoch from ingested_at - occurred_at))) as s from transactions")
    assert float(age[0]["s"]) < 600


def test_dead_letters_come_back_through_the_corrected_mapping_by_our_own_topic(stack: Stack) -> None:
    topic = new_topic(stack, "pay")
    wrong = simple_section(topic).replace('"amount"', '"sum"')
    write_sections(stack, wrong.replace('columns.occurred_at = "at"', 'occurred_at = "kafka_timestamp"'))
    send(stack, topic, [body(id=f"a{n}", who="C7") for n in range(5)] + [b"broken"], partitions=1)
    consume_all(stack)
    assert {letter["reason"] for letter in dead_letters(stack)} == {"amount_missing", "not_json"}
    right = simple_section(topic, more='columns.customer_id = "who"')
    write_sections(stack, right.replace('columns.occurred_at = "at"', 'occurred_at = "kafka_timestamp"'))
    done = run_rtp("dead-letters", "replay", "--topic", topic, "--all", "--json", env=with_topics(stack))
    report = json.loads(done.stdout)
    assert (report["replayed"], len(report["failed"])) == (5, 1)
    consume_all(stack)
    rows = rows_by_id(stack)
    assert rows.keys() == {f"a{n}" for n in range(5)}
    letters = {letter["kafka_offset"]: letter for letter in dead_letters(stack) if letter["replayed_at"]}
    for n in range(5):
        row = rows[f"a{n}"]
        assert (row["source"], row["customer_id"]) == (f"topic:{topic}", "C7")
        assert row["occurred_at"] == letters[n]["kafka_timestamp"]
    assert sums_of(stack, topic)["inserted"] == 0
    headers = [dict(message.headers()) for message in messages(stack.endpoints, stack.topic)]
    assert {header["replay_of"].decode().rpartition(":")[2] for header in headers} == {str(n) for n in range(5)}
    assert all(header["kafka_timestamp"] for header in headers)
    assert_balanced(stack)


def test_the_api_and_dagster_replay_through_the_corrected_mapping(stack: Stack, start_rtp: StartRtp) -> None:
    topic = new_topic(stack, "pay")
    write_sections(stack, simple_section(topic).replace('"amount"', '"sum"'))
    send(stack, topic, [body(id="a1"), body(id="a2"), b"broken"], partitions=1)
    start_rtp("consume", env=with_topics(stack))
    wait_until(lambda: sums_of(stack, topic).get("dead_lettered") == 3, timeout_s=120, what="three dead letters")
    write_sections(stack, simple_section(topic))
    wish = {"all": True, "topic": topic, "reason": "amount_missing"}
    first = next(letter for letter in dead_letters(stack) if letter["reason"] == "amount_missing")
    answer = post(stack, "/dead-letters/replay", {"ids": [f"{first['topic_id']}:0:{first['kafka_offset']}"]})
    assert (answer["replayed"], answer["failed"]) == (1, {})
    assert post(stack, "/dead-letters/replay", wish)["replayed"] == 1
    wait_until(lambda: rows_by_id(stack).keys() == {"a1", "a2"}, timeout_s=120, what="the rows")
    with settings_of(stack):
        job = run_job("replay_dead_letters", {"ops": {"send_dead_letters": {"config": {"topic": topic}}}})
    assert not job.success
    assert "1 dead letters were refused again" in failure_text(job)
    assert {row["source"] for row in rows_by_id(stack).values()} == {f"topic:{topic}"}


def post(stack: Stack, path: str, wish: dict[str, Any]) -> dict[str, Any]:
    """Sends a request that changes something to the consumer's API, and returns its answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.consumer_port}{path}",
        json.dumps(wish).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found
