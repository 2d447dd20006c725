"""From a fresh clone to rows: booted, backfilled, streaming, reconciled, seen from the host."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import psycopg2  # a host program's own client, as in a user's script
from confluent_kafka import Consumer, TopicPartition

from tests.compose.docker import EIGHT, ROOT, Project, eventually

BACKFILL_LIMIT_S = 180


def test_everything_is_healthy(platform: Project) -> None:
    assert set(platform.states(EIGHT).values()) == {"healthy"}


def test_setup_ends_well_and_nothing_was_killed_for_memory(platform: Project) -> None:
    assert platform.container("setup")["State"]["ExitCode"] == 0
    assert [c["Name"] for c in platform.containers() if c["State"]["OOMKilled"]] == []


def test_the_topic_is_listed_inside_the_kafka_container(platform: Project) -> None:
    listed = platform.exec("kafka", "kafka-topics", "--list", "--bootstrap-server", "localhost:9092")
    assert "transactions" in listed.split()


def test_a_host_program_reads_the_topic(platform: Project) -> None:
    consumer = Consumer({"bootstrap.servers": f"localhost:{platform.ports['KAFKA']}", "group.id": "host-program"})
    try:
        consumer.assign([TopicPartition("transactions", number, 0) for number in range(6)])
        values: list[bytes] = []
        eventually(lambda: _received(consumer, values), 30, "a record on the host")
        assert "transaction_id" in json.loads(values[0])
    finally:
        consumer.close()


def test_a_host_program_reads_the_table(platform: Project) -> None:
    password = platform.compose("run", "--rm", "--no-deps", "-T", "setup", "cat", "/secrets/master/rtp_read").strip()
    port = platform.ports["POSTGRES"]
    with psycopg2.connect(host="localhost", port=port, user="rtp_read", password=password, dbname="rtp") as connection:
        cursor = connection.cursor()
        cursor.execute("select count(*) from transactions")
        assert cursor.fetchall()[0][0] > 0


def test_the_data_folder_is_backfilled_by_the_arrival_sensor(platform: Project) -> None:
    expected = _rows_in_data()
    assert expected >= 20_000
    eventually(lambda: platform.rows("csv:transactions_%") == expected, BACKFILL_LIMIT_S, f"{expected} backfilled rows")


def test_live_transactions_stream(platform: Project) -> None:
    before = platform.rows("live")
    eventually(lambda: platform.rows("live") > before + 100, 60, "100 more live rows")


def test_the_live_rate_follows_the_api(platform: Project) -> None:
    platform.send("PRODUCER", "PUT", "/rate", {"records_per_s": 500})
    try:
        before = platform.rows("live")
        eventually(lambda: platform.rows("live") > before + 3000, 60, "3,000 more live rows")
    finally:
        platform.send("PRODUCER", "PUT", "/rate", {"records_per_s": 50})


def test_verify_agrees_inside(platform: Project) -> None:
    found = platform.verify()
    assert found["ok"], found
    # More than Kafka holds where a topic before this one left history: another test removes Kafka's volume.
    assert found["kafka_records"] <= sum(found[name] for name in ("inserted", "duplicates", "dead_lettered", "skipped"))
    # Of every topic that there has been: a test before this one may have lost Kafka's volume.
    stored, rows = platform.psql(
        "select (select sum(inserted) from ingest_ledger), (select count(*) from transactions)"
    ).split("|")
    assert int(stored) == int(rows) > 20_000


def test_dagster_shows_the_assets(platform: Project) -> None:
    query = {"query": "{ assetNodes { assetKey { path } } }"}
    answer = platform.send("DAGSTER", "POST", "/graphql", query)
    keys = {"/".join(node["assetKey"]["path"]) for node in answer["data"]["assetNodes"]}
    assert {"transactions_topic", "csv_backfill", "transactions", "live_transactions"} <= keys


def _received(consumer: Consumer, values: list[bytes]) -> bool:
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        values.append(message.value() or b"")
    return bool(values)


def _rows_in_data() -> int:
    """Counts the rows of data/ by Python's own reader."""
    return sum(_rows_in(path) for path in sorted((ROOT / "data").glob("transactions_*.csv*")))


def _rows_in(path: Path) -> int:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))
