"""Two databases behind one consumer group: each would get only a part of the records, so both say so and wait."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka.admin import AdminClient

from rtp_workers.kafka.causes import CauseFinder, Others
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.postgres import ledger
from rtp_workers.postgres.connection import connect
from tests.conftest import Stack, StartRtp, clone_database, drop_database, endpoints_of, make_stack
from tests.consumer_answers import ask, not_ready_because
from tests.reading import rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.waiting import wait_until

SEEN_S = 120.0
PARTITIONS = 6
WORDS = "that consumer stores into another database"


@pytest.fixture
def other(stack: Stack, servers: EmbeddedServers) -> Iterator[Stack]:
    """The topic and the group of `stack`, with another database."""
    assert servers.postgres is not None
    database, home = f"rtp_{secrets.token_hex(4)}", stack.home / "other"
    home.mkdir()
    clone_database(servers.postgres, database)
    yield make_stack(endpoints_of(servers, database), stack.topic, home)
    drop_database(servers.postgres, database)


def send(stack: Stack, name: str) -> set[str]:
    """Sends two records to each partition and returns their ids."""
    ids = [f"{name}-{number}" for number in range(2 * PARTITIONS)]
    for number in range(PARTITIONS):
        produce(stack, map(body, ids[2 * number : 2 * number + 2]), kafka_partition=number)
    return set(ids)


def ledger_id(stack: Stack) -> str:
    connection = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test", autocommit=True)
    try:
        return ledger.identity(connection)
    finally:
        connection.close()


def members(stack: Stack) -> list[str]:
    """Returns the client id of each member of the group that has partitions."""
    group = stack.env["RTP_GROUP_ID"]
    admin = AdminClient({"bootstrap.servers": stack.endpoints.need("kafka_bootstrap")})
    described = admin.describe_consumer_groups([group], request_timeout=10)[group].result(15)
    return sorted(member.client_id for member in described.members if member.assignment.topic_partitions)


def test_two_databases_in_one_group_both_say_so_and_wait(stack: Stack, other: Stack, start_rtp: StartRtp) -> None:
    first = start_rtp("consume", env=stack.env)
    sent = send(stack, "first")
    wait_for_ledger(stack, SEEN_S)
    second = start_rtp("consume", env=other.env)
    for of in (stack, other):
        wait_until(partial(not_ready_because, of, WORDS), SEEN_S, "503 with the cause")
    sent |= send(stack, "second")
    for program, of in ((first, stack), (second, other)):
        status = ask(of, "/status")[1]
        assert (status["state"], status["paused"]) == ("trouble", True)
        assert ledger_id(other if of is stack else stack) in status["problems"]["group"]
        assert WORDS in program.output()
    assert not any(name.startswith("second") for name in rows_by_id(stack) | rows_by_id(other)), "both wait"
    second.kill()
    wait_until(lambda: ask(stack, "/health/ready")[0] == 200, SEEN_S, "readiness, once the other has gone")
    wait_for_ledger(stack, SEEN_S)
    assert set(rows_by_id(stack)) == sent


def test_several_consumers_of_one_database_are_no_strangers(stack: Stack, start_rtp: StartRtp) -> None:
    start_rtp("consume", "--no-api", env=stack.env)
    own_name = {"RTP_KAFKA_CLIENT_CONFIG": json.dumps({"client.id": "pod-2"})}
    start_rtp("consume", "--no-api", env={**stack.env, **own_name})
    mark = f".ledger-{ledger_id(stack)}"
    wait_until(lambda: members(stack) == [f"pod-2{mark}", f"rtp-consumer{mark}"], SEEN_S, "two members")
    finder = CauseFinder(stack.endpoints, stack.topic, stack.env["RTP_GROUP_ID"])
    assert finder.others(ledger_id(stack)) == Others()
    assert WORDS in (finder.others("0" * 12).ledgers or "")
    assert finder.others("") == Others(), "without an id of our own, nobody is accused"
    send(stack, "all")
    wait_for_ledger(stack, SEEN_S)


def test_each_database_has_an_id_of_its_own_that_stays(stack: Stack, other: Stack) -> None:
    assert len(ledger_id(stack)) == 12
    assert ledger_id(stack) == ledger_id(stack)
    assert ledger_id(stack) != ledger_id(other)
