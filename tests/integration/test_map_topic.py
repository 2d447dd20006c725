"""``rtp map --topic``: looks at the newest records, joins no group, and writes a section."""

from __future__ import annotations

import json
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.conftest import Stack
from tests.programs import run_rtp
from tests.records import produce
from tests.schema_registry import avro, framed, schema_registry
from tests.topic_records import body
from tests.topic_shapes import all_shapes

SALE = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "amount", "type": "string"},
        {"name": "sold_at", "type": "string"},
    ],
}


def groups(stack: Stack) -> set[str]:
    admin = AdminClient({"bootstrap.servers": stack.endpoints.need("kafka_bootstrap")})
    return {group.group_id for group in admin.list_consumer_groups().result(30).valid}


def test_the_section_found_is_written_and_shown_with_the_first_transactions(stack: Stack) -> None:
    for kafka_partition in range(3):
        produce(stack, [body(id=f"p{kafka_partition}-{n}") for n in range(20)], kafka_partition=kafka_partition)
    before = groups(stack)
    found = run_rtp("map", "--topic", stack.topic, "--name", "pay", env=stack.env)
    assert found.returncode == 0, found.stderr
    assert "60 records looked at" in found.stdout
    assert "first 5 transactions as they would be stored" in found.stdout
    text = (Path(stack.env["RTP_DATA_DIR"]) / "sources.toml").read_text()
    assert f'[pay]\ntopics = ["{stack.topic}"]\n' in text
    assert 'columns.amount = "amount"' in text
    assert groups(stack) == before
    again = run_rtp("map", "--topic", stack.topic, env=stack.env)
    assert again.returncode != 0
    assert "already, in [pay]" in again.stderr


def test_what_is_open_stands_in_the_section_as_a_question(stack: Stack) -> None:
    shape = next(shape for shape in all_shapes() if shape.name == "stripe-charge")
    produce(stack, [json.dumps(shape.document(n)).encode() for n in range(30)])
    found = run_rtp("map", "--topic", stack.topic, env=stack.env)
    assert found.returncode == 0, found.stderr
    assert "not consumed until these questions are answered" in found.stdout
    assert 'amount_unit = "?"' in (Path(stack.env["RTP_DATA_DIR"]) / "sources.toml").read_text()


def test_json_says_the_same_and_writes_nothing(stack: Stack) -> None:
    produce(stack, [body(id=f"p{n}") for n in range(20)] + [b"broken", None])
    found = run_rtp("map", "--topic", stack.topic, "--json", env=stack.env)
    look = json.loads(found.stdout)
    assert look["records"] == 22
    assert look["refused"] == {"not_json": 1, "not_an_insert": 1}
    assert look["mapping"]["transaction_id"]["paths"] == ["id"]
    assert look["sample"][0]["transaction_id"] == "p0"
    assert not (Path(stack.env["RTP_DATA_DIR"]) / "sources.toml").exists()


def test_avro_is_read_through_the_registry_with_its_user_and_password(stack: Stack) -> None:
    with schema_registry() as registry:
        registry.user, registry.password = "reader", "s3cret"
        schema_id = registry.add(SALE)
        sales = [{"id": f"s{n}", "amount": f"{n}.50", "sold_at": "2026-01-31T13:45:00Z"} for n in range(20)]
        produce(stack, [framed(schema_id, avro(SALE, sale)) for sale in sales])
        env = {**stack.env, "RTP_SCHEMA_REGISTRY_URL": registry.url, "RTP_SCHEMA_REGISTRY_USER": "reader"}
        found = run_rtp("map", "--topic", stack.topic, "--json", env={**env, "RTP_SCHEMA_REGISTRY_PASSWORD": "s3cret"})
        assert json.loads(found.stdout)["mapping"]["amount"]["paths"] == ["amount"]
        wrong = run_rtp("map", "--topic", stack.topic, "--json", env={**env, "RTP_SCHEMA_REGISTRY_PASSWORD": "no"})
        assert wrong.returncode != 0
        assert "does not let us in" in wrong.stderr


def test_an_empty_topic_and_one_that_is_not_there_are_said(stack: Stack) -> None:
    empty = run_rtp("map", "--topic", stack.topic, env=stack.env)
    assert empty.returncode != 0
    assert "has no records yet" in empty.stderr
    missing = run_rtp("map", "--topic", "nowhere", env=stack.env)
    assert missing.returncode != 0
    assert "topic nowhere does not exist" in missing.stderr
