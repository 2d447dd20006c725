"""The platform as a Dagster resource: settings and endpoints, read when they are needed and never at import."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.errors import TransientError
from rtp_workers.kafka import topics
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.queries import LedgerRow, Totals, ledger_rows, open_rows, totals
from rtp_workers.reconcile.status import ask_all
from rtp_workers.reconcile.verify import Log, reader_dsn
from rtp_workers.settings import DagsterSettings, load

PROBE_S = 2.0  # one request of a sensor's tick
LOOK_S = 5.0  # all requests of a sensor's tick together
CHECK_STATEMENT_S = 300.0  # a check may count the whole table


@dataclass(frozen=True, slots=True)
class Look:
    """The platform at one moment.

    Attributes:
        at_s: Unix time of the look.
        topic_id: Kafka's id of the topic as it is now.
        log: kafka_partition -> (log start, end), taken before the ledger was read.
        ledger: every row, history of deleted topics included.
        totals: cheap figures of the tables.
    """

    at_s: float
    topic_id: str
    log: Log
    ledger: list[LedgerRow]
    totals: Totals

    @property
    def ledger_now(self) -> dict[int, LedgerRow]:
        """The rows of the topic as it is now, by kafka_partition."""
        return open_rows(self.ledger, self.topic_id)


class Platform(dg.ConfigurableResource["Platform"]):
    """Where the platform is. What is left out comes from the environment, ``.env`` or the running embedded platform.

    The fields are plain values or `dg.EnvVar`. They are not bound to an `EnvVar` by default, because one that is not
    set is an error before a sensor can say so in its skip reason.

    Attributes:
        home: RTP_HOME.
        data_dir: folder of the CSV files.
        topic: the topic's name.
    """

    home: str | None = None
    data_dir: str | None = None
    topic: str | None = None

    def settings(self) -> DagsterSettings:
        """Returns the settings. Raises ConfigError where one does not fit."""
        home, data_dir = (None if text is None else Path(text) for text in (self.home, self.data_dir))
        return load(DagsterSettings, home=home, data_dir=data_dir, topic=self.topic)

    def endpoints(self) -> Endpoints:
        """Returns where the servers are now: after a restart of the platform they may be elsewhere."""
        return resolve(self.settings())

    @contextmanager
    def reader(self, statement_timeout_s: float = CHECK_STATEMENT_S) -> Iterator[Connection]:
        """Opens a read connection in autocommit mode, and closes it.

        Raises:
            TransientError: PostgreSQL is away. ConfigError: it is not known, or the login is wrong.
        """
        options = f"-c statement_timeout={int(statement_timeout_s * 1000)}"
        connection = connect(reader_dsn(self.endpoints()), "rtp-dagster", autocommit=True, options=options)
        try:
            yield connection
        finally:
            connection.close()

    def look(self) -> Look:
        """Asks Kafka and PostgreSQL at once, and gives up after `LOOK_S` seconds.

        Raises:
            TransientError: one of them is away. ConfigError: it is not known, or the login is wrong.
        """
        settings, endpoints = self.settings(), self.endpoints()
        answers = ask_all(
            {"Kafka": lambda: _kafka(endpoints, settings.topic), "PostgreSQL": lambda: self._postgres()}, LOOK_S
        )
        for answer in answers.values():
            if isinstance(answer, Exception):
                raise answer
        topic_id, log = answers["Kafka"]
        ledger, sums = answers["PostgreSQL"]
        return Look(time.time(), topic_id, log, ledger, sums)

    def _postgres(self) -> tuple[list[LedgerRow], Totals]:
        with self.reader(PROBE_S) as connection:
            return ledger_rows(connection), totals(connection)


def _kafka(endpoints: Endpoints, topic: str) -> tuple[str, Log]:
    found = topics.describe(endpoints, topic, timeout_s=PROBE_S)
    if found is None:
        raise TransientError(f"topic {topic} does not exist; run the job setup_topics, or `rtp topics`")
    return found.topic_id, topics.log_offsets(endpoints, topic, timeout_s=PROBE_S)
