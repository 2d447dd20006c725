"""Detects and refuses connection poolers that give each transaction another session of the server.

Our sessions keep state between transactions: settings, temporary tables, advisory locks. A pooler in transaction mode
(PgBouncer, Supavisor, Neon's pooler) spreads it over its other clients: locks stay behind, tables vanish.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import extensions

from rtp_workers.errors import ConfigError

# Another client may take the session that would show it between two looks.
LOOKS = 3


class PooledSessionError(ConfigError):
    """A pooler between us and PostgreSQL shares the server's sessions among its clients."""


def refuse_shared_session(connection: extensions.connection, parameters: dict[str, Any], backend_pid: int) -> None:
    """Raises PooledSessionError if statements of one connection reach different sessions of the server.

    A server reports its process id when a session starts; a pooler reports a number of its own. Only if the numbers
    differ, a second connection is opened to find out: without a pooler each connection has exactly one session.

    Args:
        connection: in autocommit mode.
        parameters: what it was opened with.
        backend_pid: of the session that answered its last statement.
    """
    if connection.info.backend_pid == backend_pid:
        return
    other = psycopg2.connect(**parameters)
    try:
        for _ in range(LOOKS):
            if _pid(other) == backend_pid or _pid(connection) != backend_pid:
                raise PooledSessionError(advice(str(connection.info.host), int(connection.info.port)))
            other.rollback()
    finally:
        other.close()


def advice(host: str, port: int) -> str:
    """Returns the sentence for a pooler at this address."""
    return (
        f"PostgreSQL at {host}:{port} is reached through a connection pooler in transaction mode, which gives every "
        "transaction another session of the server. Ours need a session of their own (temporary tables, locks): give "
        "a DSN that connects to PostgreSQL directly, or a pool in session mode"
    )


def _pid(connection: extensions.connection) -> int:
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return int(cursor.fetchall()[0][0])
