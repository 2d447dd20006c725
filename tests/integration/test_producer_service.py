"""The producer as a process, on a real Kafka."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rtp_workers.errors import RecordError
from rtp_workers.generator.chaos import Chaos
from rtp_workers.generator.stream import Generator, World
from rtp_workers.kafka.topics import log_offsets
from rtp_workers.producer.controls import Controls
from rtp_workers.producer.generation import GenerationLoop
from rtp_workers.producer.kafka_link import KafkaLink
from rtp_workers.record import codec
from tests.conftest import Stack, StartRtp
from tests.programs import RunningProgram, run_rtp
from tests.reading import messages
from tests.waiting import wait_until


def in_kafka(stack: Stack) -> int:
    """Returns how many records the topic holds."""
    return sum(end - first for first, end in log_offsets(stack.endpoints, stack.topic).values())


def transaction(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"own-{number}",
        "occurred_at": "2026-01-31T13:45:00+01:00",
        "amount": "12.50",
        "customer_id": f"C-{number % 10}",
        **fields,
    }


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.endpoints.need("producer_url"), timeout=60) as client:
        yield client


def ready(api: httpx.Client) -> bool:
    try:
        return api.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def service(stack: Stack, start_rtp: StartRtp, api: httpx.Client) -> RunningProgram:
    """`rtp produce` at 50/s, ready."""
    program = start_rtp("produce", env=stack.env)
    wait_until(lambda: ready(api), timeout_s=120, what="the producer's readiness")
    return program


def test_a_counted_run_puts_exactly_its_records_into_kafka(stack: Stack) -> None:
    arguments = ("--seed", "3", "--start", "2025-01-01T00:00:00Z", "--speed", "60", "--duplicate", "0.02")
    done = run_rtp(
        "produce", "--count", "5000", *arguments, "--late", "0.02", "--corrupt", "0.01", "--json", env=stack.env
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["finished"]
    assert outcome["acknowledged"] == outcome["generated"]["records"] == 5_000 == in_kafka(stack)
    found: Counter[str] = Counter()
    seen = set()
    for message in messages(stack.endpoints, stack.topic):
        assert dict(message.headers())["source"] == b"live"
        try:
            record = codec.decode(message.value()).texts
        except RecordError:
            found["corrupt"] += 1
            continue
        assert message.key() == str(record[3]).encode()
        found["duplicate" if record[0] in seen else "valid"] += 1
        seen.add(record[0])
    made = outcome["generated"]
    assert found == {
        "corrupt": made["corrupt"],
        "duplicate": made["duplicate"],
        "valid": made["fresh"] + made["late"],
    }


def test_a_counted_run_says_finished(stack: Stack) -> None:
    done = run_rtp("produce", "--count", "10", "--rate", "100", env=stack.env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("finished: 10 records generated")


@pytest.mark.parametrize("rate_per_s", [20.0, 2_000.0])
def test_the_average_rate_is_the_target(rate_per_s: float, service: RunningProgram, api: httpx.Client) -> None:
    assert api.put("/rate", json={"records_per_s": rate_per_s}).status_code == 200
    before, started_s = api.get("/status").json()["generated"]["records"], time.monotonic()

    def average_is_the_target() -> bool:
        made = api.get("/status").json()["generated"]["records"] - before
        over_s = time.monotonic() - started_s
        return over_s > 6 and made / over_s == pytest.approx(rate_per_s, rel=0.05)

    # On a busy machine the new rate may begin late; the longer the time, the less that is of the average.
    wait_until(average_is_the_target, 60, f"an average of {rate_per_s:g}/s over six seconds or more")


def test_rate_stop_start_and_burst_work_live(service: RunningProgram, api: httpx.Client, stack: Stack) -> None:
    assert api.get("/status").json()["target_records_per_s"] == 50
    stopped = api.post("/stop").json()
    assert stopped["running"] is False
    wait_until(lambda: api.get("/status").json()["outstanding"] == 0, what="all acknowledged")
    before = api.get("/status").json()["acknowledged"]
    api.post("/burst", json={"records": 5_000})
    wait_until(lambda: api.get("/status").json()["acknowledged"] >= before + 5_000, what="the burst in Kafka")
    # What was due when the stop came may still have been sent after it: at most a second's worth.
    assert api.get("/status").json()["acknowledged"] <= before + 5_000 + 50
    assert api.get("/status").json()["state"] == "stopped"
    api.put("/rate", json={"records_per_s": 1_000})
    assert api.post("/start").json()["state"] == "running"
    wait_until(lambda: api.get("/status").json()["acknowledged_records_per_s"] > 900, what="the new rate")


def test_chaos_is_switched_live_and_counted(service: RunningProgram, api: httpx.Client) -> None:
    api.post("/stop")
    api.put("/chaos", json={"duplicate": 0.2, "late": 0.2, "corrupt": 0.2})
    api.post("/burst", json={"records": 2_000})
    wait_until(lambda: api.get("/status").json()["generated"]["records"] >= 2_000, what="the burst's end")
    made = api.get("/status").json()["generated"]
    assert all(300 < made[kind] < 500 for kind in ("duplicate", "late", "corrupt"))
    assert made["records"] == sum(made[kind] for kind in ("fresh", "duplicate", "late", "corrupt"))


def test_own_transactions_are_answered_with_their_place_in_kafka(
    service: RunningProgram, api: httpx.Client, stack: Stack
) -> None:
    api.post("/stop")
    one = api.post("/transactions", json=transaction(0))
    assert one.status_code == 200
    many = api.post("/transactions", json=[transaction(number) for number in range(1, 500)])
    placed = one.json()["acknowledged"] + many.json()["acknowledged"]
    assert [place["transaction_id"] for place in placed] == [f"own-{number}" for number in range(500)]
    found = {
        (message.partition(), message.offset()): (codec.decode(message.value()).texts[0], dict(message.headers()))
        for message in messages(stack.endpoints, stack.topic)
        if dict(message.headers())["source"] == b"api"
    }
    for place in placed:
        assert found.pop((place["kafka_partition"], place["kafka_offset"]))[0] == place["transaction_id"]
    assert not found


def test_a_number_arrives_as_the_caller_wrote_it(service: RunningProgram, api: httpx.Client, stack: Stack) -> None:
    body = b'{"transaction_id":"n","occurred_at":"2026-01-31T13:45:00Z","amount":12345678901234567.000000000001}'
    assert api.post("/transactions", content=body).status_code == 200
    assert body in [message.value() for message in messages(stack.endpoints, stack.topic)]


def test_a_list_with_one_bad_transaction_is_refused_whole(service: RunningProgram, api: httpx.Client) -> None:
    answer = api.post("/transactions", json=[transaction(1), transaction(2, amount="1,5")])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    finding = answer.json()["errors"][0]
    assert (finding["index"], finding["field"]) == (1, "amount")
    assert api.get("/status").json()["acknowledged_from_api"] == 0


def test_sigterm_flushes_and_ends_with_success(service: RunningProgram, api: httpx.Client, stack: Stack) -> None:
    api.post("/burst", json={"records": 100_000})
    wait_until(lambda: api.get("/status").json()["acknowledged"] > 1_000, what="a burst under way")
    service.signal(signal.SIGTERM)
    assert service.wait(120) == 0
    said = service.output().strip().splitlines()[-1]
    assert said.startswith("stopped: ")
    acknowledged = int(said.split(" acknowledged")[0].rsplit(" ", 1)[1].replace(",", ""))
    assert acknowledged == in_kafka(stack)


def test_metrics_are_those_of_the_status(service: RunningProgram, api: httpx.Client) -> None:
    api.post("/stop")
    wait_until(lambda: api.get("/status").json()["outstanding"] == 0, what="all acknowledged")
    status, metrics = api.get("/status").json(), api.get("/metrics").text
    assert f'rtp_producer_records_generated_total{{kind="fresh"}} {float(status["generated"]["fresh"])}' in metrics
    assert f'rtp_producer_records_acknowledged_total{{source="live"}} {float(status["acknowledged"])}' in metrics
    assert "rtp_producer_kafka_up 1.0" in metrics
    assert "process_cpu_seconds_total" in metrics


def test_generation_has_not_ended_before_it_began(stack: Stack) -> None:
    """The API may be asked in between: live, and ready to take a transaction."""
    link = KafkaLink(stack.endpoints, stack.topic, 16_000_000)
    loop = GenerationLoop(Generator(World(1)), link, Controls(True, 1_000.0, Chaos()), 10)
    assert loop.alive
    loop.start()
    wait_until(lambda: not loop.alive, what="the end of generation")
    assert loop.finished
    assert loop.join(30)
    link.close()


def test_a_missing_topic_is_said_and_waited_for(stack: Stack, start_rtp: StartRtp, api: httpx.Client) -> None:
    program = start_rtp("produce", env={**stack.env, "RTP_TOPIC": f"{stack.topic}-later"})
    wait_until(lambda: "rtp topics" in _readiness(api), what="the reason on /health/ready")
    assert api.get("/health/live").status_code == 200
    assert api.get("/status").json()["generated"]["records"] == 0
    made = run_rtp("topics", env={**stack.env, "RTP_TOPIC": f"{stack.topic}-later"})
    assert made.returncode == 0, made.stderr
    wait_until(lambda: ready(api), what="readiness once the topic is there")
    wait_until(lambda: api.get("/status").json()["acknowledged"] > 0, what="records")
    assert program.running()


def _readiness(api: httpx.Client) -> str:
    try:
        return api.get("/health/ready").text
    except httpx.TransportError:
        return ""


def test_a_taken_port_is_an_error_that_names_its_setting(service: RunningProgram, stack: Stack) -> None:
    second = run_rtp("produce", env=stack.env)
    assert second.returncode == 2
    assert "RTP_PRODUCER_PORT" in second.stderr


def test_schemathesis_finds_nothing(service: RunningProgram, stack: Stack) -> None:
    url = f"{stack.endpoints.need('producer_url')}/openapi.json"
    fuzzer = [str(Path(sys.executable).with_name("schemathesis")), "run", url, "--max-examples", "15", "--no-color"]
    found = subprocess.run(fuzzer, cwd=stack.home, capture_output=True, text=True, timeout=280, check=False)
    assert found.returncode == 0, found.stdout[:4_000]
