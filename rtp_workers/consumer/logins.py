"""Checks regularly, in PostgreSQL, whether our roles can still log in, and how many files are not loaded.

Open sessions continue to work after a role loses its password or its right to log in, so they show nothing.
"""

from __future__ import annotations

import threading

from rtp_workers.consumer.state import ConsumerState
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError
from rtp_workers.postgres import csv_files
from rtp_workers.postgres.connection import LoginRefusedError, connect

LOOK_EVERY_S = 10.0
APPLICATION_NAME = "rtp-consumer-login"


class LoginWatch:
    """Tries the logins regularly in its own thread, and puts what it finds into the state.

    Args:
        endpoints: the DSN of rtp_ingest, without whose login the stream stops at its next connection; and that of
            rtp_read, if it is known.
        state: receives the findings.
    """

    def __init__(self, endpoints: Endpoints, state: ConsumerState) -> None:
        self._ingest_dsn = endpoints.need("postgres_ingest_dsn")
        self._read_dsn = endpoints.postgres_read_dsn
        self._state = state
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logins", daemon=True)

    def start(self) -> None:
        """Starts the thread. It looks for the first time after `LOOK_EVERY_S`."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread once its current try is over. Does not wait for it."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """Looks once."""
        self._count_files()
        self._state.login_problem = refusal(self._ingest_dsn, "writes and reads for this service")
        if self._read_dsn is not None:
            self._state.login_warning = refusal(self._read_dsn, "reads for `rtp verify`, `rtp status` and pgAdmin")

    def _count_files(self) -> None:
        try:
            connection = connect(self._ingest_dsn, APPLICATION_NAME, autocommit=True)
            try:
                self._state.files_not_loaded = csv_files.not_loaded(connection)
            finally:
                connection.close()
        except RtpError:
            return  # the figure stays; another part reports why PostgreSQL does not answer


def refusal(dsn: str, duty: str) -> str | None:
    """Returns why PostgreSQL refuses the login, and what to do; None if it lets us in, or is away.

    Args:
        dsn: the login to try.
        duty: what the role does for us, for the sentence.
    """
    try:
        connect(dsn, APPLICATION_NAME, autocommit=True).close()
    except LoginRefusedError as error:
        return (
            f"the role that {duty} can no longer log in; only open sessions still work: {error}. Give the role "
            "its login and its password back: `rtp setup --rotate`, or start the embedded platform again"
        )
    except RtpError:
        return None  # PostgreSQL is away or full, which other parts report
    return None
