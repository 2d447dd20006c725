"""What the bare clients do on the same records: the yardsticks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from io import BytesIO

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.records import Records
from rtp_workers.endpoints import Endpoints
from rtp_workers.postgres.connection import Connection
from rtp_workers.record.copy_text import NULL, BatchDecoder
from rtp_workers.record.transaction import COPY_COLUMNS

COPY = f"copy transactions ({', '.join(COPY_COLUMNS)}) from stdin"
CHUNK_BYTES = 1 << 18
TOPIC_ID = "abcdefghijklmnopqrstuv"


def copy_payloads(records: Records, rows: int) -> list[bytes]:
    """Returns the records as COPY text, formatted beforehand, one payload a commit."""
    decoder = BatchDecoder()
    payloads = []
    for start in range(0, len(records.values), rows):
        lines = decoder.lines(records.values[start : start + rows]).lines
        tails = (f"\tbench\t0\t{start + index}\t{TOPIC_ID}\t0\t{NULL}\n" for index in range(len(lines)))
        payloads.append("".join(f"{line}{tail}" for line, tail in zip(lines, tails, strict=True)).encode())
    return payloads


def copy(connection: Connection, payloads: Sequence[bytes]) -> float:
    """COPYs every payload into the empty table, one commit each, and returns the seconds it took."""
    started = time.perf_counter()
    with connection.cursor() as cursor:
        for payload in payloads:
            cursor.copy_expert(COPY, BytesIO(payload), size=CHUNK_BYTES)
            connection.commit()
    return time.perf_counter() - started


def produce(endpoints: Endpoints, topic: str, records: Records) -> float:
    """Produces every record, idempotent and acknowledged by all, and returns the seconds until the last answer."""
    producer = Producer(
        {
            "bootstrap.servers": endpoints.need("kafka_bootstrap"),
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 65_536,
        }
    )
    headers: list[tuple[str, str | bytes | None]] = [
        ("source", b"bench"),
        ("schema", b"1"),
        ("produced_at", b"2026-01-01T00:00:00Z"),
    ]
    started = time.perf_counter()
    for key, value in zip(records.keys, records.values, strict=True):
        while True:
            try:
                producer.produce(topic, value, key, headers=headers)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(300):
        raise RuntimeError("raw produce did not finish in 300 s")
    return time.perf_counter() - started


def consume(endpoints: Endpoints, topic: str, records: int) -> float:
    """Consumes that many records into nothing and returns the seconds from the first to the last."""
    consumer = Consumer({"bootstrap.servers": endpoints.need("kafka_bootstrap"), "group.id": "bench-raw"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(6)])
    seen, started = 0, 0.0
    while seen < records:
        messages = consumer.consume(5_000, 10)
        if messages and not started:
            started = time.perf_counter()
        seen += sum(1 for message in messages if message.error() is None)
    elapsed = time.perf_counter() - started
    consumer.close()
    return elapsed
