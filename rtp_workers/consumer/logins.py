"""What only a look into PostgreSQL tells: whether our roles can still log in, and how many files are not loaded.

Sessions that are open live on when a role loses its password or its right to log in.
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
    """Tries the logins again and again, in a thread of its own, and notes in the state what it finds.

    Args:
        endpoints: the DSN of rtp_ingest, without whose login the stream stops at its next connection; that of rtp_read
            where it is known.
        state: gets what is found.
    """

    def __init__(self, endpoints: Endpoints, state: ConsumerState) -> None:
        self._ingest_dsn = endpoints.need("postgres_ingest_dsn")
        self._read_dsn = endpoints.postgres_read_dsn
        self._state = state
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logins", daemon=True)

    def start(self) -> None:
        """Starts looking, for the first time in `LOOK_EVERY_S`."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread once its present try is over; does not wait for it."""
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
            return  # the figure stays as it was; why PostgreSQL does not answer is reported elsewhere


def refusal(dsn: str, duty: str) -> str | None:
    """Returns why PostgreSQL refuses the login, and what to do; None where it lets us in, or is away.

    Args:
        dsn: whose login to try.
        duty: what the role does for us.
    """
    try:
        connect(dsn, APPLICATION_NAME, autocommit=True).close()
    except LoginRefusedError as error:
        return (
            f"the role that {duty} can no longer log in; only open sessions still work: {error}. Give the role "
            "its login and its password back: `rtp setup --rotate`, or start the embedded platform again"
        )
    except RtpError:
        return None  # away or full, which others tell
    return None
