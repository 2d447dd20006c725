"""One moment of the platform, as the checks see it. Each server is asked once, and only when a check needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rtp_dagster.platform import PROBE_S, Look, Platform
from rtp_dagster.transactions.measures.lag import Lag, measure_lag
from rtp_dagster.transactions.measures.window import WINDOW_S, Sample, lately
from rtp_workers.kafka.topics import log_offsets
from rtp_workers.postgres import account
from rtp_workers.postgres.account import Counted
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.recent import Recent, recent
from rtp_workers.reconcile.balance import Log


@dataclass
class Moment:
    """Where the measures get their figures.

    Attributes:
        platform: where the servers are.
        connection: a read connection in autocommit mode.
        samples: the ledger's counters at earlier ticks, oldest first; empty in a run, which counts rows instead.
    """

    platform: Platform
    connection: Connection
    samples: Sequence[Sample] = ()

    @cached_property
    def look(self) -> Look:
        """Reads Kafka's log, then the ledger, once."""
        return self.platform.look()


@dataclass(frozen=True, slots=True)
class LedgerAndLog:
    """The ledger between two looks at Kafka's log, so that movement in between does not count as a fault.

    Attributes:
        look: the log, then the ledger.
        log_after: the log again, read after the ledger.
    """

    look: Look
    log_after: Log


@dataclass(frozen=True, slots=True)
class Quiet:
    """How long nothing was written, and whether records wait.

    Attributes:
        quiet_s: seconds since the ledger moved; None: it never has.
        lag: how many records wait in Kafka.
    """

    quiet_s: float | None
    lag: int


def ledger_and_tables(moment: Moment) -> Counted:
    """Counts both tables and reads the ledger."""
    return account.count(moment.connection)


def ledger_and_log(moment: Moment) -> LedgerAndLog:
    """Reads Kafka's offsets before and after the ledger."""
    look = moment.look
    topic = moment.platform.settings().topic
    return LedgerAndLog(look, log_offsets(moment.platform.endpoints(), topic, timeout_s=PROBE_S))


def broken_keys(moment: Moment) -> list[str]:
    """Returns the tables whose primary key is missing, invalid or wrong."""
    return account.broken_keys(moment.connection)


def quiet(moment: Moment) -> Quiet:
    """Reads when the ledger last moved, and how many records wait."""
    return Quiet(moment.look.account.quiet_s, sum(moment.look.lag.values()))


def dead_letters(moment: Moment) -> Recent:
    """Returns the rows and dead letters of the last minutes."""
    if moment.samples:
        return lately(moment.connection, moment.samples, WINDOW_S)
    return recent(moment.connection, WINDOW_S)


def lag(moment: Moment) -> Lag:
    """Measures how far the consumer is behind."""
    return measure_lag(moment.platform, moment.look)
