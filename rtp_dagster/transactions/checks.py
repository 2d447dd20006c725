"""The checks on `transactions`: one table of name, measure and judge, used in runs and at sensors' ticks.

Each description says what the check costs on a table of 50 million rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dagster as dg

from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.retries import retried
from rtp_dagster.transactions import verdicts
from rtp_dagster.transactions.counting import BALANCES, counted_until, is_large
from rtp_dagster.transactions.history import lag_chart, row_chart
from rtp_dagster.transactions.measures import moment as measures
from rtp_dagster.transactions.measures.moment import Moment
from rtp_dagster.transactions.measures.window import Sample
from rtp_dagster.transactions.verdicts import TRANSACTIONS
from rtp_dagster.verdict import Metadata, Verdict
from rtp_workers.postgres.account import read_account
from rtp_workers.settings import DagsterSettings

Figures = TypeVar("Figures")
Chart = Callable[[dg.DagsterInstance, DagsterSettings], Metadata]


def _always(moment: Moment) -> bool:
    return True


def _small(moment: Moment) -> bool:
    return not is_large(moment.look.account)


def _no_chart(instance: dg.DagsterInstance, settings: DagsterSettings) -> Metadata:
    return {}


@dataclass(frozen=True)
class Check(Generic[Figures]):
    """One check.

    Attributes:
        name: the check's name in Dagster.
        measure: reads the figures.
        judge: decides what the figures mean.
        description: what must hold, and what the check costs.
        chart: draws what the sensors have recorded, in a run.
        at_ticks: tells whether the check is cheap enough for a sensor's tick.
    """

    name: str
    measure: Callable[[Moment], Figures]
    judge: Callable[[Figures, DagsterSettings], Verdict]
    description: str
    chart: Chart = _no_chart
    at_ticks: Callable[[Moment], bool] = _always

    def verdict(self, moment: Moment) -> Verdict:
        """Measures and judges. Raises whatever the measure raises."""
        return self.judge(self.measure(moment), moment.platform.settings())


TABLE: tuple[Check[Any], ...] = (
    Check(
        "ledger_balances",
        measures.ledger_and_tables,
        verdicts.judge_balance,
        "The ledger's counters explain every offset, and both tables hold as many rows as the counters say.\n\n"
        "At 50M rows: `row_count_sensor` counts them in pieces of a part of a second, and reports the result. Runs "
        "that start by themselves rely on it for a day. A run that you start counts them in one go.",
        at_ticks=_small,
    ),
    Check(
        "matches_kafka",
        measures.ledger_and_log,
        verdicts.judge_kafka,
        "The ledger is inside Kafka's log: Kafka knows everything that is stored, and deleted nothing before its "
        "turn.\n\nAt 50M rows: milliseconds; offsets and counters only, no table is read.",
    ),
    Check(
        "ids_are_unique",
        measures.broken_keys,
        verdicts.judge_keys,
        "The primary keys exist, are valid, and are on the right columns: PostgreSQL itself keeps ids unique.\n\n"
        "At 50M rows: milliseconds; a look into the catalog.",
    ),
    Check(
        "is_fresh",
        measures.quiet,
        verdicts.judge_freshness,
        "The ledger has moved lately: a warning if the sources are quiet, an error if records wait.\n\n"
        "At 50M rows: milliseconds; one row per partition, and Kafka's offsets. The chart shows what "
        "`row_count_sensor` saw.",
        chart=row_chart,
    ),
    Check(
        "dead_letter_ratio",
        measures.dead_letters,
        verdicts.judge_dead_letters,
        "Few of the records of the last five minutes are dead letters; ten times the limit is an error.\n\n"
        "At 50M rows: reads the rows of those five minutes, found by the index on ingested_at: 3 million at 10,000 "
        "rows/s, about a second; milliseconds for a quiet stream.",
    ),
    Check(
        "lag_is_low",
        measures.lag,
        verdicts.judge_lag,
        "The consumer is close behind Kafka, in records and in time; `consumer_lag_sensor` reports it too.\n\n"
        "At 50M rows: milliseconds; offsets and Kafka's time index, no table is read.",
        chart=lag_chart,
    ),
)


def in_a_run(check: Check[Any]) -> dg.AssetChecksDefinition:
    """Returns the check as Dagster runs it. It follows a backfill, and is retried while a server is away."""

    @dg.asset_check(
        asset=TRANSACTIONS,
        name=check.name,
        description=check.description,
        # In a run that also loads files, the check runs after the load.
        additional_deps=["csv_backfill"],
    )
    def run(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        with retried(context.op_execution_context.retry_number):
            with platform.reader() as connection:
                verdict = _in_a_run(check, Moment(platform, connection), context)
            return verdict.result(check.chart(context.instance, platform.settings()))

    return run


def _in_a_run(check: Check[Any], moment: Moment, context: dg.AssetCheckExecutionContext) -> Verdict:
    """Returns the verdict; does not count a large table again that has been counted in pieces."""
    if check.name == BALANCES.name and is_large(account := read_account(moment.connection)):
        until = counted_until(context.instance, dict(context.op_execution_context.run.tags))
        if until is not None:
            return verdicts.judge_counters(account, until)
    return check.verdict(moment)


def at_a_tick(platform: Platform, samples: Sequence[Sample]) -> dict[str, Verdict]:
    """Returns the verdict of each check now, by name. Takes milliseconds, and no run.

    `ledger_balances` is left out if the table is counted in pieces.

    Args:
        platform: where the servers are.
        samples: the ledger's counters of the last minutes.

    Raises:
        TransientError: a server is away.
        ConfigError: no address is known for one of them, or the login is wrong.
    """
    with platform.reader(PROBE_S) as connection:
        moment = Moment(platform, connection, samples)
        return {check.name: check.verdict(moment) for check in TABLE if check.at_ticks(moment)}


CHECKS = [in_a_run(check) for check in TABLE]
