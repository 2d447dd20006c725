"""Produce-to-visible: from calling produce() to a reader seeing the ledger past the record."""

from __future__ import annotations

import threading
import time
from typing import Any

from confluent_kafka import Producer

from bench.records import Records
from rtp_workers.endpoints import Endpoints
from rtp_workers.postgres.connection import connect

PER_S = 1_000
LOOK_S = 0.001


class LedgerReader:
    """Notes when each ledger position was first seen. The ledger moves in the transaction of the rows."""

    def __init__(self, dsn: str) -> None:
        self.seen: list[tuple[float, dict[int, int]]] = []
        self._stopping = threading.Event()
        self._connection = connect(dsn, "rtp-bench", autocommit=True)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._connection.cursor() as cursor:
            while not self._stopping.wait(LOOK_S):
                cursor.execute("select kafka_partition, next_offset from ingest_ledger")
                self.seen.append((time.perf_counter(), dict(cursor.fetchall())))

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()
        self._thread.join()
        self._connection.close()


def measure(endpoints: Endpoints, topic: str, records: Records, wait_s: float = 60.0) -> dict[str, float]:
    """Sends `records` at `PER_S` a second while a consumer runs.

    Returns:
        p50, p99 and max in milliseconds.
    """
    reader = LedgerReader(endpoints.need("postgres_read_dsn"))
    sent: dict[tuple[int, int], float] = {}

    def delivered(at: float) -> Any:
        def report(error: object, message: Any) -> None:
            if error is None:
                sent[message.partition(), message.offset()] = at

        return report

    producer = Producer({"bootstrap.servers": endpoints.need("kafka_bootstrap"), "linger.ms": 0})
    started = time.perf_counter()
    for index, (key, value) in enumerate(zip(records.keys, records.values, strict=True)):
        due = started + index / PER_S
        while (now := time.perf_counter()) < due:
            producer.poll(min(0.001, due - now))
        producer.produce(topic, value, key, on_delivery=delivered(time.perf_counter()))
    producer.flush(60)
    deadline = time.perf_counter() + wait_s
    while not _all_seen(reader, sent) and time.perf_counter() < deadline:
        time.sleep(0.05)
    reader.stop()
    return _percentiles(reader.seen, sent)


def _all_seen(reader: LedgerReader, sent: dict[tuple[int, int], float]) -> bool:
    if not reader.seen:
        return False
    last = reader.seen[-1][1]
    return all(last.get(partition, 0) > offset for partition, offset in sent)


def _percentiles(seen: list[tuple[float, dict[int, int]]], sent: dict[tuple[int, int], float]) -> dict[str, float]:
    waits: list[float] = []
    by_partition: dict[int, list[tuple[int, float]]] = {}
    for (partition, offset), at in sent.items():
        by_partition.setdefault(partition, []).append((offset, at))
    for partition, offsets in by_partition.items():
        look = iter(seen)
        when, positions = next(look)
        for offset, at in sorted(offsets):
            while positions.get(partition, 0) <= offset:
                when, positions = next(look)
            waits.append((when - at) * 1000)
    waits.sort()
    return {"p50": waits[len(waits) // 2], "p99": waits[int(len(waits) * 0.99)], "max": waits[-1]}
