"""Checks on `transactions`. Each says what it costs on a table of 50 million rows.

`additional_deps` makes them run after the load where both are in one run.
"""

import functools
from collections.abc import Callable

import dagster as dg

from rtp_dagster.platform import Platform
from rtp_dagster.plots import line_chart
from rtp_dagster.retries import retried
from rtp_dagster.transactions.history import lag_series, row_series
from rtp_dagster.transactions.lag import measured_lag
from rtp_dagster.transactions.verdicts import (
    TRANSACTIONS,
    judge_balance,
    judge_dead_letters,
    judge_freshness,
    judge_kafka,
    judge_keys,
    lag_by_partition,
)
from rtp_dagster.transactions.window import WINDOW_S
from rtp_workers.kafka.topics import log_offsets
from rtp_workers.postgres.balance import broken_keys, quiet_s, read_balance, recent

CheckFunction = Callable[[dg.AssetCheckExecutionContext, Platform], dg.AssetCheckResult]


def transactions_check(function: CheckFunction) -> dg.AssetChecksDefinition:
    """Makes a check on `transactions`, run after the backfill, and again where a server is away."""

    @functools.wraps(function)
    def guarded(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        with retried(context.op_execution_context.retry_number):
            return function(context, platform)

    return dg.asset_check(asset=TRANSACTIONS, additional_deps=["csv_backfill"])(guarded)


@transactions_check
def ledger_balances(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The ledger's counters explain every offset, and both tables hold as many rows as the counters say.

    At 50M rows: one count(*), a parallel index-only scan of the primary key (about 3 GB), a few seconds when cached.
    The rest is one row a partition.
    """
    with platform.reader() as connection:
        return judge_balance(read_balance(connection)).result()


@transactions_check
def matches_kafka(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The ledger stands inside Kafka's log: nothing stored is unknown to Kafka, nothing was deleted before its turn.

    At 50M rows: milliseconds; offsets and counters only, no table is read.
    """
    look = platform.look()
    after = log_offsets(platform.endpoints(), platform.settings().topic)
    return judge_kafka(look, after).result()


@transactions_check
def ids_are_unique(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The primary keys exist, are valid, and are on the right columns: PostgreSQL itself keeps ids unique.

    At 50M rows: milliseconds; a look into the catalog.
    """
    with platform.reader() as connection:
        return judge_keys(broken_keys(connection)).result()


@transactions_check
def is_fresh(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The ledger has moved lately; a warning where the sources are quiet, an error where records wait.

    At 50M rows: milliseconds; one row a partition, and Kafka's offsets. The chart shows what `row_count_sensor` saw.
    """
    look = platform.look()
    with platform.reader() as connection:
        age_s = quiet_s(connection)
    verdict = judge_freshness(age_s, sum(lag_by_partition(look).values()), platform.settings())
    series = row_series(context.instance)
    return verdict.result({"rows_over_time": line_chart("Rows in transactions", "rows", series)} if series else None)


@transactions_check
def dead_letter_ratio(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """Of what came in the last five minutes, few are dead letters; ten times the limit is an error.

    At 50M rows: reads the rows of those five minutes, found by the index on ingested_at: at 10,000 rows/s 3 million,
    about a second; a quiet stream costs milliseconds.
    """
    with platform.reader() as connection:
        return judge_dead_letters(recent(connection, WINDOW_S), platform.settings()).result()


@transactions_check
def lag_is_low(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The consumer is close behind Kafka, in records and in time; `consumer_lag_sensor` reports it too.

    At 50M rows: milliseconds; offsets and Kafka's time index, no table is read.
    """
    verdict = measured_lag(platform, platform.look())
    series, limit = lag_series(context.instance), platform.settings().alert_lag_records
    if not series:
        return verdict.result()
    near = max(value for _, value in series) * 2 > limit
    chart = line_chart("Records that wait in Kafka", "records", series, limit if near else None)
    return verdict.result({"lag_over_time": chart})


CHECKS = [ledger_balances, matches_kafka, ids_are_unique, is_fresh, dead_letter_ratio, lag_is_low]
