"""``python -m bench.soak``: ten minutes at full rate, ten at 5,000/s with trouble mixed in, and a minute a target rate.

Full rate: the producer service sends as fast as the machine lets it; its memory must stay where it was. The topic keeps
little (retention.bytes), and everything is removed at the end.

Rates: targets from 1/s to half of what full rate reached, changed live; the average over a minute must be within 2%.

Trouble: 1% duplicates, 1% late, 0.1% corrupt, while the consumer runs. At the end the ledger must equal the
generator's own counts, and every whole minute must have had its records within 2%.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.__main__ import bench_servers
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.local import ports
from rtp_workers.reconcile.verify import verify

KEPT_BYTES = 64 << 20  # of each partition
KEEPS_LITTLE = {"retention.bytes": str(KEPT_BYTES), "segment.bytes": str(KEPT_BYTES // 4)}
RATE_PER_S = 5_000
CHAOS = ("--duplicate", "0.01", "--late", "0.01", "--corrupt", "0.001")
FULL_RATE_PER_S = "1000000"
MOST_GROWTH = 0.10
OFF_RATE = 0.02
OUTSTANDING = 5_000  # records; what a higher target left unacknowledged is not the lower one's
START_S, CATCH_UP_S, SAMPLE_S, MINUTE_S, LIMIT_S = 120.0, 300.0, 5.0, 60.0, 20.0


@contextmanager
def service(name: str, arguments: list[str], env: dict[str, str], home: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Runs ``rtp arguments`` with its API, once it is ready; gives the process and its URL."""
    port = ports.free_port()
    command = [sys.executable, "-m", "rtp_workers.cli.main", *arguments]
    env = {**env, "RTP_PRODUCER_PORT": str(port), "RTP_CONSUMER_PORT": str(port)}
    log, url = home / f"{name}.log", f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
    try:
        await_(lambda: answers(f"{url}/health/ready"), START_S, log)
        yield psutil.Process(process.pid), url
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    """Tells whether the URL answers 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def call(url: str, path: str, method: str = "GET", body: object = None) -> dict[str, Any]:
    """Returns the JSON of a call."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, sent, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as made:
        found: dict[str, Any] = json.load(made)
        return found


def await_(condition: Callable[[], bool], timeout_s: float, log: Path) -> None:
    """Waits until the condition holds; shows the log's end where it does not."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(log.read_text()[-2_000:])
        time.sleep(0.2)


def environment(endpoints: Endpoints, home: Path, topic: str) -> dict[str, str]:
    """Returns the environment for programs of ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
    return {
        **clean,
        "RTP_HOME": str(home),
        "RTP_TOPIC": topic,
        "RTP_KAFKA_BOOTSTRAP": endpoints.need("kafka_bootstrap"),
        "RTP_POSTGRES_INGEST_DSN": endpoints.need("postgres_ingest_dsn"),
    }


def grown(resident_mb: list[float]) -> float:
    """Returns by which share the last quarter's median is above the first quarter's, its first sample left out."""
    quarter = max(1, len(resident_mb) // 4)
    first, last = statistics.median(resident_mb[1 : quarter + 1]), statistics.median(resident_mb[-quarter:])
    return last / first - 1


def told(name: str, resident_mb: list[float]) -> str:
    """Returns a sentence about a process's memory."""
    span = f"{resident_mb[1]:.0f} -> {resident_mb[-1]:.0f} MB, at most {max(resident_mb):.0f}"
    return f"{name} {span} ({grown(resident_mb):+.1%})"


def full_rate(endpoints: Endpoints, home: Path, seconds: float) -> bool:
    """Sends as fast as it goes; prints a line; returns whether memory stayed."""
    topic = "soak-full"
    ensure_topic(endpoints, topic, configs=KEEPS_LITTLE)
    resident_mb: list[float] = []
    with service("produce-full", ["produce", "--rate", FULL_RATE_PER_S], environment(endpoints, home, topic), home) as (
        process,
        url,
    ):
        started, before = time.monotonic(), call(url, "/status")["acknowledged"]
        while time.monotonic() - started < seconds:
            time.sleep(min(SAMPLE_S, seconds / 8))
            resident_mb.append(process.memory_info().rss / 1e6)
        elapsed, after = time.monotonic() - started, call(url, "/status")["acknowledged"]
    delete_topic(endpoints, topic)
    per_s = (after - before) / elapsed
    print(f"full rate, {elapsed:.0f} s: {per_s:,.0f} acknowledged/s; {told('producer', resident_mb)}", flush=True)
    return grown(resident_mb) <= MOST_GROWTH


def rates(endpoints: Endpoints, home: Path, seconds: float) -> bool:
    """Changes the target live; prints a line for each; returns whether every average was the target."""
    topic = "soak-rates"
    ensure_topic(endpoints, topic, configs=KEEPS_LITTLE)
    env, held = environment(endpoints, home, topic), []
    with service("produce-rates", ["produce", "--rate", FULL_RATE_PER_S], env, home) as (_, url):
        limit_per_s = average(url, LIMIT_S)
        print(f"rates: full rate is {limit_per_s:,.0f} acknowledged/s", flush=True)
        for target_per_s in (1, 50, 5_000, round(limit_per_s / 4), round(limit_per_s / 2)):
            call(url, "/rate", "PUT", {"records_per_s": target_per_s})
            await_(lambda: call(url, "/status")["outstanding"] < OUTSTANDING, START_S, home / "produce-rates.log")
            found_per_s = average(url, seconds)
            off = found_per_s / target_per_s - 1
            print(
                f"  target {target_per_s:,}/s: {found_per_s:,.2f} acknowledged/s over {seconds:.0f} s ({off:+.2%})",
                flush=True,
            )
            held.append(abs(off) <= OFF_RATE)
    delete_topic(endpoints, topic)
    return all(held)


def average(url: str, seconds: float) -> float:
    """Returns how many records a second Kafka acknowledged."""
    started, before = time.monotonic(), call(url, "/status")["acknowledged"]
    time.sleep(seconds)
    after = call(url, "/status")["acknowledged"]
    return float(after - before) / (time.monotonic() - started)


def trouble(endpoints: Endpoints, home: Path, seconds: float) -> bool:
    """Streams with trouble mixed in; prints the comparison; returns whether all of it is equal."""
    topic = "soak-trouble"
    ensure_topic(endpoints, topic)
    env = environment(endpoints, home, topic)
    minutes: list[float] = []
    producer_mb: list[float] = []
    consumer_mb: list[float] = []
    with ExitStack() as stack:
        consumer, consumer_url = stack.enter_context(service("consume", ["consume"], env, home))
        arguments = ["produce", "--rate", str(RATE_PER_S), *CHAOS]
        producer, producer_url = stack.enter_context(service("produce", arguments, env, home))
        started = minute_at = time.monotonic()
        before = call(producer_url, "/status")["acknowledged"]
        while time.monotonic() - started < seconds:
            time.sleep(min(SAMPLE_S, seconds / 8))
            producer_mb.append(producer.memory_info().rss / 1e6)
            consumer_mb.append(consumer.memory_info().rss / 1e6)
            now = time.monotonic()
            if now - minute_at >= MINUTE_S:
                acknowledged = call(producer_url, "/status")["acknowledged"]
                minutes.append((acknowledged - before) / (now - minute_at))
                minute_at, before = now, acknowledged
        last = call(consumer_url, "/status")
        call(producer_url, "/stop", "POST")
        await_(lambda: call(producer_url, "/status")["outstanding"] == 0, CATCH_UP_S, home / "produce.log")
        sent = call(producer_url, "/status")
        found = verify(endpoints, topic, timeout_s=CATCH_UP_S)
        ledger = call(consumer_url, "/status")["ledger"]
    made = sent["generated"]
    expected = {
        "rows": made["records"] - made["duplicate"] - made["corrupt"],
        "duplicates": made["duplicate"],
        "dead_letters": made["corrupt"],
    }
    stored = {name: ledger[name] for name in expected}
    print(f"{seconds:.0f} s at {RATE_PER_S:,}/s: generated {made}, acknowledged {sent['acknowledged']:,}")
    print(f"  expected {expected}\n  ledger   {stored}; verify: {'agrees' if found.ok else found.problems}")
    print(f"  per minute: {', '.join(f'{rate:,.0f}/s' for rate in minutes) or '-'}")
    print(f"  latency at the end: p50 {last['latency_p50_s'] * 1000:.0f} ms, p95 {last['latency_p95_s'] * 1000:.0f} ms")
    print(f"  {told('producer', producer_mb)}; {told('consumer', consumer_mb)}", flush=True)
    exact = stored == expected and found.ok and made["records"] == sent["acknowledged"]
    return exact and all(abs(rate / RATE_PER_S - 1) <= OFF_RATE for rate in minutes)


def main() -> int:
    """Runs the parts; exit 1 where one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="of trouble and of full rate; of each rate a tenth"
    )
    parser.add_argument("--only", choices=["full-rate", "trouble", "rates"])
    given = parser.parse_args()
    held = []
    with bench_servers() as (endpoints, home):
        if given.only in (None, "trouble"):
            held.append(trouble(endpoints, home, given.seconds))
        if given.only in (None, "full-rate"):
            held.append(full_rate(endpoints, home, given.seconds))
        if given.only in (None, "rates"):
            held.append(rates(endpoints, home, given.seconds / 10))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
