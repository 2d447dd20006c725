"""A Kafka that does not answer our clients: the message says which address of which broker, or what does not fit.

One broker has a listener for each mistake: two that send their clients elsewhere, one with TLS, one with logins.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rtp_dagster.platform import Platform
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AttentionError, RtpError, TransientError
from rtp_workers.kafka.reachability import cause_of_silence
from rtp_workers.kafka.topics import describe, ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.reconcile.status import status
from tests.conftest import Stack, StartRtp, fresh_folder
from tests.consumer_answers import not_ready_because
from tests.programs import clean_env, run_rtp
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

ELSEWHERE = "no-such-host.invalid:29092"
WAIT_S = 180.0
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass
class ManyListeners(KafkaServer):
    """A broker whose further listeners each stand for a mistake; by name, each with a port."""

    listening: dict[str, int] = field(default_factory=dict)
    closed_port: int = 0
    certificate: Path = Path()

    def _properties(self, data: Path) -> str:
        lines = dict(line.split("=", 1) for line in super()._properties(data).splitlines())
        ours = {name: f"{ports.LOOPBACK}:{port}" for name, port in self.listening.items()}
        told = {**ours, "NAMELESS": ELSEWHERE, "CLOSED": f"{ports.LOOPBACK}:{self.closed_port}"}
        usual = [one for one in lines["listeners"].split(",") if not one.startswith("CONTROLLER")]
        lines["listeners"] += "".join(f",{name}://{place}" for name, place in ours.items())
        lines["advertised.listeners"] = ",".join([*usual, *(f"{name}://{place}" for name, place in told.items())])
        lines["listener.security.protocol.map"] += ",NAMELESS:PLAINTEXT,CLOSED:PLAINTEXT,LOGIN:SASL_PLAINTEXT,TLS:SSL"
        lines["sasl.enabled.mechanisms"] = "PLAIN"
        lines["listener.name.login.plain.sasl.jaas.config"] = f'{PLAIN} required user_rtp="right";'
        lines["listener.name.tls.ssl.keystore.type"] = "PEM"
        lines["listener.name.tls.ssl.keystore.location"] = str(self.certificate)
        return "".join(f"{name}={value}\n" for name, value in lines.items())


def write_certificate(path: Path) -> None:
    """Writes a key and the certificate that it has signed for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=2)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def kafka(session_folder: Path) -> Iterator[ManyListeners]:
    home = fresh_folder(session_folder, "silent-kafka")
    for name in ("logs", "run"):
        (home / name).mkdir(parents=True)
    write_certificate(home / "broker.pem")
    listening = {name: ports.free_port() for name in ("NAMELESS", "CLOSED", "LOGIN", "TLS")}
    server = ManyListeners(
        home,
        ports.free_port(),
        quick_start=True,
        listening=listening,
        closed_port=ports.free_port(),
        certificate=home / "broker.pem",
    )
    server.prepare()
    server.start()
    try:
        server.wait_ready()
        ensure_topic(Endpoints(kafka_bootstrap=server.bootstrap), "transactions")
        yield server
    finally:
        server.stop()


def endpoints_of(kafka: ManyListeners, listener: str, **options: str) -> Endpoints:
    """Returns how a client reaches this listener, with librdkafka's options (``_`` for ``.``)."""
    bootstrap = f"{ports.LOOPBACK}:{kafka.listening[listener]}"
    return Endpoints(bootstrap, {name.replace("_", "."): value for name, value in options.items()})


def test_an_advertised_name_that_cannot_be_resolved_is_told(kafka: ManyListeners) -> None:
    with pytest.raises(TransientError) as told:
        describe(endpoints_of(kafka, "NAMELESS"), "transactions", timeout_s=3)
    message = str(told.value)
    assert f"127.0.0.1:{kafka.listening['NAMELESS']} answers" in message
    assert f"its broker 1 sends clients to {ELSEWHERE}, which cannot be resolved here" in message
    assert "advertised.listeners" in message


def test_an_advertised_port_where_nothing_listens_is_told(kafka: ManyListeners) -> None:
    with pytest.raises(TransientError, match=f"sends clients to 127.0.0.1:{kafka.closed_port}, which refuses the conn"):
        describe(endpoints_of(kafka, "CLOSED"), "transactions", timeout_s=3)


@pytest.mark.parametrize(
    ("bootstrap", "words"),
    [
        ("no-such-host.invalid:9092", "Kafka's address no-such-host.invalid:9092 cannot be resolved here"),
        ("127.0.0.1:1", "Kafka's address 127.0.0.1:1 refuses the connection; is Kafka up"),
    ],
)
def test_a_bootstrap_address_that_leads_nowhere_is_told(bootstrap: str, words: str) -> None:
    with pytest.raises(TransientError, match=words):
        describe(Endpoints(kafka_bootstrap=bootstrap), "transactions", timeout_s=2)


@pytest.mark.parametrize(
    ("listener", "options", "words"),
    [
        ("TLS", {}, "speaks TLS, but security.protocol is PLAINTEXT here: set security.protocol to SSL"),
        ("NAMELESS", {"security_protocol": "SSL"}, "does not speak TLS, but security.protocol is SSL here"),
        ("LOGIN", {}, r"wants a login \(PLAIN\), but security.protocol is PLAINTEXT here"),
        (
            "NAMELESS",
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_username": "a",
                "sasl_password": "b",
            },
            "accepts no login, but security.protocol is SASL_PLAINTEXT here: set security.protocol to PLAINTEXT",
        ),
        (
            "LOGIN",
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": "a",
                "sasl_password": "b",
            },
            "offers the logins PLAIN, but sasl.mechanism is SCRAM-SHA-512 here",
        ),
        (
            "LOGIN",
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_username": "rtp",
                "sasl_password": "x",
            },
            "check sasl.mechanism, sasl.username and sasl.password",
        ),
        ("TLS", {"security_protocol": "SSL"}, "check ssl.ca.location"),
    ],
    ids=[
        "plain to TLS",
        "TLS to plain",
        "no login",
        "needless login",
        "other mechanism",
        "wrong password",
        "unknown CA",
    ],
)
def test_what_client_and_broker_do_not_agree_on_is_told(
    kafka: ManyListeners, listener: str, options: dict[str, str], words: str
) -> None:
    endpoints = endpoints_of(kafka, listener, **options)

    def is_told() -> bool:
        with pytest.raises(RtpError) as told:
            describe(endpoints, "transactions", timeout_s=3)
        return isinstance(told.value, AttentionError) and re.search(words, str(told.value)) is not None

    wait_until(is_told, WAIT_S, f"a message with: {words}")


def test_a_server_that_accepts_and_says_nothing_gets_no_cause(kafka: ManyListeners) -> None:
    with closing(socket.create_server((ports.LOOPBACK, 0))) as silent:
        assert cause_of_silence(Endpoints(kafka_bootstrap=f"{ports.LOOPBACK}:{silent.getsockname()[1]}")) is None


def test_a_server_that_only_closes_connections_is_accused_of_nothing(kafka: ManyListeners) -> None:
    def close_all() -> None:
        with suppress(OSError):
            while True:
                closing_one.accept()[0].close()

    with closing(socket.create_server((ports.LOOPBACK, 0))) as closing_one:
        Thread(target=close_all, daemon=True).start()
        bootstrap = f"{ports.LOOPBACK}:{closing_one.getsockname()[1]}"
        for protocol in ("PLAINTEXT", "SSL"):
            assert cause_of_silence(Endpoints(bootstrap, {"security.protocol": protocol})) is None


def test_a_kafka_that_answers_is_given_no_cause(kafka: ManyListeners) -> None:
    assert cause_of_silence(Endpoints(kafka_bootstrap=kafka.bootstrap)) is None


def test_a_broker_that_answers_slowly_is_heard(kafka: ManyListeners) -> None:
    with TcpProxy((ports.LOOPBACK, kafka.listening["NAMELESS"])) as line:
        line.slow(0.4)
        told = cause_of_silence(Endpoints(kafka_bootstrap=f"{ports.LOOPBACK}:{line.port}"))
    assert f"sends clients to {ELSEWHERE}, which cannot be resolved here" in str(told)


@pytest.mark.parametrize("command", ["topics", "doctor", "load"])
def test_commands_say_which_address_cannot_be_resolved(kafka: ManyListeners, tmp_path: Path, command: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "a.csv").write_text("transaction_id,occurred_at,amount\nt1,2026-01-31T13:45:00Z,1.50\n")
    bootstrap = f"{ports.LOOPBACK}:{kafka.listening['NAMELESS']}"
    env = clean_env(RTP_HOME=str(tmp_path / "home"), RTP_KAFKA_BOOTSTRAP=bootstrap, COLUMNS="1000")
    arguments = (command, str(tmp_path / "a.csv")) if command == "load" else (command,)
    done = run_rtp(*arguments, env={**env, "RTP_POSTGRES_DSN": "host=127.0.0.1 port=1"})
    assert done.returncode != 0
    assert f"sends clients to {ELSEWHERE}, which cannot be resolved here" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("listener", "words"),
    [("NAMELESS", f"sends clients to {ELSEWHERE}, which cannot be resolved here"), ("TLS", "speaks TLS")],
)
def test_status_says_why_kafka_is_silent(kafka: ManyListeners, listener: str, words: str) -> None:
    endpoints = endpoints_of(kafka, listener)

    def is_told() -> bool:
        return words in str(status(endpoints, "transactions")["kafka"]["detail"])

    wait_until(is_told, WAIT_S, f"a status with: {words}")


def test_a_sensors_look_says_why_kafka_is_silent(kafka: ManyListeners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTP_KAFKA_BOOTSTRAP", f"{ports.LOOPBACK}:{kafka.listening['NAMELESS']}")
    monkeypatch.setenv("RTP_POSTGRES_READ_DSN", "host=127.0.0.1 port=1")

    def is_told() -> bool:
        with pytest.raises(RtpError) as told:
            Platform().look()
        return f"sends clients to {ELSEWHERE}, which cannot be resolved here" in str(told.value)

    wait_until(is_told, WAIT_S, "a look that names the address")


def test_a_consumer_says_which_address_cannot_be_resolved(
    kafka: ManyListeners, stack: Stack, start_rtp: StartRtp
) -> None:
    bootstrap = f"{ports.LOOPBACK}:{kafka.listening['NAMELESS']}"
    consumer = start_rtp("consume", env={**stack.env, "RTP_KAFKA_BOOTSTRAP": bootstrap})
    words = f"sends clients to {ELSEWHERE}, which cannot be resolved here"
    wait_until(lambda: not_ready_because(stack, words), WAIT_S, "503 with the address")
    assert words in consumer.output()
