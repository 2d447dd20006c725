"""Finds out who blocks a writer of ours, and ends it if it is a writer that has been left behind.

A server process that waits for COPY data from a stopped client never times out. It keeps its row locks, and the
consumer that took over waits for them. Only ingest sessions of our own role are ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtp_workers.postgres.connection import Connection, Cursor, translated

WRITER_NAME = "rtp-consumer"
CONTROL_NAME = "rtp-consumer-control"
_END = """
select blocker.pid, pg_terminate_backend(blocker.pid)
from unnest(pg_blocking_pids(%s)) as blocking (pid)
join pg_stat_activity as blocker on blocker.pid = blocking.pid
where blocker.usename = current_user and blocker.application_name = %s and blocker.pid <> all(%s)
"""
# Another session may stand between the two: it waits for us, and the other one waits behind it.
_IN_THE_WAY = """
with recursive blocking (pid) as (
    select unnest(pg_blocking_pids(%s))
    union
    select unnest(pg_blocking_pids(pid)) from blocking)
select exists (select from blocking where pid = pg_backend_pid())
"""


def end_blocking_sessions(connection: Connection, backend_pid: int, siblings: Sequence[int] = ()) -> list[int]:
    """Ends other ingest sessions of our role that block `backend_pid`.

    Args:
        connection: in autocommit mode.
        backend_pid: the server process of the writer that waits.
        siblings: server processes of our own connections, which give way by themselves.

    Returns:
        The process ids of the server processes that were ended.
    """
    with translated("end a session that blocks the writer"), connection.cursor() as cursor:
        cursor.execute(_END, (backend_pid, WRITER_NAME, list(siblings)))
        return [pid for pid, ended in cursor.fetchall() if ended]


def stands_in_the_way(cursor: Cursor, backend_pid: int) -> bool:
    """Tells whether another session waits, directly or through others, for a lock of this cursor's session.

    Args:
        cursor: of the session that may be in the way.
        backend_pid: the server process that may wait.
    """
    with translated("find out who waits"):
        cursor.execute(_IN_THE_WAY, (backend_pid,))
        return cursor.fetchone() == (True,)
