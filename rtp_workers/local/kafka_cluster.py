"""Several embedded brokers that share their partitions: three copies of each record, two before Kafka acknowledges.

For trials and tests of events that one broker cannot show: a leader dies, copies fall behind, the majority is lost.
"""

from __future__ import annotations

from pathlib import Path

from rtp_workers.errors import ConfigError
from rtp_workers.local import ports
from rtp_workers.local.kafka_server import KafkaServer, Membership, new_cluster_id

HEAP_MB = 384


def brokers_for(
    home: Path, client_ports: list[int], *, heap_mb: int = HEAP_MB, quick_start: bool = False
) -> list[KafkaServer]:
    """Returns the brokers of a home, not started: one, or a cluster of several.

    Args:
        home: RTP_HOME.
        client_ports: one per broker.
        heap_mb: Java's heap of each broker, if there are several.
        quick_start: as in `KafkaServer`.

    Raises:
        ConfigError: the home has the data of another number of brokers.
    """
    _require_same_number(home, len(client_ports))
    if len(client_ports) == 1:
        return [KafkaServer(home, client_ports[0], quick_start=quick_start)]
    controllers = _different_free_ports(len(client_ports))
    cluster_id = _cluster_id(home, len(client_ports))
    return [
        KafkaServer(
            home,
            port,
            heap_mb=heap_mb,
            quick_start=quick_start,
            name=_name(node_id),
            member=Membership(node_id, controllers, cluster_id),
        )
        for node_id, port in enumerate(client_ports, start=1)
    ]


def _name(node_id: int) -> str:
    return f"kafka-{node_id}"


def _require_same_number(home: Path, brokers: int) -> None:
    """Raises ConfigError if another number of brokers would start another, empty Kafka instead of the existing one."""
    there = len(list(home.glob("kafka-*/data"))) or int((home / "kafka" / "data").exists())
    if there and there != brokers:
        raise ConfigError(
            f"{home} has the data of a Kafka with {there} brokers, not {brokers}; "
            f"run `rtp up --brokers {there}`, or set RTP_HOME to another folder"
        )


def _cluster_id(home: Path, brokers: int) -> str:
    """Returns the id that the storage has been formatted with, or a new one."""
    for node_id in range(1, brokers + 1):
        path = home / _name(node_id) / "data" / "meta.properties"
        if path.exists():
            properties = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
            return properties["cluster.id"]
    return new_cluster_id()


def _different_free_ports(number: int) -> tuple[int, ...]:
    found: set[int] = set()
    while len(found) < number:
        found.add(ports.free_port())
    return tuple(sorted(found))
