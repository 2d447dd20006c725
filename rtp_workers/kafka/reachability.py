"""Finds out why Kafka does not answer, from name resolution, a connection and the listener's own answers.

The most common mistake with Kafka in containers: the bootstrap address answers, but the address that the broker then
gives its clients (`advertised.listeners`) means nothing on this machine. The client only reports a timeout.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AttentionError, RtpError, TransientError
from rtp_workers.kafka.client import NEEDS_A_PERSON, client_options, translate
from rtp_workers.kafka.listener import Listener, look_at

CONNECT_S = 3.0
LISTENER_S = 5.0  # a broker that has just started takes a second or two for its first TLS handshake
METADATA_S = 10.0
LOOK_EVERY_S = 0.1
SEARCH_AFTER = 0.25  # share of a request's timeout; a Kafka that is up answers sooner
DEFAULT_PORT = 9092
AGAIN_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """An address at which a broker is said to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Reachability:
    """Finds out why Kafka is silent, and remembers the answer for `AGAIN_AFTER_S`. Thread-safe."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._lock = threading.Lock()
        self._found: RtpError | None = None
        self._asked_at = float("-inf")

    def explained(self, error: RtpError) -> RtpError:
        """Returns an error that says why Kafka did not answer, if that can be found out; else the given error.

        Only a TransientError is examined. This may take some seconds.
        """
        if not isinstance(error, TransientError):
            return error
        with self._lock:
            if time.monotonic() - self._asked_at > AGAIN_AFTER_S:
                self._found = cause_of_silence(self._endpoints)
                self._asked_at = time.monotonic()
            return self._found or error


@contextmanager
def explained(endpoints: Endpoints, timeout_s: float) -> Iterator[None]:
    """Makes a TransientError from the block say why Kafka did not answer, if that can be found out.

    The search begins while the block still waits for Kafka, so that a caller with little time also learns the cause.

    Args:
        endpoints: where Kafka is.
        timeout_s: the timeout of a request in the block.
    """
    search = _Search(endpoints, timeout_s * SEARCH_AFTER)
    try:
        yield
    except TransientError as error:
        told = search.result()
        if told is None:
            raise
        raise told from error
    finally:
        search.cancel()


class _Search:
    """Looks for the cause in its own thread, once Kafka has been silent for `after_s`."""

    def __init__(self, endpoints: Endpoints, after_s: float) -> None:
        self._endpoints, self._after_s = endpoints, after_s
        self._due, self._cancelled = threading.Event(), False
        self._found: RtpError | None = None
        self._thread = threading.Thread(target=self._run, name="why-kafka-is-silent", daemon=True)
        self._thread.start()

    def result(self) -> RtpError | None:
        """Returns the cause; None if none was found. May take some seconds."""
        self._due.set()
        self._thread.join()
        return self._found

    def cancel(self) -> None:
        """Ends the search if it has not begun yet."""
        self._cancelled = True
        self._due.set()

    def _run(self) -> None:
        self._due.wait(self._after_s)
        if not self._cancelled:
            self._found = cause_of_silence(self._endpoints)


def cause_of_silence(endpoints: Endpoints) -> RtpError | None:
    """Returns why clients get no answer from Kafka; None if no cause was found.

    It resolves the bootstrap addresses, connects to them and asks one what it speaks. Then it does the same with the
    addresses that the brokers advertise. It takes some seconds at most.

    Returns:
        A TransientError if a name cannot be resolved or an address cannot be reached; an AttentionError if client and
        broker do not agree on TLS or on the login.
    """
    options = client_options(endpoints, "rtp-reachability")
    bootstrap = _addresses(str(options["bootstrap.servers"]))
    troubles = _troubles(bootstrap)
    if not bootstrap:
        return None
    reached = [address for address in bootstrap if troubles[address] is None]
    if not reached:
        said = "; ".join(f"Kafka's address {address} {troubles[address]}" for address in bootstrap)
        return TransientError(
            f"{said}; is Kafka up? If it is, check RTP_KAFKA_BOOTSTRAP. This is retried automatically"
        )
    listener = look_at(reached[0].host, reached[0].port, LISTENER_S)
    return _disagreement(reached[0], listener, options) or _of_the_brokers(reached[0], options, set(reached))


def _of_the_brokers(answered: Address, options: Mapping[str, Any], reached: set[Address]) -> RtpError | None:
    """Checks the addresses that the brokers advertise."""
    heard = _Heard()
    heard.listen(options)
    if heard.refusal is not None:
        return translate(heard.refusal, f"connect to Kafka at {answered}")
    troubles = _troubles(address for address in heard.advertised if address not in reached)
    sentences = [
        f"its broker {heard.advertised[address]} sends clients to {address}, which {trouble}"
        for address, trouble in troubles.items()
        if trouble is not None
    ]
    if not sentences:
        return None
    return TransientError(
        f"Kafka at {answered} answers, but {'; '.join(sentences)}. Set advertised.listeners of the broker to an "
        "address that can be reached from here, or make that name known here. This is retried automatically"
    )


@dataclass(slots=True)
class _Heard:
    """What a client of Kafka has learned when it connected.

    A request for the metadata would not do: as soon as librdkafka knows the advertised addresses, it closes the
    connection to the bootstrap address. If the advertised ones cannot be reached, the request is never answered. Its
    statistics show what it knows.

    Attributes:
        advertised: the brokers' addresses, each with the broker's id.
        refusal: an error that only a person can resolve, if there was one.
    """

    advertised: dict[Address, int] = field(default_factory=dict)
    refusal: KafkaError | None = None

    def listen(self, options: Mapping[str, Any]) -> None:
        """Lets a client connect; returns once it knows the brokers or is refused, and after `METADATA_S` anyway."""
        callbacks: dict[str, Any] = {"error_cb": self._note_error, "stats_cb": self._note_statistics}
        admin = AdminClient({**options, **callbacks, "statistics.interval.ms": int(LOOK_EVERY_S * 1000)})
        deadline = time.monotonic() + METADATA_S
        while self.refusal is None and not self.advertised and time.monotonic() < deadline:
            admin.poll(LOOK_EVERY_S)

    def _note_error(self, error: KafkaError) -> None:
        if self.refusal is None and error.code() in NEEDS_A_PERSON:
            self.refusal = error

    def _note_statistics(self, statistics: str) -> None:
        for broker in json.loads(statistics)["brokers"].values():
            if broker["source"] == "learned":
                host, _, port = broker["nodename"].rpartition(":")
                self.advertised[Address(host.strip("[]"), int(port))] = broker["nodeid"]


def _disagreement(address: Address, listener: Listener, options: Mapping[str, Any]) -> RtpError | None:
    """Returns an error if our security.protocol does not match the listener; None if it does, or if not known."""
    ours = str(options.get("security.protocol", "plaintext")).upper()
    wants_tls, wants_login = ours.endswith("SSL"), ours.startswith("SASL")
    right = f"{'SASL_' if listener.mechanisms else ''}{'SSL' if listener.tls else 'PLAINTEXT'}"
    mend = f"set security.protocol to {right} in RTP_KAFKA_CLIENT_CONFIG"
    if listener.tls is not None and listener.tls != wants_tls:
        if listener.tls:
            return AttentionError(f"Kafka at {address} speaks TLS, but security.protocol is {ours} here: {mend}")
        return AttentionError(f"Kafka at {address} does not speak TLS, but security.protocol is {ours} here: {mend}")
    if listener.mechanisms is None:
        return None
    offered = ", ".join(listener.mechanisms)
    if bool(listener.mechanisms) != wants_login:
        if wants_login:
            return AttentionError(f"Kafka at {address} accepts no login, but security.protocol is {ours} here: {mend}")
        return AttentionError(
            f"Kafka at {address} wants a login ({offered}), but security.protocol is {ours} here: {mend}, with "
            "sasl.mechanism, sasl.username and sasl.password"
        )
    mechanism = str(options.get("sasl.mechanism", options.get("sasl.mechanisms", "GSSAPI"))).upper()
    if wants_login and mechanism not in listener.mechanisms:
        return AttentionError(
            f"Kafka at {address} offers the logins {offered}, but sasl.mechanism is {mechanism} here: set it to one of "
            "them in RTP_KAFKA_CLIENT_CONFIG"
        )
    return None


def _addresses(servers: str) -> list[Address]:
    """Reads ``bootstrap.servers``: ``host:port`` or ``PROTOCOL://host:port``, separated by commas."""
    found = []
    for server in servers.split(","):
        place = server.strip().rpartition("://")[2]
        host, _, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        if not host:
            host, port = place, ""
        if host:
            found.append(Address(host.strip("[]"), int(port) if port.isdecimal() else DEFAULT_PORT))
    return found


def _troubles(addresses: Iterable[Address]) -> dict[Address, str | None]:
    """Returns why each address cannot be reached, as half a sentence; None if it can. Tries all at the same time."""
    known: dict[Address, str | None] = dict.fromkeys(addresses, f"does not answer within {CONNECT_S:g} s")

    def look(address: Address) -> None:
        known[address] = _trouble(address)

    threads = [threading.Thread(target=look, args=(address,), daemon=True) for address in known]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2 * CONNECT_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(known)


def _trouble(address: Address) -> str | None:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return f"cannot be resolved here ({getattr(error, 'strerror', None) or error})"
    said = ""
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(CONNECT_S / len(found))
                connection.connect(place)
                return None
        except TimeoutError:
            said = f"does not answer within {CONNECT_S:g} s"
        except ConnectionRefusedError:
            said = "refuses the connection"
        except OSError as error:
            said = f"cannot be reached from here ({error.strerror or error})"
    return said
