"""Connections to PostgreSQL, and the translation of its errors by SQLSTATE."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions

from rtp_workers import environment
from rtp_workers.errors import AttentionError, ConfigError, RecordError, RtpError, TransientError
from rtp_workers.postgres import pooling, session
from rtp_workers.postgres.pooling import PooledSessionError
from rtp_workers.record.transaction import FIELDS

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor

# Constraints that mirror the record's rules: the only ones whose violation is the record's fault. Anything else
# (a user's own NOT NULL, a missing column, a full disk) is the environment's, never a dead letter.
RECORD_CONSTRAINTS: dict[str, str] = {
    "transaction_id_length": "transaction_id",
    "transaction_id_no_controls": "transaction_id",
    "occurred_at_range": "occurred_at",
    "amount_range": "amount",
    "attributes_object": "attributes",
    "attributes_size": "attributes",
    **{f"{field.name}_length": field.name for field in FIELDS if field.rule.max_length and not field.rule.pattern},
    **{f"{field.name}_code": field.name for field in FIELDS if field.rule.pattern},
}
CONFLICT = "transactions_pkey"
OUT_OF_MEMORY = frozenset({"53200", "54000"})  # out_of_memory, program_limit_exceeded

DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


# What a server says when it lets nobody in -> what to do. A server that answers is up.
CONNECTION_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("starting up", "in recovery", "not yet accepting", "consistent recovery state", "shutting down"),
        "Wait a moment: it is not ready yet",
    ),
    (
        ("too many clients", "too many connections", "remaining connection slots"),
        "Close other sessions, or raise max_connections",
    ),
)
REFUSING = ("password", "authentication failed", "does not exist", "not permitted to log in", "pg_hba.conf")
# What the client itself refuses before it reaches a server.
MISCONFIGURED = (
    "definition of service",
    "service file",
    "invalid sslmode",
    "root certificate file",
    "certificate file",
)


class ConflictError(TransientError):
    """A transaction_id of the batch is in the table already: take the staging path."""


class ConnectionLostError(TransientError):
    """The connection is gone. If it went during COMMIT, only the ledger knows the outcome: read it again."""


class MemoryRefusedError(TransientError):
    """Too much at once for the memory of this process or of PostgreSQL. Smaller parts may fit."""


class LoginRefusedError(ConnectionLostError):
    """The server is up but refuses the login: wrong password, role or database, or its access rules."""


def connect(dsn: str, application_name: str, *, autocommit: bool = False, options: str = "") -> Connection:
    """Opens a connection whose session has the same settings everywhere; see `session`.

    Args:
        dsn: libpq connection string or URL. Its time-outs and keepalives win over ours; what a session relies on
            (the application's name, the encoding, the search path, ...) cannot be changed by it.
        application_name: shows up in pg_stat_activity; it distinguishes sessions.
        autocommit: True for readers, so that no snapshot stays open.
        options: server settings for the session, e.g. ``-c statement_timeout=5s``.

    Raises:
        TransientError: the server is away, starting, or full; LoginRefusedError if it refuses the login.
        ConfigError: the DSN is malformed, or names a service that does not exist.
    """
    given = _parsed(dsn)
    merged: dict[str, Any] = {
        **DEFAULTS,
        **given,
        "application_name": application_name,
        "client_encoding": session.CLIENT_ENCODING,
        "options": f"{given.get('options', '')} {options} {session.FROM_THE_START}".strip(),
    }
    environment.forget_ignored()
    try:
        connection: Connection = psycopg2.connect(**merged)
        pooling.refuse_shared_session(connection, merged, session.pin(connection))
    except psycopg2.Error as error:
        raise translate(error, f"connect to PostgreSQL at {_address(given)}") from error
    connection.autocommit = autocommit
    return connection


def _parsed(dsn: str) -> dict[str, Any]:
    try:
        return dict(psycopg2.extensions.parse_dsn(dsn))
    except psycopg2.ProgrammingError as error:
        raise ConfigError(
            "the PostgreSQL DSN is malformed; give postgresql://user:password@host:port/database"
        ) from error


def _address(given: dict[str, Any]) -> str:
    """Returns where a DSN points to, for messages."""
    if "host" not in given and "service" in given:
        return f"the service {given['service']}"
    return f"{given.get('host', 'localhost')}:{given.get('port', 5432)}"


def server_version(connection: Connection) -> str:
    """Returns the version of the server, e.g. ``17.6``."""
    return str(connection.info.parameter_status("server_version")).split()[0]


def break_off(connection: Connection) -> None:
    """Breaks a connection. Thread-safe: a call that hangs in it in another thread ends with ConnectionLostError."""
    try:
        descriptor = socket.dup(connection.fileno())
    except (psycopg2.InterfaceError, OSError):
        return  # closed meanwhile
    with socket.socket(fileno=descriptor) as handle, contextlib.suppress(OSError):  # the other side was quicker
        handle.shutdown(socket.SHUT_RDWR)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns psycopg2's errors inside the block into the project's own."""
    try:
        yield
    except psycopg2.Error as error:
        raise translate(error, doing) from error


def translate(error: psycopg2.Error, doing: str) -> RtpError:
    """Translates a client's error into the project's own, by SQLSTATE and constraint name, never by its text."""
    state = error.pgcode
    text = f"{doing}: {_first_line(error)}"
    if state in OUT_OF_MEMORY or (state is None and "out of memory" in text):
        return MemoryRefusedError(f"{text}; it is retried in smaller parts")
    if state is None:
        return _connection_error(text)
    refused = _record_error(error, state)
    if refused is not None:
        return refused
    if state == "23505" and error.diag.constraint_name == CONFLICT:
        return ConflictError(text)
    if state in ("28P01", "28000", "3D000"):
        return ConfigError(f"{text}; check the DSN and its password")
    if state in ("57P01", "57P02", "57P05", "25P03", "08006", "08003", "08000"):
        return ConnectionLostError(f"{text}; it is retried")
    if state[:2] in ("08", "40", "53", "57", "58") or state == "55P03":
        return TransientError(f"{text}; it is retried")
    return AttentionError(f"{text} (SQLSTATE {state}); correct the database; this is retried automatically")


def _connection_error(text: str) -> RtpError:
    """Returns the error for a failure without SQLSTATE: the client gives none while it connects.

    Only the server's sentence tells the cause. In a language that we do not know, the advice stays general.
    """
    if any(word in text for word in MISCONFIGURED):
        return ConfigError(f"{text}; correct the DSN or what it refers to")
    if "unsupported startup parameter" in text:
        return PooledSessionError(f"{text}. This is a connection pooler; connect to PostgreSQL directly")
    for words, advice in CONNECTION_ADVICE:
        if any(word in text for word in words):
            return ConnectionLostError(f"{text}. {advice}. Services retry automatically")
    if any(word in text for word in REFUSING):
        advice = "Check the DSN's user, password and database. Services retry automatically"
        return LoginRefusedError(f"{text}. {advice}")
    advice = "The server refuses the connection; its log says why" if "FATAL" in text else "Is PostgreSQL up?"
    return ConnectionLostError(f"{text}. {advice}. Services retry automatically")


def _record_error(error: psycopg2.Error, state: str) -> RecordError | None:
    if state[:2] == "22":
        return RecordError(f"postgres_{state}", f"PostgreSQL refuses a value: {_first_line(error)}")
    name = error.diag.constraint_name
    if state == "23514" and name in RECORD_CONSTRAINTS:
        return RecordError(name, f"the value breaks the rule {name}", field=RECORD_CONSTRAINTS[name])
    return None


def _first_line(error: psycopg2.Error) -> str:
    """Returns the line that matters. With several addresses, there is one line for each; that of a server wins."""
    lines = (error.diag.message_primary or str(error)).strip().splitlines()
    if not lines:
        return type(error).__name__
    return next((line.strip() for line in lines if "FATAL" in line), lines[0])
