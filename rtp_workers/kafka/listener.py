"""Finds out what a broker's listener speaks: TLS or not, and which logins it offers. Uses a plain connection.

If its `security.protocol` does not match the listener's, Kafka's client only reports that the connection was closed.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass

SASL_HANDSHAKE, VERSION, CORRELATION_ID = 17, 1, 1
NO_LOGIN = "none"  # no broker offers this mechanism, so its answer lists those that it offers
UNSUPPORTED_SASL_MECHANISM, ILLEGAL_SASL_STATE = 33, 34  # error codes of Kafka's protocol
MOST_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Listener:
    """What is known of a listener.

    Attributes:
        tls: True if it speaks TLS; None: not known.
        mechanisms: the logins that it offers, empty if it accepts none; None: not known.
    """

    tls: bool | None = None
    mechanisms: tuple[str, ...] | None = None


def look_at(host: str, port: int, timeout_s: float) -> Listener:
    """Asks a listener what it speaks. Each of the two questions takes at most `timeout_s`.

    A connection that is merely closed shows nothing: a load balancer without a broker behind it closes it too.
    """
    tls = _speaks_tls(host, port, timeout_s)
    try:
        mechanisms = _mechanisms(host, port, timeout_s, tls=tls)
    except (OSError, struct.error, UnicodeDecodeError):
        mechanisms = None
    # An answer to a question without TLS shows that the listener has no TLS.
    return Listener(tls or (None if mechanisms is None else False), mechanisms)


def _speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Tells whether the listener answers in TLS. A refusal in TLS is an answer too."""
    try:
        with socket.create_connection((host, port), timeout_s) as plain, _context().wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _context() -> ssl.SSLContext:
    """Returns a context that accepts any certificate, because nothing secret is sent here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _mechanisms(host: str, port: int, timeout_s: float, *, tls: bool) -> tuple[str, ...] | None:
    with socket.create_connection((host, port), timeout_s) as plain:
        connection = _context().wrap_socket(plain) if tls else plain
        with connection:
            connection.sendall(_handshake())
            return _offered(connection.recv(MOST_BYTES))


def _handshake() -> bytes:
    client, mechanism = b"rtp", NO_LOGIN.encode()
    request = struct.pack(f">hhih{len(client)}s", SASL_HANDSHAKE, VERSION, CORRELATION_ID, len(client), client)
    request += struct.pack(f">h{len(mechanism)}s", len(mechanism), mechanism)
    return struct.pack(">i", len(request)) + request


def _offered(answer: bytes) -> tuple[str, ...] | None:
    """Reads the answer: size, correlation id, error code, then the mechanisms. Returns None for any other answer."""
    error, count = struct.unpack_from(">hi", answer, 8)
    if error == ILLEGAL_SASL_STATE:
        return ()
    if error != UNSUPPORTED_SASL_MECHANISM:
        return None
    found, at = [], 14
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, at)
        found.append(answer[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return tuple(found)
