"""Reads within a strict time limit, and says who is in the way if that is not enough."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from rtp_workers.errors import RtpError, TransientError
from rtp_workers.postgres.connection import Connection, break_off, connect, translated

SERVER_GRACE_S = 1.0  # after that the server ends the statement itself, in case our end does not reach it
# Who blocks a session, directly or through others that wait. Those that do not wait themselves come first.
_HOLDERS = """
with recursive chain (pid) as (
    select unnest(pg_blocking_pids(%s)) union select unnest(pg_blocking_pids(chain.pid)) from chain
)
select pid, coalesce(nullif(application_name, ''), usename, backend_type), xact_start
from chain join pg_stat_activity using (pid)
order by cardinality(pg_blocking_pids(pid)), xact_start
"""
# A lock that is only tried has no waiters, so the lock itself is looked up. Our role may not see everything of
# another's session, but it always sees the application and the user.
_ADVISORY_HOLDERS = """
select pid, coalesce(nullif(application_name, ''), usename, backend_type), backend_start
from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory' and granted and objsubid = 1
    and pg_locks.database = (select oid from pg_database where datname = current_database())
    and classid = ((%(key)s::bigint >> 32) & 4294967295)::oid and objid = (%(key)s::bigint & 4294967295)::oid
order by pid
"""

T = TypeVar("T")


class BusyError(TransientError):
    """PostgreSQL is up, but the answer did not come in time.

    Attributes:
        in_the_way: who holds the lock and what to do, as half a sentence.
    """

    def __init__(self, doing: str, timeout_s: float, in_the_way: str) -> None:
        super().__init__(f"{doing}: not done within {timeout_s:.3g} s: {in_the_way}")
        self.in_the_way = in_the_way


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that others wait for.

    Attributes:
        application: as it calls itself, else its user.
        since: start of its transaction, or of the session if that holds the lock; None if our role may not know.
    """

    pid: int
    application: str
    since: datetime | None

    def __str__(self) -> str:
        """Returns e.g. ``pid 123 (psql, since 2026-01-31 13:45:00 UTC)``."""
        since = "" if self.since is None else f", since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"pid {self.pid} ({self.application}{since})"


def lock_holders(connection: Connection, backend_pid: int) -> list[Holder]:
    """Returns the sessions that keep a session waiting. Those that do not wait themselves come first."""
    with translated("look for who holds the lock"), connection.cursor() as cursor:
        cursor.execute(_HOLDERS, (backend_pid,))
        return [Holder(*row) for row in cursor.fetchall()]


def advisory_holders(connection: Connection, key: int) -> list[Holder]:
    """Returns the sessions that hold the advisory lock `key` in this database; none if it has just become free."""
    with translated("look for who holds the lock"), connection.cursor() as cursor:
        cursor.execute(_ADVISORY_HOLDERS, {"key": key})
        return [Holder(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What to read, and how.

    Attributes:
        dsn: a role that may read it.
        watching_dsn: a role that may see other sessions; it is asked only when time runs out.
        application_name: of both sessions.
        doing: what this is, for messages.
        read: gets a connection in autocommit mode.
    """

    dsn: str
    watching_dsn: str
    application_name: str
    doing: str
    read: Callable[[Connection], T]

    def within(self, timeout_s: float) -> T:
        """Returns what `read` returns.

        Raises:
            BusyError: it took longer; the message names who holds the lock.
            RtpError: whatever `read` or connecting raises.
        """
        options = f"-c statement_timeout={int((timeout_s + SERVER_GRACE_S) * 1000)}"
        connection = connect(self.dsn, self.application_name, autocommit=True, options=options)
        outcome: list[T | BaseException] = []
        thread = threading.Thread(target=self._run, args=(connection, outcome), daemon=True)
        thread.start()
        thread.join(timeout_s)
        if not outcome:
            in_the_way = self._in_the_way(connection.info.backend_pid)
            break_off(connection)
            raise BusyError(self.doing, timeout_s, in_the_way)
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def _run(self, connection: Connection, outcome: list[T | BaseException]) -> None:
        try:
            outcome.append(self.read(connection))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that asked
            outcome.append(error)
        finally:
            connection.close()

    def _in_the_way(self, stuck_pid: int) -> str:
        try:
            watching = connect(self.watching_dsn, self.application_name, autocommit=True)
            try:
                holders = lock_holders(watching, stuck_pid)
            finally:
                watching.close()
        except RtpError as error:
            return f"it is not known what blocks it ({error})"
        if not holders:
            return "nobody holds a lock on it: the server is slow or busy"
        named = ", then ".join(str(holder) for holder in holders)
        return f"locked by {named}. Wait for it, or end it: select pg_terminate_backend({holders[0].pid})"
