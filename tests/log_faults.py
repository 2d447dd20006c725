"""What other programs do to a topic and its group: a batch that cannot be unpacked, a stranger among the consumers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import Stack
from tests.records import producer_of

# One small batch (it lingers until it is flushed) that unpacks to more than our clients may receive.
BOMB = {"message.max.bytes": 10**8, "batch.size": 10**8, "compression.type": "zstd", "linger.ms": 120_000}
SMALL_CLIENT = json.dumps({"receive.message.max.bytes": 4_200_000})
FLUSH_S = 120.0
OPEN_TRANSACTION = """
import os, signal, sys
from confluent_kafka import Producer
options = {"transactional.id": sys.argv[2], "transaction.timeout.ms": 600000}
producer = Producer({"bootstrap.servers": sys.argv[1], **options})
producer.init_transactions(30)
producer.begin_transaction()
producer.produce(sys.argv[2], b"x", partition=int(sys.argv[3]))
producer.flush(30)
os.kill(os.getpid(), signal.SIGKILL)
"""
STRANGER = """
import sys
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": sys.argv[3], "client.id": "some-other-app",
                     "partition.assignment.strategy": "cooperative-sticky", "auto.offset.reset": "latest",
                     "session.timeout.ms": 6000})
consumer.subscribe([sys.argv[2]])
while True:
    consumer.poll(0.5)
"""


def produce_bomb(stack: Stack, kafka_partition: int, records: int = 3) -> None:
    """Sends one batch of `records` records that no client of ours can unpack."""
    producer = producer_of(stack, **BOMB)
    for _ in range(records):
        producer.produce(stack.topic, b"a" * 3_000_000, partition=kafka_partition)
    assert producer.flush(FLUSH_S) == 0


def leave_transaction_open(stack: Stack, kafka_partition: int) -> None:
    """Lets a transactional producer send one record and die."""
    arguments = (stack.endpoints.need("kafka_bootstrap"), stack.topic, str(kafka_partition))
    done = subprocess.run([sys.executable, "-c", OPEN_TRANSACTION, *arguments], timeout=FLUSH_S, check=False)
    assert done.returncode == -signal.SIGKILL


def abort_open_transaction(stack: Stack) -> None:
    """Aborts what `leave_transaction_open` has left, as that producer would after a restart."""
    producer_of(stack, **{"transactional.id": stack.topic}).init_transactions(FLUSH_S)


@contextmanager
def stranger_in_group(stack: Stack) -> Iterator[None]:
    """Lets another program consume the stack's topic in the consumer's group during the block."""
    arguments = (stack.endpoints.need("kafka_bootstrap"), stack.topic, stack.env["RTP_GROUP_ID"])
    stranger = subprocess.Popen([sys.executable, "-c", STRANGER, *arguments])
    try:
        yield
    finally:
        stranger.kill()
        stranger.wait()
