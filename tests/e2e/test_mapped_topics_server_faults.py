"""Kafka, PostgreSQL and the registry fail under one consumer of three topics: each topic keeps every record once.

All tests share one platform and one consumer. Nobody restarts anything but the server that was killed.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.postgres.connection import connect
from rtp_workers.reconcile.verify import verify
from tests import server_faults
from tests.conftest import Stack, fresh_folder, new_folder, remove_folder, stack_on
from tests.faulty_servers import faulty_servers
from tests.faulty_topics import SEEN_S, STORED_S, Platform
from tests.foreign_topics import new_topic, send, simple_section, with_topics, write_sections
from tests.log_faults import (
    SMALL_CLIENT,
    abort_open_transaction,
    leave_transaction_open,
    produce_bomb,
    stranger_in_group,
)
from tests.programs import run_rtp, start_program
from tests.reading import query
from tests.records import produce
from tests.restored_ledger import keep_a_copy, restore
from tests.schema_registry import schema_registry
from tests.server_faults import ONLY_ROOT_MOUNTS, deadlock_over
from tests.topic_kinds import (
    KINDS,
    SALE,
    SALE_ID,
    avro_record,
    json_record,
    own_record,
)
from tests.waiting import wait_until

PARTITIONS = 2
LARGE_BYTES = 900_000
MORE_BYTES = 200_000_000  # than the consumer has
COLUMN_CHANGES = (
    (
        "alter table transactions rename column country to land",
        "alter table transactions rename column land to country",
    ),
    (
        "alter table transactions add column checked_by text not null default 'nobody'; "
        "alter table transactions alter column checked_by drop default",
        "alter table transactions drop column checked_by",
    ),
)


@pytest.fixture(scope="module")
def shared(session_folder: Path) -> Iterator[Platform]:
    """The platform of every test here, with its consumer running."""
    home = new_folder()
    with (
        faulty_servers(fresh_folder(session_folder, "faulty-topics")) as servers,
        schema_registry() as registry,
        stack_on(servers.pair, home) as stack,
    ):
        topics = {"own": stack.topic, "json": new_topic(stack, "json"), "avro": new_topic(stack, "avro")}
        write_sections(stack, simple_section(topics["json"]), simple_section(topics["avro"], "sales"))
        assert registry.add(SALE) == SALE_ID
        env = with_topics(
            replace(stack, env=servers.proxied(stack)),
            RTP_CONSUMER_BATCH_ROWS="100",
            RTP_SCHEMA_REGISTRY_URL=registry.url,
            RTP_KAFKA_CLIENT_CONFIG=SMALL_CLIENT,
        )
        consumer = start_program("consume", "--no-api", env=env, log=home / "consumer.log")
        platform = Platform(servers, registry, stack, env, consumer, topics)
        try:
            yield platform
        finally:
            platform.consumer.kill()
    remove_folder(home)


@pytest.fixture
def platform(shared: Platform) -> Iterator[Platform]:
    """The platform, with everything mended behind each test, and a consumer again if a test has lost it."""
    if not shared.consumer.running():
        shared.start_consumer_again()
    yield shared
    shared.registry.status = 0
    shared.servers.mend()
    print(shared.consumer.output()[-4_000:])  # shown where the test failed


def postgres_ended(number: signal.Signals) -> Callable[[Platform], None]:
    def fault(platform: Platform) -> None:
        before = platform.told_of_each("write_failed")
        platform.servers.signal(platform.servers.postgres, number)
        platform.wait_for_word_of_each(before, "write_failed")
        platform.servers.start_again(platform.servers.postgres)

    return fault


def kafka_killed(platform: Platform) -> None:
    platform.servers.signal(platform.servers.kafka, signal.SIGKILL)
    platform.servers.start_again(platform.servers.kafka)


def kafka_frozen(platform: Platform) -> None:
    before = platform.told("problem", where="kafka")
    platform.servers.signal(platform.servers.kafka, signal.SIGSTOP)
    platform.wait_for_word(before, "problem", where="kafka")
    platform.servers.signal(platform.servers.kafka, signal.SIGCONT)


def topic_made_again(platform: Platform) -> None:
    """The rows of the deleted topic stay, and the new one is read from its beginning."""
    topic, stack = platform.topics["json"], platform.stack
    (feed,) = (feed for feed in platform.feeds if feed.topic == topic)
    feed.stop()
    platform.wait_until_stored(topic)
    delete_topic(stack.endpoints, topic)
    wait_until(partial(_is_made, stack, topic), SEEN_S, "the topic, made again")
    platform.feed("json", "again")


def registry_away(platform: Platform) -> None:
    """Records of a schema that the consumer has not met yet wait; the other topics flow."""
    platform.registry.status = 500
    schema_id = platform.registry.add(SALE)
    topic = platform.topics["avro"]
    before = platform.told("problem", where="schema_registry", topic=topic)
    platform.feed("avro", "new-schema", partial(avro_record, schema_id=schema_id))
    platform.wait_for_word(before, "problem", where="schema_registry", topic=topic)
    platform.wait_for_rows("own", "json")
    platform.registry.status = 0


def line_to_kafka(platform: Platform) -> None:
    for fault in (server_faults.kafka_half_open, server_faults.kafka_slow):
        fault(platform.scene)


def line_to_postgres(platform: Platform) -> None:
    for fault in (server_faults.postgres_cut, server_faults.postgres_slow, server_faults.postgres_full):
        fault(platform.scene)


def disk_full(platform: Platform) -> None:
    server_faults.postgres_disk_full(platform.scene)


def table_locked(platform: Platform) -> None:
    mapped = [topic for kind, topic in platform.topics.items() if kind != "own"]
    before = {topic: platform.told("problem", where="postgres", topic=topic) for topic in mapped}
    somebody = connect(platform.stack.endpoints.need("postgres_dsn"), "somebody's psql")
    try:
        with somebody.cursor() as cursor:
            cursor.execute("lock table transactions in access exclusive mode")
        for topic in mapped:
            platform.wait_for_word(before[topic], "problem", where="postgres", topic=topic)
    finally:
        somebody.close()
    platform.wait_for_rows(*platform.topics)


def ledger_restored(platform: Platform) -> None:
    """Everything since the copy is read again, although nothing new comes."""
    platform.stop_feeds()
    keep_a_copy(platform.stack)
    for kind in platform.topics:
        platform.feed(kind, "lost")
    platform.wait_for_rows(*platform.topics)
    platform.stop_feeds()
    before = platform.told_of_each("wound_back")
    restore(platform.stack)
    platform.wait_for_word_of_each(before, "wound_back")


def topic_compacted(platform: Platform) -> None:
    """The topic waits until it is corrected; the other topics flow."""
    topic, endpoints = platform.topics["json"], platform.stack.endpoints
    before = platform.told("problem", where="topic", topic=topic)
    ensure_topic(endpoints, topic, partitions=PARTITIONS, configs={"cleanup.policy": "compact,delete"}, alter=True)
    platform.wait_for_word(before, "problem", where="topic", topic=topic)
    platform.wait_for_rows("own", "avro")
    ensure_topic(endpoints, topic, partitions=PARTITIONS, alter=True)
    platform.wait_for_rows("json")


def batch_too_large_to_unpack(platform: Platform) -> None:
    """The partition waits until a person steps over the batch; the other topics flow."""
    topic = platform.topics["json"]
    before = platform.told("problem", where="partition 0", topic=topic)
    produce_bomb(platform.stack_of("json"), 0)
    platform.wait_for_word(before, "problem", where="partition 0", topic=topic)
    platform.wait_for_rows("own", "avro")
    offset = re.findall(r"it is stuck at offset (\d+)", platform.consumer.output())[-1]
    skip = ("skip", "--topic", topic, "--partition", "0", "--offset", offset, "--reason", "a broken exporter")
    done = run_rtp(*skip, env=platform.env)
    assert "3 offsets" in done.stdout, done.stderr
    platform.extra[topic, "skipped"] += 3


def transaction_left_open(platform: Platform) -> None:
    """The partition waits until it is aborted; the other topics flow."""
    topic, stack = platform.topics["json"], platform.stack_of("json")
    before = platform.told("problem", where="partition 0", topic=topic)
    leave_transaction_open(stack, 0)
    platform.wait_for_word(before, "problem", where="partition 0", topic=topic)
    platform.wait_for_rows("own", "avro")
    abort_open_transaction(stack)
    platform.extra[topic, "skipped"] += 2  # the record, and the marker behind it


def stranger(platform: Platform) -> None:
    topic = platform.topics["json"]
    before = platform.told("problem", where="group", topic=topic)
    with stranger_in_group(platform.stack_of("json")):
        # A client that an earlier fault has left behind is replaced only after a minute.
        platform.wait_for_word(before, "problem", 300, where="group", topic=topic)
        platform.wait_for_rows("own", "avro")


def large_bad_records(platform: Platform) -> None:
    """In a small process they become dead letters, and their neighbours land."""
    with platform.consumer_with_little_memory(MORE_BYTES):
        for kind, topic in platform.topics.items():
            make, _ = KINDS[kind]
            large = [make("x" * LARGE_BYTES, "1.00"), b"\xff" * LARGE_BYTES] * 10
            send(platform.stack, topic, large)
            platform.extra[topic, "dead_lettered"] += len(large)
        platform.stop_feeds()


def columns_changed(platform: Platform) -> None:
    """A column goes, and then somebody's own one must not be null: every topic waits, and no record is refused."""
    for change, mended in COLUMN_CHANGES:
        before = platform.told_of_each("write_failed")
        query(platform.stack, change)
        platform.wait_for_word_of_each(before, "write_failed")
        query(platform.stack, mended)
        platform.wait_for_rows(*platform.topics)


def another_database(platform: Platform) -> None:
    """Two databases in one group would get a part of the records each, so both wait in every topic."""
    before = platform.told("problem", where="group")
    with platform.consumer_of_another_database() as other:
        platform.wait_for_word(before + len(platform.topics) - 1, "problem", where="group")
        other.signal(signal.SIGTERM)
        assert other.wait(SEEN_S) == 0
    platform.wait_for_rows(*platform.topics)


def everything_killed(platform: Platform) -> None:
    """The consumer comes back first, alone."""
    servers = platform.servers
    before = platform.told("problem", where="kafka")
    for server in (servers.postgres, servers.kafka):
        servers.signal(server, signal.SIGKILL)
    platform.consumer.kill()
    platform.start_consumer_again()
    platform.wait_for_word(before, "problem", where="kafka")
    servers.start_again(servers.postgres)
    servers.start_again(servers.kafka)


def _is_made(stack: Stack, topic: str) -> bool:
    try:
        return ensure_topic(stack.endpoints, topic, partitions=PARTITIONS) is not None
    except TransientError:
        return False  # its deletion is under way


FAULTS: dict[str, Callable[[Platform], None]] = {
    "PostgreSQL killed": postgres_ended(signal.SIGKILL),
    "PostgreSQL stopped cleanly": postgres_ended(signal.SIGINT),
    "Kafka killed": kafka_killed,
    "Kafka frozen": kafka_frozen,
    "line to Kafka half-open and slow": line_to_kafka,
    "line to PostgreSQL cut, slow and taken": line_to_postgres,
    "disk full": disk_full,
    "registry away": registry_away,
    "table locked": table_locked,
    "ledger restored": ledger_restored,
    "topic compacted": topic_compacted,
    "batch too large to unpack": batch_too_large_to_unpack,
    "transaction left open": transaction_left_open,
    "stranger in the group": stranger,
    "records of 900 kB": large_bad_records,
    "columns changed": columns_changed,
    "another database": another_database,
    "everything killed": everything_killed,
    "topic made again": topic_made_again,
}
CASES = [pytest.param(name, marks=[ONLY_ROOT_MOUNTS] if "disk" in name else []) for name in FAULTS]


@pytest.mark.parametrize("name", CASES)
def test_each_topic_keeps_every_acknowledged_record_once(platform: Platform, name: str) -> None:
    with platform.fed(name.replace(" ", "-")):
        platform.wait_for_rows(*platform.topics)
        FAULTS[name](platform)
    mapped = [platform.topics[kind] for kind in ("json", "avro")]
    assert verify(platform.stack.endpoints, platform.stack.topic, 60, mapped=mapped).problems == []
    assert platform.consumer.running()
    assert "Traceback" not in platform.consumer.output()


def test_a_deadlock_in_one_topic_is_retried_and_holds_up_no_other(platform: Platform) -> None:
    stack, last = platform.stack, 59
    before = {kind: platform.rows_of(kind) for kind in platform.topics}
    with deadlock_over(platform.servers, stack, f"deadlock-{last}", f"deadlock-{last - 1}"):
        values = [json_record(f"deadlock-{number}", "1.00") for number in range(last + 1)]
        produce(replace(stack, topic=platform.topics["json"]), values)
        produce(stack, [own_record("flows-own", "1.00")])
        produce(replace(stack, topic=platform.topics["avro"]), [avro_record("flows-avro", "1.00")])
        for kind in ("own", "avro"):
            wait_until(lambda kind=kind: platform.rows_of(kind) == before[kind] + 1, SEEN_S, f"a row of {kind}")  # type: ignore[misc]  # mypy cannot type lambda defaults
    wait_until(lambda: platform.rows_of("json") == before["json"] + last + 1, STORED_S, "the rows of json")
    assert "deadlock" in platform.consumer.output()
