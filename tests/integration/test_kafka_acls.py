"""Rights that a Kafka user lacks, at a broker with ACLs: the message names the operation and the resource."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AttentionError
from rtp_workers.kafka.log_reader import LogReader
from rtp_workers.kafka.record_producer import RecordProducer, record_headers
from rtp_workers.kafka.topics import describe, ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.kafka_server import KafkaServer
from tests.conftest import Stack, StartRtp, fresh_folder
from tests.consumer_answers import not_ready_because
from tests.waiting import wait_until

TOPIC = "transactions"
USERS = ("nobody", "describer", "writer", "member", "late")
WAIT_S = 180.0


@dataclass
class GuardedKafka(KafkaServer):
    """A broker with ACLs: whoever comes through its usual port may do everything, a user with a login almost nothing.

    Attributes:
        login_port: where users log in.
    """

    login_port: int = 0

    def _properties(self, data: Path) -> str:
        lines = dict(line.split("=", 1) for line in super()._properties(data).splitlines())
        logins = " ".join(f'user_{name}="secret"' for name in USERS)
        lines["listeners"] += f",LOGIN://{ports.LOOPBACK}:{self.login_port}"
        lines["listener.security.protocol.map"] += ",LOGIN:SASL_PLAINTEXT"
        lines["sasl.enabled.mechanisms"] = "PLAIN"
        lines["listener.name.login.plain.sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {logins};"
        )
        lines["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        lines["super.users"] = "User:ANONYMOUS"
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def login_of(self, user: str) -> Endpoints:
        """Returns how this user reaches the broker."""
        login = {"sasl.mechanism": "PLAIN", "sasl.username": user, "sasl.password": "secret"}
        return Endpoints(f"{ports.LOOPBACK}:{self.login_port}", {"security.protocol": "SASL_PLAINTEXT", **login})

    def allow(self, user: str, topic: str, *operations: AclOperation) -> None:
        """Gives a user rights on a topic."""
        rights = [
            AclBinding(
                ResourceType.TOPIC,
                topic,
                ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for operation in operations
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for given in admin.create_acls(rights).values():
            given.result(60)


@pytest.fixture(scope="module")
def kafka(session_folder: Path) -> Iterator[GuardedKafka]:
    home = fresh_folder(session_folder, "guarded-kafka")
    for name in ("logs", "run"):
        (home / name).mkdir(parents=True)
    server = GuardedKafka(home, ports.free_port(), quick_start=True, login_port=ports.free_port())
    server.prepare()
    server.start()
    try:
        server.wait_ready()
        ensure_topic(Endpoints(kafka_bootstrap=server.bootstrap), TOPIC)
        for user in ("describer", "writer", "late"):
            server.allow(user, TOPIC, AclOperation.DESCRIBE)
        # Who may write to any topic may use an idempotent producer.
        server.allow("writer", "another", AclOperation.WRITE)
        server.allow("member", TOPIC, AclOperation.DESCRIBE, AclOperation.READ)
        yield server
    finally:
        server.stop()


def test_describing_a_topic_without_the_right_says_so(kafka: GuardedKafka) -> None:
    with pytest.raises(AttentionError, match="no ACL for Describe on topic transactions"):
        describe(kafka.login_of("nobody"), TOPIC, timeout_s=60)


def test_the_log_check_without_the_right_to_read_says_so(kafka: GuardedKafka) -> None:
    reader = LogReader(kafka.login_of("describer"), TOPIC, "rtp")
    try:
        with pytest.raises(AttentionError, match="no ACL for Read on topic transactions"):
            reader.read({0: range(1)}, timeout_s=60)
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("user", "right"), [("writer", "Write on topic transactions"), ("describer", "IdempotentWrite on cluster")]
)
def test_a_producer_without_a_right_names_it(kafka: GuardedKafka, user: str, right: str) -> None:
    producer = RecordProducer(kafka.login_of(user), TOPIC, "acl-test")
    try:
        producer.send(b"{}", None, record_headers("live"))
        with pytest.raises(AttentionError, match=f"no ACL for {right}"):
            producer.flush(60)
    finally:
        producer.close()


def test_a_consumer_without_the_right_to_its_group_is_not_ready_and_names_it(
    kafka: GuardedKafka, stack: Stack, start_rtp: StartRtp
) -> None:
    start_rtp("consume", env=env_of(kafka, "member", stack))
    wait_until(lambda: not_ready_because(stack, "no ACL for Read on group"), WAIT_S, "503 with the missing right")


def test_a_running_producer_names_the_missing_right_and_sends_once_it_has_it(
    kafka: GuardedKafka, stack: Stack, start_rtp: StartRtp
) -> None:
    producer = start_rtp("produce", env=env_of(kafka, "late", stack))
    url = stack.endpoints.need("producer_url")

    def said(path: str) -> str:
        try:
            return httpx.get(f"{url}{path}", timeout=60).text
        except httpx.TransportError:
            return ""

    wait_until(lambda: "no ACL for IdempotentWrite on cluster" in said("/health/ready"), WAIT_S, "the missing right")
    wait_until(lambda: producer.output().count("Fatal error") >= 3, WAIT_S, "more attempts")
    assert producer.output().count("producer_restarted") == 1, "a reason is logged once"
    kafka.allow("late", TOPIC, AclOperation.WRITE)
    wait_until(lambda: json.loads(said("/status") or "{}").get("acknowledged", 0) > 0, WAIT_S, "records")
    assert producer.running()


def env_of(kafka: GuardedKafka, user: str, stack: Stack) -> dict[str, str]:
    """Returns the environment of a program that logs in as this user."""
    login = kafka.login_of(user)
    client = {"RTP_KAFKA_CLIENT_CONFIG": json.dumps(login.kafka_options)}
    return {**stack.env, "RTP_KAFKA_BOOTSTRAP": login.need("kafka_bootstrap"), "RTP_TOPIC": TOPIC, **client}
