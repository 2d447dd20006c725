"""The platform as a Dagster resource: settings and endpoints, read when they are needed and never at import."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.errors import TransientError
from rtp_workers.kafka import topics
from rtp_workers.postgres.account import Account, LedgerRow, read_account
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.reconcile import balance
from rtp_workers.reconcile.balance import Log
from rtp_workers.reconcile.status import ask_all
from rtp_workers.reconcile.verify import reader_dsn
from rtp_workers.settings import DagsterSettings, load

PROBE_S = 4.0  # for one request of a sensor's tick; a busy machine sometimes takes over 2 s
LOOK_S = 5.0  # for all requests of a sensor's tick together
CHECK_STATEMENT_S = 300.0  # a check may count the whole table


@dataclass(frozen=True, slots=True)
class Look:
    """The platform at one moment.

    Attributes:
        topic_id: Kafka's id of the topic as it is now.
        log: kafka_partition -> (log start, end), taken before the ledger was read.
        account: the ledger and the purges.
    """

    topic_id: str
    log: Log
    account: Account

    @property
    def ledger_now(self) -> dict[int, LedgerRow]:
        """The rows of the topic as it is now, by kafka_partition."""
        return self.account.of_topic(self.topic_id)

    @property
    def lag(self) -> dict[int, int]:
        """How many records of each partition wait in Kafka."""
        return balance.lag(self.account, self.topic_id, self.log)


class Platform(dg.ConfigurableResource["Platform"]):
    """Where the platform's servers are: from the environment, ``.env`` or the running embedded platform.

    Anyone who launches a run can write its config, so no field here holds an address.

    Attributes:
        statement_timeout_s: how long PostgreSQL may take for one statement of a check, which may count a whole table.
    """

    statement_timeout_s: float = CHECK_STATEMENT_S

    def settings(self) -> DagsterSettings:
        """Returns the settings. Raises ConfigError if one is not valid."""
        return load(DagsterSettings)

    def endpoints(self) -> Endpoints:
        """Returns where the servers are now. A restart of the platform may have moved them."""
        return resolve(self.settings())

    @contextmanager
    def reader(self, statement_timeout_s: float | None = None) -> Iterator[Connection]:
        """Opens a read connection in autocommit mode, and closes it after the block.

        Args:
            statement_timeout_s: how long PostgreSQL may take for one statement; None: the resource's own value.

        Raises:
            TransientError: PostgreSQL is away.
            ConfigError: no address is known, or the login is wrong.
        """
        timeout_s = self.statement_timeout_s if statement_timeout_s is None else statement_timeout_s
        options = f"-c statement_timeout={int(timeout_s * 1000)}"
        connection = connect(reader_dsn(self.endpoints()), "rtp-dagster", autocommit=True, options=options)
        try:
            yield connection
        finally:
            connection.close()

    def look(self) -> Look:
        """Asks Kafka and PostgreSQL at the same time, and gives up after `LOOK_S` seconds.

        Raises:
            TransientError: one of them is away.
            ConfigError: no address is known for one of them, or the login is wrong.
        """
        settings, endpoints = self.settings(), self.endpoints()
        answers = ask_all(
            {"Kafka": lambda: _kafka(endpoints, settings.topic), "PostgreSQL": lambda: self._postgres()}, LOOK_S
        )
        for answer in answers.values():
            if isinstance(answer, Exception):
                raise answer
        topic_id, log = answers["Kafka"]
        return Look(topic_id, log, answers["PostgreSQL"])

    def _postgres(self) -> Account:
        with self.reader(PROBE_S) as connection:
            return read_account(connection)


@dg.io_manager(config_schema={})
def step_outputs(context: dg.InitResourceContext) -> dg.IOManager:
    """Keeps the values that steps hand to each other in Dagster's own storage folder.

    Dagster's default does the same, but a run's config could then name another folder to write to and unpickle from.
    """
    assert context.instance is not None
    return dg.FilesystemIOManager(base_dir=context.instance.storage_directory()).create_io_manager(context)


def _kafka(endpoints: Endpoints, topic: str) -> tuple[str, Log]:
    found = topics.describe(endpoints, topic, timeout_s=PROBE_S)
    if found is None:
        raise TransientError(f"topic {topic} does not exist; run the job setup_topics, or `rtp topics`")
    return found.topic_id, topics.log_offsets(endpoints, topic, timeout_s=PROBE_S)
