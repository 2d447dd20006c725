"""The checks as a sensor evaluates them: each in milliseconds, all at one moment, without a run."""

from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.transactions.lag import measured_lag
from rtp_dagster.transactions.verdicts import (
    Verdict,
    judge_balance,
    judge_dead_letters,
    judge_freshness,
    judge_kafka,
    judge_keys,
    lag_by_partition,
)
from rtp_dagster.transactions.window import Sample, grown
from rtp_workers.kafka.topics import log_offsets
from rtp_workers.postgres.balance import Recent, broken_keys, quiet_s, read_balance, recent_reasons
from rtp_workers.postgres.connection import Connection

COUNTED_ROWS = 5_000_000  # half a second for count(*); a larger table is counted by check_transactions, once an hour


def quick_verdicts(platform: Platform, samples: list[Sample], window_s: float) -> dict[str, Verdict]:
    """Returns what each check finds now, by name; `ledger_balances` only where the table is small enough to count.

    Args:
        platform: where the servers are.
        samples: the ledger's counters of the last `window_s` seconds.
        window_s: what the ratio of dead letters is taken over.

    Raises:
        TransientError: a server is away. ConfigError: it is not known, or the login is wrong.
    """
    settings, look = platform.settings(), platform.look()
    after = log_offsets(platform.endpoints(), settings.topic, timeout_s=PROBE_S)
    with platform.reader(PROBE_S) as connection:
        found = {
            "matches_kafka": judge_kafka(look, after),
            "lag_is_low": measured_lag(platform, look),
            "ids_are_unique": judge_keys(broken_keys(connection)),
            "is_fresh": judge_freshness(quiet_s(connection), sum(lag_by_partition(look).values()), settings),
            "dead_letter_ratio": judge_dead_letters(lately(connection, samples, window_s), settings),
        }
        if look.totals.rows <= COUNTED_ROWS:
            found["ledger_balances"] = judge_balance(read_balance(connection))
    return found


def lately(connection: Connection, samples: list[Sample], window_s: float) -> Recent:
    """Returns rows and dead letters of the window, from the ledger's counters: no row is counted."""
    rows, dead_letters = grown(samples)
    reasons = recent_reasons(connection, window_s) if dead_letters else {}
    return Recent(window_s, rows, dead_letters, reasons)
