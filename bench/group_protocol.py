"""Kafka's two group protocols compared: how long a change of the group takes, and for how long records wait meanwhile.

    python -m bench.group_protocol [--rounds 3]

Members of a group read a steady feed. A third joins, then one leaves without a word, as a killed process does. For both
protocols, interleaved: seconds until the partitions are shared again, and the longest wait of any record meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer

from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.record_consumer import ConsumerLimits, Rebalances, RecordConsumer
from rtp_workers.kafka.topics import ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.kafka_server import KafkaServer

PARTITIONS = 6
FEED_S = 0.01
WAIT_S = 120.0
STEADY_S = 3.0


@dataclass
class Member:
    """A member of the group in a thread of its own; it starts each partition at the log's end as it gets it."""

    endpoints: Endpoints
    topic: str
    group_id: str
    protocol: str
    latest_s: list[float]
    owned: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._frozen = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        """Stops polling without leaving, and gives up its records; the group has to notice."""
        self._frozen.set()

    def stop(self) -> None:
        """Leaves the group."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        limits = ConsumerLimits(1_000_000, 10, 10, self.protocol)
        rebalances = Rebalances(self.owned.update, self.owned.difference_update, self.owned.difference_update)
        consumer = RecordConsumer(self.endpoints, self.topic, self.group_id, limits, rebalances)
        started: set[int] = set()
        try:
            while not self._stopping.is_set():
                if self._frozen.is_set():
                    time.sleep(FEED_S)
                    continue
                for record in consumer.poll(500, FEED_S).records:
                    self.latest_s.append(time.time() - float(record.value()))
                new = self.owned - started
                started = set(self.owned)
                if new:
                    consumer.start(dict.fromkeys(new, -1))  # the log's end
        finally:
            consumer.close()


@contextmanager
def feed(endpoints: Endpoints, topic: str) -> Iterator[None]:
    """Sends a record to each partition every `FEED_S`; its value is the time of sending."""
    producer = Producer({"bootstrap.servers": endpoints.need("kafka_bootstrap"), "linger.ms": 0})
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(FEED_S):
            for number in range(PARTITIONS):
                producer.produce(topic, str(time.time()).encode(), partition=number)
            producer.poll(0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        producer.flush(10)


def timed(condition: Callable[[], bool]) -> float:
    """Returns the seconds until the condition holds."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > WAIT_S:
            raise TimeoutError("the group did not settle")
        time.sleep(0.005)
    return time.monotonic() - started


def measure(endpoints: Endpoints, protocol: str, number: int) -> dict[str, float]:
    """Returns seconds by what was measured, for one group of this protocol."""
    topic = group_id = f"{protocol}-{number}"
    ensure_topic(endpoints, topic, partitions=PARTITIONS)
    waits: list[float] = []
    found: dict[str, float] = {}
    with feed(endpoints, topic):
        members = [Member(endpoints, topic, group_id, protocol, waits) for _ in range(2)]
        found["first two share"] = timed(lambda: [len(member.owned) for member in members] == [3, 3])
        time.sleep(STEADY_S)
        waits.clear()
        members.append(Member(endpoints, topic, group_id, protocol, waits))
        found["third joins"] = timed(lambda: sorted(len(member.owned) for member in members) == [2, 2, 2])
        time.sleep(STEADY_S)
        found["longest wait at the join"] = max(waits, default=0.0)
        members[0].freeze()
        others = members[1:]
        found["one is gone"] = timed(lambda: sum(len(member.owned) for member in others) == PARTITIONS)
        for member in members:
            member.stop()
    return found


def main() -> None:
    """Prints the medians of both protocols."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as home:
        kafka = KafkaServer(Path(home), ports.free_port())
        kafka.prepare()
        kafka.start()
        try:
            kafka.wait_ready()
            endpoints = Endpoints(kafka_bootstrap=kafka.bootstrap)
            results: dict[str, list[dict[str, float]]] = {"classic": [], "consumer": []}
            for number in range(rounds):
                for protocol, found in results.items():
                    found.append(measure(endpoints, protocol, number))
        finally:
            kafka.stop()
    for what in results["classic"][0]:
        medians = {protocol: statistics.median(each[what] for each in found) for protocol, found in results.items()}
        print(f"{what:26} " + "  ".join(f"{protocol} {seconds:7.3f} s" for protocol, seconds in medians.items()))


if __name__ == "__main__":
    main()
