"""Debezium's JDBC sink in Kafka Connect standalone: insert with unnest, and upsert.

The records are plain JSON, so the converter gets their schema once, by its ``schema.content``. Connect has no number
of that form: a transform of Kafka turns the amount into a double, which is exact for the amounts of this bench.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers import installs
from bench.peers.peer import Launch, Target
from bench.peers.table import PEER_TABLE
from rtp_workers.local import ports
from rtp_workers.local.kafka_server import java_program

CONNECTOR = "io.debezium:debezium-connector-jdbc:3.6.0.Final"
HEAP = "-Xmx2g"  # what Kafka's own start script gives to Connect
LOG4J = """<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""
TEXTS = ("customer_id", "merchant", "category", "currency", "payment_method", "status", "country")


@dataclass(frozen=True)
class Debezium:
    """One worker with one connector.

    Attributes:
        jars: where `install` puts the jars.
        mode: ``insert`` or ``upsert``.
    """

    jars: Path
    mode: str
    table: str = PEER_TABLE
    gave_up: str = "will not recover until manually restarted"

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"Debezium JDBC sink, {self.mode}"

    def install(self) -> dict[str, str]:
        """Downloads Connect and the connector from Maven Central."""
        connect = json.loads(files(__package__).joinpath("connect_jars.json").read_text())
        installs.jars(self.jars / "connect", connect)
        installs.archive(self.jars / "debezium", CONNECTOR, "plugin")
        runtime = next(one for one in connect if ":connect-runtime:" in one)
        return {"Kafka Connect": runtime.rsplit(":", 1)[1], "Debezium": CONNECTOR.rsplit(":", 1)[1]}

    def settings(self) -> dict[str, str]:
        """Returns the connector's settings but for addresses and names."""
        return {
            "tasks.max": "2",
            "insert.mode": self.mode,
            "dialect.postgres.unnest.insert.enabled": "true",
            "batch.size": "5000",
            "consumer.override.max.poll.records": "5000",
            "consumer.override.fetch.min.bytes": "100000",
            "consumer.override.auto.offset.reset": "earliest",
            "primary.key.mode": "record_value",
            "primary.key.fields": "transaction_id",
            "schema.evolution": "none",
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.replication.factor": "1",
            "transforms": "number",
            "transforms.number.type": "org.apache.kafka.connect.transforms.Cast$Value",
            "transforms.number.spec": "amount:float64",
        }

    def launch(self, target: Target) -> Launch:
        """Writes the worker's and the connector's files."""
        worker = target.folder / "worker.properties"
        sink = target.folder / "sink.properties"
        log4j = target.folder / "log4j2.xml"
        log4j.write_text(LOG4J)
        worker.write_text(_properties(self._worker(target)))
        sink.write_text(_properties({**self._sink(target), **self.settings()}))
        java = [str(java_program()), HEAP, f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{self.jars / 'connect'}/*"]
        connect = "org.apache.kafka.connect.cli.ConnectStandalone"
        return Launch([*java, connect, str(worker), str(sink)], {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})

    def _worker(self, target: Target) -> dict[str, str]:
        return {
            "bootstrap.servers": target.bootstrap,
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "true",
            "value.converter.schema.content": json.dumps(schema()),
            "offset.storage.file.filename": str(target.folder / "offsets"),
            "plugin.path": str(self.jars / "debezium"),
            "listeners": f"http://127.0.0.1:{ports.free_port()}",
        }

    def _sink(self, target: Target) -> dict[str, str]:
        database = urlsplit(target.dsn)
        return {
            "name": target.group,  # the consumer group is named after it
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "topics": target.topic,
            "connection.url": (
                f"jdbc:postgresql://{database.hostname}:{database.port}{database.path}"
                "?reWriteBatchedInserts=true&stringtype=unspecified"
            ),
            "connection.username": database.username or "",
            "connection.password": database.password or "",
            "collection.name.format": self.table,
            "errors.deadletterqueue.topic.name": target.refused_topic,
        }


def schema() -> dict[str, object]:
    """Returns the schema of the records in Connect's own JSON form."""
    needed: list[dict[str, object]] = [
        {"field": "transaction_id", "type": "string", "optional": False},
        {"field": "occurred_at", "type": "string", "optional": False, "name": "io.debezium.time.ZonedTimestamp"},
        {"field": "amount", "type": "string", "optional": False},
    ]
    known = [{"field": name, "type": "string", "optional": True} for name in TEXTS]
    return {"type": "struct", "name": "transaction", "optional": False, "fields": [*needed, *known]}


def _properties(settings: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())
