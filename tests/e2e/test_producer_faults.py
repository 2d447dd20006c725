"""The producer under faults of real processes: nothing that a client was told is in Kafka may be missing there."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from typing import Any

import httpx
import psutil
import pytest

from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import ensure_topic, log_offsets
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.ports import free_port as _free_port
from tests.conftest import NewServers, Stack, StartRtp
from tests.programs import RunningProgram, clean_env
from tests.reading import assert_balanced, messages, query, wait_for_ledger
from tests.waiting import wait_until


def bodies_at(endpoints: Endpoints, topic: str) -> dict[tuple[int, int], bytes]:
    """Returns every record's value by partition and offset."""
    return {(found.partition(), found.offset()): found.value() or b"" for found in messages(endpoints, topic)}


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def status_of(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/status", timeout=10).json()
    return found


class Client(threading.Thread):
    """Posts lists of transactions one after the other until the service is gone; keeps what it was told."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._name = name
        self.told: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        """Posts until an answer does not come."""
        number = 0
        with httpx.Client(timeout=30) as client:
            while True:
                batch = [
                    {
                        "transaction_id": f"{self._name}-{number + at}",
                        "occurred_at": "2026-01-31T13:45:00Z",
                        "amount": "1",
                    }
                    for at in range(20)
                ]
                number += 20
                try:
                    answer = client.post(f"{self._url}/transactions", json=batch)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    for place in answer.json()["acknowledged"]:
                        self.told[place["kafka_partition"], place["kafka_offset"]] = place["transaction_id"]


def test_killed_at_full_rate_everything_a_client_was_told_is_stored(stack: Stack, start_rtp: StartRtp) -> None:
    url = stack.endpoints.need("producer_url")
    program = start_rtp("produce", "--rate", "1000000", env=stack.env)
    wait_until(lambda: is_ready(url), timeout_s=120, what="readiness")
    clients = [Client(url, f"client{number}") for number in range(3)]
    for client in clients:
        client.start()
    wait_until(lambda: all(len(client.told) >= 200 for client in clients), timeout_s=60, what="acknowledged lists")
    program.signal(signal.SIGKILL)
    for client in clients:
        client.join(60)
    found = bodies_at(stack.endpoints, stack.topic)
    told = {place: name for client in clients for place, name in client.told.items()}
    assert len(told) >= 600
    for place, name in told.items():
        assert json.loads(found[place])["transaction_id"] == name
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack, timeout_s=300)
    rows = query(stack, "select kafka_partition, kafka_offset, transaction_id from transactions where source = 'api'")
    stored = {(row["kafka_partition"], row["kafka_offset"]): row["transaction_id"] for row in rows}
    assert {place: stored.get(place) for place in told} == told
    assert_balanced(stack)


def test_kafka_away_is_said_and_waited_for_and_nothing_is_lost(new_servers: NewServers, start_rtp: StartRtp) -> None:
    servers = new_servers()
    servers.start()
    kafka = servers.kafka
    assert kafka is not None
    endpoints = servers.endpoints()
    ensure_topic(endpoints, "transactions")
    home = kafka.home
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    env = clean_env(
        RTP_HOME=str(home),
        RTP_KAFKA_BOOTSTRAP=kafka.bootstrap,
        RTP_PRODUCER_PORT=str(port),
        RTP_PRODUCER_ACK_TIMEOUT_S="1",
    )
    program = start_rtp("produce", "--rate", "500", env=env)
    wait_until(lambda: is_ready(url) and status_of(url)["acknowledged"] > 500, what="records in Kafka")
    kafka.stop()
    wait_until(lambda: status_of(url)["state"] == "waiting", what="the producer noticing that Kafka is away")
    refused = httpx.get(f"{url}/health/ready", timeout=10)
    assert refused.status_code == 503
    assert "Kafka" in refused.json()["detail"]
    assert httpx.get(f"{url}/health/live", timeout=10).status_code == 200
    unknown = httpx.post(f"{url}/transactions", content=_own("own-1"), timeout=30)
    assert unknown.status_code == 503
    assert unknown.headers["retry-after"]
    assert "same ids" in unknown.json()["detail"]
    made = status_of(url)["generated"]["records"]
    kafka.start()
    kafka.wait_ready()
    wait_until(lambda: status_of(url)["acknowledged"] > made + 500, timeout_s=90, what="records after Kafka's return")
    assert httpx.post(f"{url}/transactions", content=_own("own-1"), timeout=30).status_code == 200
    program.signal(signal.SIGTERM)
    assert program.wait(60) == 0
    said = program.output().strip().splitlines()[-1]
    acknowledged = int(said.split(" acknowledged")[0].rsplit(" ", 1)[1].replace(",", ""))
    assert acknowledged == len(bodies_at(endpoints, "transactions"))
    assert " 0 failed" in said


def test_told_to_stop_while_kafka_is_away_it_says_what_is_lost(new_servers: NewServers, start_rtp: StartRtp) -> None:
    servers = new_servers()
    servers.start()
    kafka = servers.kafka
    assert kafka is not None
    ensure_topic(servers.endpoints(), "transactions")
    port = _free_port()
    env = clean_env(
        RTP_HOME=str(kafka.home),
        RTP_KAFKA_BOOTSTRAP=kafka.bootstrap,
        RTP_PRODUCER_PORT=str(port),
        RTP_PRODUCER_FLUSH_TIMEOUT_S="1",
    )
    program = start_rtp("produce", "--rate", "500", env=env)
    wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"), what="readiness")
    kafka.stop()
    wait_until(lambda: status_of(f"http://127.0.0.1:{port}")["state"] == "waiting", what="Kafka's absence noticed")
    program.signal(signal.SIGTERM)
    assert program.wait(60) == 1
    assert "records lost" in program.output()


def _own(name: str) -> bytes:
    return json.dumps({"transaction_id": name, "occurred_at": "2026-01-31T13:45:00Z", "amount": "1"}).encode()


def producing(
    new_servers: NewServers, start_rtp: StartRtp, rate_per_s: str, **env: str
) -> tuple[EmbeddedServers, KafkaServer, str, RunningProgram]:
    """Starts servers of its own and a producer service on them; returns them, Kafka, the URL and the program."""
    servers = new_servers()
    servers.start()
    kafka = servers.kafka
    assert kafka is not None
    ensure_topic(servers.endpoints(), "transactions")
    port = str(_free_port())
    home = {"RTP_HOME": str(kafka.home), "RTP_KAFKA_BOOTSTRAP": kafka.bootstrap, "RTP_PRODUCER_PORT": port}
    program = start_rtp("produce", "--rate", rate_per_s, env=clean_env(**home, **env))
    return servers, kafka, f"http://127.0.0.1:{port}", program


def test_kafka_stopped_at_full_rate_holds_the_stream_back_and_loses_nothing(
    new_servers: NewServers, start_rtp: StartRtp
) -> None:
    servers, kafka, url, program = producing(new_servers, start_rtp, "1000000", RTP_PRODUCER_QUEUE_BYTES="20000000")
    assert kafka.child is not None
    wait_until(lambda: is_ready(url) and status_of(url)["acknowledged"] > 1_000, what="records in Kafka")
    kafka.child.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: status_of(url)["state"] == "waiting", what="Kafka's silence noticed")
    held = status_of(url)
    assert held["outstanding"] > 10_000
    assert psutil.Process(program.pid).memory_info().rss < 400_000_000
    wait_until(lambda: status_of(url)["uptime_s"] > held["uptime_s"] + 3, what="three seconds more")
    assert status_of(url)["outstanding"] <= 20_000_000 / 512
    kafka.child.process.send_signal(signal.SIGCONT)
    wait_until(
        lambda: status_of(url)["acknowledged"] > held["acknowledged"] + held["outstanding"],
        timeout_s=90,
        what="more records than were held back",
    )
    program.signal(signal.SIGTERM)
    assert program.wait(90) == 0
    said = program.output().strip().splitlines()[-1]
    acknowledged = int(said.split(" acknowledged")[0].rsplit(" ", 1)[1].replace(",", ""))
    ends = log_offsets(servers.endpoints(), "transactions")
    assert acknowledged == sum(end - first for first, end in ends.values())
    assert " 0 failed" in said


@pytest.mark.parametrize("ending", ["killed", "stopped"])
def test_kafkas_data_lost_under_load_it_goes_on_with_the_new_topic(
    new_servers: NewServers, start_rtp: StartRtp, ending: str
) -> None:
    servers, kafka, url, _ = producing(new_servers, start_rtp, "2000")
    assert kafka.child is not None
    wait_until(lambda: is_ready(url) and status_of(url)["acknowledged"] > 4_000, 60, "records in Kafka")
    if ending == "killed":
        kafka.child.kill()
    else:
        kafka.stop()
    wait_until(lambda: status_of(url)["outstanding"] > 0 and status_of(url)["state"] == "waiting", 60, "the silence")
    shutil.rmtree(kafka.data)
    kafka.prepare()
    kafka.start()
    kafka.wait_ready()
    wait_until(lambda: "does not exist" in str(status_of(url)["kafka_trouble"]), 60, "the topic missed")
    ensure_topic(servers.endpoints(), "transactions")
    wait_until(lambda: is_ready(url), 150, "readiness again")
    before = status_of(url)
    wait_until(lambda: status_of(url)["acknowledged"] > before["acknowledged"] + 4_000, 60, "records in the new topic")
    httpx.post(f"{url}/stop", timeout=10)
    wait_until(lambda: status_of(url)["outstanding"] == 0, 60, "the last answer")
    done = status_of(url)
    assert (done["acknowledged"], done["failed"]) == (done["generated"]["records"], 0), "everything was sent again"
