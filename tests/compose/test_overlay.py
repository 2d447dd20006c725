"""The SASL overlay, and docker-compose 1.29: a second project, of Kafka, PostgreSQL, producer and consumer."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tests.compose.docker import COMPOSE, Project, eventually, run

SERVICES = ("kafka", "postgres", "producer-streaming-api", "consumer-streaming-api")
OLD_COMPOSE = "/usr/bin/docker-compose"


@pytest.fixture(scope="module")
def secured(image: str) -> Iterator[Project]:
    """Kafka with logins, booted with docker-compose 1.29 where the machine has it."""
    command = (OLD_COMPOSE,) if shutil.which(OLD_COMPOSE) else COMPOSE
    files = ("docker-compose.yml", "deploy/compose.sasl.yml")
    project = Project(f"rtp-test-sasl-{os.getpid()}", files, command)
    try:
        project.compose("up", "--detach", *SERVICES)
        project.wait_healthy(SERVICES)
        yield project
    finally:
        project.down()


def test_records_flow_with_logins(secured: Project) -> None:
    eventually(lambda: secured.rows() > 100, 60, "rows through the secured Kafka")


def test_a_client_without_login_is_refused(secured: Project) -> None:
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": _host(secured)}).list_topics(timeout=5)


def test_a_wrong_password_is_refused(secured: Project) -> None:
    login = {**_login(secured, "producer"), "sasl.password": "guessed"}
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": _host(secured), **login}).list_topics(timeout=5)


def test_a_login_sees_the_topic_from_the_host(secured: Project) -> None:
    listed = AdminClient({"bootstrap.servers": _host(secured), **_login(secured, "consumer")}).list_topics(timeout=20)
    assert "transactions" in listed.topics


def test_the_producers_login_may_not_write_elsewhere_nor_read_the_group(secured: Project) -> None:
    secured.exec(
        "kafka",
        "kafka-topics",
        "--bootstrap-server",
        "localhost:9092",
        "--create",
        "--topic",
        "others",
        "--partitions",
        "1",
    )
    refused: list[int] = []
    producer = Producer(
        {"bootstrap.servers": _host(secured), **_login(secured, "producer"), "message.timeout.ms": 15_000}
    )
    producer.produce("others", b"x", on_delivery=lambda error, _: refused.append(error.code() if error else 0))
    producer.flush(20)
    assert refused == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def test_the_tools_inside_the_container_need_no_login(secured: Project) -> None:
    listed = secured.exec("kafka", "kafka-topics", "--list", "--bootstrap-server", "localhost:9092")
    assert "transactions" in listed.split()


def test_rotated_passwords_work_and_old_ones_do_not(secured: Project) -> None:
    old = _login(secured, "producer")
    secured.compose("run", "--rm", "-T", "setup", "rtp", "setup", "--kafka-sasl", "--rotate")
    new = _login(secured, "producer")
    assert new["sasl.password"] != old["sasl.password"]
    secured.compose("restart", "producer-streaming-api", "consumer-streaming-api")
    secured.wait_healthy(SERVICES)
    before = secured.rows()
    eventually(lambda: secured.rows() > before, 60, "rows after the rotation")
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": _host(secured), **old}).list_topics(timeout=5)


def test_both_generations_of_compose_read_the_file(image: str) -> None:
    for command in {COMPOSE, (OLD_COMPOSE,) if shutil.which(OLD_COMPOSE) else COMPOSE}:
        run(*command, "-f", "docker-compose.yml", "config", "--quiet")


def _host(project: Project) -> str:
    return f"localhost:{project.ports['KAFKA']}"


def _login(project: Project, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(project.exec(f"{name}-streaming-api", "cat", "/run/rtp/kafka.json"))
    return found
