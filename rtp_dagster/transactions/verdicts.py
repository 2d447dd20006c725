"""Decides what figures mean. Pure functions, shared by the checks in a run and the sensors at every tick."""

from __future__ import annotations

from dataclasses import asdict

import dagster as dg

from rtp_dagster.transactions.measures.lag import Lag
from rtp_dagster.transactions.measures.moment import LedgerAndLog, Quiet
from rtp_dagster.verdict import Metadata, Verdict
from rtp_workers.postgres.account import Account, Counted, summed
from rtp_workers.postgres.piecewise import PieceCount
from rtp_workers.postgres.recent import Recent
from rtp_workers.reconcile import balance
from rtp_workers.settings import DagsterSettings

TRANSACTIONS = dg.AssetKey("transactions")
COUNTED_UNTIL = "counted_until"  # metadata: the rows up to this time were counted, and agreed with the ledger
ERROR_FACTOR = 10  # if the share of dead letters is this many times the limit, it is an error, not just a warning


def judge_balance(found: Counted, settings: DagsterSettings) -> Verdict:
    """Judges whether the counters explain every offset, and whether the tables hold what the counters say."""
    account, unexplained = found.account, balance.offsets(found.account)
    problems = [*unexplained, *balance.counts(found)]
    figures: Metadata = {
        "rows": found.rows,
        "rows_by_ledger": account.stored_rows,
        "rows_missing": account.stored_rows - found.rows,
        "dead_letters": found.dead_letters,
        "dead_letters_by_ledger": account.stored_dead_letters,
        "purged_rows": account.purged_rows,
        "unbalanced_partitions": len(unexplained),
    }
    good = f"{found.rows:,} rows and {found.dead_letters:,} dead letters, as the ledger says"
    return Verdict(not problems, "; ".join([*problems, "see `rtp verify`"]) if problems else good, metadata=figures)


def judge_pieces(count: PieceCount, account: Account) -> Verdict:
    """Does the same with a count that was made in pieces and is done. `account` is the ledger now."""
    unexplained = balance.offsets(account)
    missing, letters = count.expected - count.counted, count.letters_missing
    problems = [*unexplained]
    if missing:
        problems.append(f"transactions had {count.counted:,} rows at {count.until}, the ledger said {count.expected:,}")
    if letters:
        problems.append(f"the ledger says {letters:,} more dead letters than there are")
    figures: Metadata = {
        "rows": count.counted,
        "rows_by_ledger": count.expected,
        "rows_missing": missing,
        "dead_letters_missing": letters,
        "purged_rows": account.purged_rows,
        "unbalanced_partitions": len(unexplained),
        COUNTED_UNTIL: count.until,
    }
    good = f"{count.counted:,} rows until {count.until}, as the ledger says; they were counted in pieces"
    return Verdict(not problems, "; ".join([*problems, "see `rtp verify`"]) if problems else good, metadata=figures)


def judge_counters(account: Account, counted_until: str) -> Verdict:
    """Judges only whether the counters explain every offset. Rows were counted in pieces, the last time as told."""
    unexplained = balance.offsets(account)
    figures: Metadata = {
        "rows_by_ledger": account.stored_rows,
        "unbalanced_partitions": len(unexplained),
        COUNTED_UNTIL: counted_until,
    }
    good = f"the counters explain every offset; the rows until {counted_until} were counted in pieces and agree"
    return Verdict(
        not unexplained, "; ".join([*unexplained, "see `rtp verify`"]) if unexplained else good, metadata=figures
    )


def judge_kafka(found: LedgerAndLog, settings: DagsterSettings) -> Verdict:
    """Judges whether the ledger's position is inside the log, so that every record up to it is accounted for."""
    look = found.look
    problems = [
        *balance.beyond(look.ledger_now, found.log_after),
        *balance.holes(balance.unread(look.ledger_now, look.log)),
    ]
    rows = look.ledger_now.values()
    records = sum(row.offsets for row in rows)
    figures: Metadata = {
        "topic_id": look.topic_id,
        "kafka_records": records,
        **asdict(summed(rows)),
        "not_yet_consumed": sum(look.lag.values()),
    }
    good = f"the ledger accounts for {records:,} records of the topic and is inside the log"
    return Verdict(not problems, "; ".join(problems) or good, metadata=figures)


def judge_keys(broken: list[str], settings: DagsterSettings) -> Verdict:
    """Judges whether the primary keys still make repeated ids impossible."""
    good = "the primary keys exist and are valid: no id can be stored twice"
    return Verdict(not broken, "; ".join(balance.keys(broken)) or good, metadata={"broken_keys": len(broken)})


def judge_freshness(found: Quiet, settings: DagsterSettings) -> Verdict:
    """Judges whether data still arrives. A quiet source is a warning. It is an error if records wait and none moves."""
    quiet_s, lag = found.quiet_s, found.lag
    figures: dict[str, int | float | str | bool | dg.MetadataValue] = {
        "lag_records": lag,
        "limit_s": settings.alert_quiet_s,
    }
    if quiet_s is None:
        return Verdict(False, "nothing has been written yet", dg.AssetCheckSeverity.WARN, figures)
    figures["quiet_s"] = round(quiet_s, 1)
    if quiet_s <= settings.alert_quiet_s:
        return Verdict(True, f"written {quiet_s:.0f} s ago", metadata=figures)
    since = f"nothing was written for {quiet_s:.0f} s (limit {settings.alert_quiet_s:g} s)"
    if lag:
        return Verdict(False, f"{since} while {lag:,} records wait: is the consumer running?", metadata=figures)
    return Verdict(False, f"{since}: the sources are quiet", dg.AssetCheckSeverity.WARN, figures)


def judge_dead_letters(recent: Recent, settings: DagsterSettings) -> Verdict:
    """Judges the share of dead letters among the latest records."""
    ratio, limit = recent.dead_letter_ratio, settings.alert_dead_letter_ratio
    figures: Metadata = {
        "ratio": round(ratio, 6),
        "limit": limit,
        "dead_letters": recent.dead_letters,
        "rows": recent.rows,
        "window_s": recent.window_s,
        "reasons": dg.MetadataValue.json(recent.reasons),
    }
    of = f"{recent.dead_letters:,} dead letters and {recent.rows:,} rows in the last {recent.window_s:.0f} s"
    if ratio <= limit:
        return Verdict(True, f"{of}: {ratio:.2%}", metadata=figures)
    severity = dg.AssetCheckSeverity.ERROR if ratio > ERROR_FACTOR * limit else dg.AssetCheckSeverity.WARN
    sentence = f"{of}: {ratio:.2%}, over {limit:.2%}; see `rtp dead-letters list`, correct the source, then replay them"
    return Verdict(False, sentence, severity, figures)


def judge_lag(found: Lag, settings: DagsterSettings) -> Verdict:
    """Judges how far the consumer is behind, in records and in time."""
    lag, waiting_s = found.records, found.waiting_s
    records, longest_s = sum(lag.values()), max(waiting_s.values(), default=0.0)
    figures: dict[str, int | float | str | bool | dg.MetadataValue] = {
        "lag_records": records,
        "lag_s": longest_s,
        "limit_records": settings.alert_lag_records,
        "limit_s": settings.alert_lag_s,
    }
    for number, left in sorted(lag.items()):
        figures[f"lag_records_partition_{number}"] = left
        figures[f"lag_s_partition_{number}"] = waiting_s.get(number, 0.0)
    sentence = f"{records:,} records wait, the oldest for {longest_s:g} s or more"
    if records > settings.alert_lag_records or longest_s >= settings.alert_lag_s:
        limits = f"limits {settings.alert_lag_records:,} records and {settings.alert_lag_s:g} s"
        text = f"{sentence} ({limits}): is the consumer running, and fast enough? See `rtp status`"
        return Verdict(False, text, dg.AssetCheckSeverity.WARN, figures)
    return Verdict(True, sentence if records else "no record waits", metadata=figures)
