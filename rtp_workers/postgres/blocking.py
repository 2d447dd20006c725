"""Ends a session that blocks our writer.

A server process that waits for COPY data from a stopped client never times out. It keeps its row locks, and the
consumer that took over waits for them. Only ingest sessions of our own role are ended.
"""

from __future__ import annotations

from rtp_workers.postgres.connection import Connection, translated

WRITER_NAME = "rtp-consumer"
CONTROL_NAME = "rtp-consumer-control"
_END = """
select blocker.pid, pg_terminate_backend(blocker.pid)
from unnest(pg_blocking_pids(%s)) as blocking (pid)
join pg_stat_activity as blocker on blocker.pid = blocking.pid
where blocker.usename = current_user and blocker.application_name = %s
"""


def end_blocking_sessions(connection: Connection, backend_pid: int) -> list[int]:
    """Ends other ingest sessions of our role that block `backend_pid`.

    Returns:
        The process ids of the server processes that were ended.
    """
    with translated("end a session that blocks the writer"), connection.cursor() as cursor:
        cursor.execute(_END, (backend_pid, WRITER_NAME))
        return [pid for pid, ended in cursor.fetchall() if ended]
