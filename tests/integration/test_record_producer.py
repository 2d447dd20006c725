"""The producer against a real Kafka: what is acknowledged, what is refused, and a full queue."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import msgspec
import psutil
import pytest

from rtp_workers.batch.attempts import attempt_load
from rtp_workers.batch.load_file import LoadOptions, LoadProgress, load_file
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RecordError, RtpError, TransientError
from rtp_workers.kafka.record_producer import MAX_RECORD_BYTES, RecordProducer, record_headers
from rtp_workers.kafka.topics import ensure_topic, log_offsets
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.settings import LoaderSettings
from rtp_workers.settings import load as load_settings
from tests.conftest import NewServers, Stack, StartRtp
from tests.csv_files import canonical_text, write_settled
from tests.faulty_servers import child_of
from tests.reading import messages
from tests.waiting import wait_until

NOWHERE = Endpoints(kafka_bootstrap="127.0.0.1:1")
BODIES = [b'{"number":%d}' % number for number in range(5_000)]
KEYS = [b"C%d" % (number % 50) for number in range(5_000)]


WAIT_S = 180.0
SHORT_OF_BYTES = 500  # of each partition's log: less than one batch, and never all of them


class GaveUpError(Exception):
    pass


def test_every_record_of_a_chunk_is_acknowledged_and_counted(stack: Stack) -> None:
    producer = RecordProducer(stack.endpoints, stack.topic, "test")
    deliveries = [producer.send_many(BODIES, KEYS, record_headers("csv:a.csv")) for _ in range(3)]
    producer.flush(60)
    assert [(delivery.sent, delivery.left) for delivery in deliveries] == [(5_000, 0)] * 3
    assert (producer.acknowledged, producer.failed, producer.outstanding) == (15_000, 0, 0)
    ends = {number: end for number, (_, end) in log_offsets(stack.endpoints, stack.topic).items()}
    assert sum(ends.values()) == 15_000
    assert producer.last_offsets == {number: end - 1 for number, end in ends.items() if end}


def test_a_single_record_tells_where_it_is(stack: Stack) -> None:
    producer = RecordProducer(stack.endpoints, stack.topic, "test")
    answers: list[tuple[RtpError | None, int, int]] = []
    producer.send(b"{}", b"C1", record_headers("api"), lambda *answer: answers.append(answer))
    producer.flush(60)
    [(error, kafka_partition, offset)] = answers
    assert error is None
    assert log_offsets(stack.endpoints, stack.topic)[kafka_partition] == (0, offset + 1)


def test_a_record_too_large_is_refused_alone(stack: Stack) -> None:
    producer = RecordProducer(stack.endpoints, stack.topic, "test")
    with pytest.raises(RecordError) as caught:
        producer.send(b"x" * (MAX_RECORD_BYTES + 1), None, record_headers("api"))
    assert caught.value.reason == "message_too_large"
    producer.send(b"{}", None, record_headers("api"))
    producer.flush(60)
    assert producer.acknowledged == 1


def test_a_full_queue_waits_with_the_time_waited_and_keeps_its_bound() -> None:
    producer = RecordProducer(NOWHERE, "t", "test", queue_bytes=1_000_000)
    waited: list[float] = []

    def give_up(seconds: float) -> None:
        waited.append(seconds)
        if seconds > 0.5:
            raise GaveUpError

    with pytest.raises(GaveUpError):
        producer.send_many(BODIES, KEYS, record_headers("csv:a.csv"), give_up)
    assert waited == sorted(waited)
    assert 0 < producer.outstanding < 1_000
    with pytest.raises(TransientError) as caught:
        producer.send(b"{}", None, record_headers("api"))
    assert caught.value.retry_after_s
    assert producer.trouble is not None
    dropped = producer.outstanding
    assert producer.close() == dropped


def test_what_is_not_acknowledged_makes_flush_fail() -> None:
    producer = RecordProducer(NOWHERE, "t", "test")
    producer.send(b"{}", None, record_headers("api"))
    with pytest.raises(TransientError, match="1 records for t are not acknowledged"):
        producer.flush(0.2)
    producer.close()


def test_a_delivery_timeout_fails_the_record_and_tells_its_sender() -> None:
    producer = RecordProducer(NOWHERE, "t", "test", delivery_timeout_s=0.3)
    answers: list[RtpError | None] = []
    producer.send(b"{}", None, record_headers("api"), lambda error, *_: answers.append(error))
    wait_until(lambda: producer.poll(0.1) >= 0 and bool(answers), what="the delivery report")
    assert isinstance(answers[0], TransientError)
    assert (producer.acknowledged, producer.failed) == (0, 1)
    producer.close()


def started_kafka(new_servers: NewServers) -> KafkaServer:
    """Returns a Kafka of the test's own, started."""
    kafka = new_servers().kafka
    assert kafka is not None
    kafka.prepare()
    kafka.start()
    kafka.wait_ready()
    return kafka


def test_a_load_waits_for_a_paused_kafka_and_loses_nothing(new_servers: NewServers, stack: Stack) -> None:
    kafka = started_kafka(new_servers)
    assert kafka.child is not None
    broker = psutil.Process(kafka.child.process.pid)
    endpoints = replace(stack.endpoints, kafka_bootstrap=kafka.bootstrap)
    ensure_topic(endpoints, "t")
    path = write_settled(stack.home / "a.csv", canonical_text(range(100_000)))
    waited = 0.0

    def watch(progress: LoadProgress) -> None:
        nonlocal waited
        if progress.rows_read > 20_000 and not waited:
            broker.suspend()
            waited = 0.001
        if waited and progress.waiting_s:
            waited = progress.waiting_s
            broker.resume()

    settings = load_settings(LoaderSettings, home=stack.home, topic="t", loader_queue_bytes=4_000_000)
    report = load_file(str(path), endpoints, settings, LoadOptions(on_progress=watch))
    assert waited > 1
    assert report.acknowledged == 100_000
    assert sum(end for _, end in log_offsets(endpoints, "t").values()) == 100_000


def lose_power(kafka: KafkaServer, topic: str) -> None:
    """Kills the broker, takes the last batch of each partition away as lost page cache does, and starts it again."""
    child_of(kafka).process.kill()
    child_of(kafka).process.wait(60)
    for folder in kafka.data.glob(f"{topic}-[0-9]*"):
        segment = sorted(folder.glob("*.log"))[-1]
        os.truncate(segment, max(0, segment.stat().st_size - SHORT_OF_BYTES))
    kafka.prepare()
    kafka.start()
    kafka.wait_ready()


def test_a_load_whose_kafka_lost_its_last_records_resumes_with_a_new_producer(
    new_servers: NewServers, stack: Stack
) -> None:
    kafka = started_kafka(new_servers)
    endpoints = replace(stack.endpoints, kafka_bootstrap=kafka.bootstrap)
    ensure_topic(endpoints, "t")
    path = write_settled(stack.home / "a.csv", canonical_text(range(100_000)))
    acknowledged_before = 0

    def watch(progress: LoadProgress) -> None:
        nonlocal acknowledged_before
        if progress.acknowledged > 20_000 and not acknowledged_before:
            acknowledged_before = progress.acknowledged
            lose_power(kafka, "t")

    settings = load_settings(LoaderSettings, home=stack.home, topic="t", loader_queue_bytes=4_000_000)
    report = attempt_load(str(path), endpoints, settings, LoadOptions(on_progress=watch))
    assert report.acknowledged == 100_000
    assert 0 < report.resumed_rows < 100_000, "the client was broken, and a new one resumed"
    held = {msgspec.json.decode(message.value())["transaction_id"] for message in messages(endpoints, "t")}
    # What Kafka had acknowledged and lost is gone until `rtp load --again`; everything else is there.
    assert len(held) >= 100_000 - acknowledged_before
    assert attempt_load(str(path), endpoints, settings, LoadOptions(again=True)).acknowledged == 100_000
    held = {msgspec.json.decode(message.value())["transaction_id"] for message in messages(endpoints, "t")}
    assert len(held) == 100_000


def test_a_running_producer_survives_a_kafka_that_lost_its_last_records(
    new_servers: NewServers, stack: Stack, start_rtp: StartRtp
) -> None:
    kafka = started_kafka(new_servers)
    endpoints = replace(stack.endpoints, kafka_bootstrap=kafka.bootstrap)
    ensure_topic(endpoints, "t")
    here = {"RTP_KAFKA_BOOTSTRAP": kafka.bootstrap, "RTP_TOPIC": "t", "RTP_PRODUCER_RATE_PER_S": "500"}
    producer = start_rtp("produce", env={**stack.env, **here})

    def held() -> int:
        return sum(end for _, end in log_offsets(endpoints, "t").values())

    wait_until(lambda: held() > 3_000, WAIT_S, "records in every partition")
    lose_power(kafka, "t")
    wait_until(lambda: "producer_restarted" in producer.output(), WAIT_S, "a new producer")
    before = held()
    wait_until(lambda: held() > before + 1_000, WAIT_S, "records of the new producer")
    producer.signal(signal.SIGTERM)
    assert producer.wait(WAIT_S) == 0, producer.output()
    assert "Traceback" not in producer.output()
    said = producer.output().strip().splitlines()[-1]
    generated, acknowledged = (
        int(said.split(f" {word}")[0].split()[-1].replace(",", "")) for word in ("records", "ack")
    )
    assert (acknowledged, " 0 failed" in said) == (generated, True), said
