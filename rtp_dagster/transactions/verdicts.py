"""What figures mean: pure judgements, shared by the checks in a run and by the sensors at every tick."""

from __future__ import annotations

import dagster as dg

from rtp_dagster.transactions.measures.lag import Lag, lag_by_partition
from rtp_dagster.transactions.measures.moment import LedgerAndLog, Quiet
from rtp_dagster.verdict import Metadata, Verdict
from rtp_workers.postgres.balance import Balance, Recent
from rtp_workers.settings import DagsterSettings

TRANSACTIONS = dg.AssetKey("transactions")
ERROR_FACTOR = 10  # a share of dead letters this many times the limit is an error, not just a warning


def judge_balance(found: Balance, settings: DagsterSettings) -> Verdict:
    """Judges whether the counters explain every offset, and whether the tables hold what the counters say."""
    unbalanced = [row for row in found.ledger if row.next_offset - row.first_offset != row.accounted]
    problems = [
        f"topic {row.topic_id} partition {row.kafka_partition} has {row.next_offset - row.first_offset} offsets, "
        f"{row.accounted} accounted for"
        for row in unbalanced
    ]
    if found.rows != found.expected_rows:
        problems.append(f"transactions has {found.rows:,} rows, the ledger says {found.expected_rows:,}")
    if found.dead_letters != found.expected_dead_letters:
        problems.append(f"dead_letters has {found.dead_letters:,}, the ledger says {found.expected_dead_letters:,}")
    figures: Metadata = {
        "rows": found.rows,
        "rows_by_ledger": found.expected_rows,
        "rows_missing": found.expected_rows - found.rows,
        "dead_letters": found.dead_letters,
        "dead_letters_by_ledger": found.expected_dead_letters,
        "purged_rows": found.purged_rows,
        "unbalanced_partitions": len(unbalanced),
    }
    good = f"{found.rows:,} rows and {found.dead_letters:,} dead letters, as the ledger says"
    remedy = "; something other than the consumer and `rtp purge` changed them, see `rtp verify`"
    return Verdict(not problems, "; ".join(problems) + remedy if problems else good, metadata=figures)


def judge_kafka(found: LedgerAndLog, settings: DagsterSettings) -> Verdict:
    """Judges whether the ledger stands inside the log, so that every record up to it is accounted for."""
    look, log_after = found.look, found.log_after
    problems = []
    for number, row in sorted(look.ledger_now.items()):
        start, end = look.log.get(number, (0, 0))[0], log_after.get(number, (0, 0))[1]
        if row.next_offset > end:
            problems.append(
                f"partition {number}: the ledger is at {row.next_offset}, beyond the log's end {end}: "
                "Kafka lost records that are stored, or the ledger was edited"
            )
        if row.next_offset < start:
            problems.append(
                f"partition {number}: Kafka deleted offsets {row.next_offset} to {start} before they were consumed; "
                "accept the loss with `rtp resume --accept-holes`"
            )
    rows = look.ledger_now.values()
    records = sum(row.next_offset - row.first_offset for row in rows)
    figures: Metadata = {
        "topic_id": look.topic_id,
        "kafka_records": records,
        "inserted": sum(row.inserted for row in rows),
        "duplicates": sum(row.duplicates for row in rows),
        "dead_lettered": sum(row.dead_lettered for row in rows),
        "skipped": sum(row.skipped for row in rows),
        "not_yet_consumed": sum(lag_by_partition(look).values()),
    }
    good = f"the ledger accounts for {records:,} records of the topic and stands inside the log"
    return Verdict(not problems, "; ".join(problems) or good, metadata=figures)


def judge_keys(broken: list[str], settings: DagsterSettings) -> Verdict:
    """Judges whether the primary keys still make repeated ids impossible."""
    if broken:
        sentence = f"the primary key of {', '.join(broken)} is missing, invalid or on other columns: restore it at once"
        return Verdict(False, sentence, metadata={"broken_keys": len(broken)})
    return Verdict(True, "the primary keys are there and valid: no id can be stored twice", metadata={"broken_keys": 0})


def judge_freshness(found: Quiet, settings: DagsterSettings) -> Verdict:
    """Judges whether data still comes: a quiet source is a warning, records that wait while nothing moves an error."""
    quiet_s, lag = found.quiet_s, found.lag
    figures: dict[str, int | float | str | bool | dg.MetadataValue] = {
        "lag_records": lag,
        "limit_s": settings.alert_quiet_s,
    }
    if quiet_s is None:
        return Verdict(False, "nothing was ever written", dg.AssetCheckSeverity.WARN, figures)
    figures["quiet_s"] = round(quiet_s, 1)
    if quiet_s <= settings.alert_quiet_s:
        return Verdict(True, f"written {quiet_s:.0f} s ago", metadata=figures)
    since = f"nothing was written for {quiet_s:.0f} s (limit {settings.alert_quiet_s:g} s)"
    if lag:
        return Verdict(False, f"{since} while {lag:,} records wait: is the consumer running?", metadata=figures)
    return Verdict(False, f"{since}: the sources are quiet", dg.AssetCheckSeverity.WARN, figures)


def judge_dead_letters(recent: Recent, settings: DagsterSettings) -> Verdict:
    """Judges the share of dead letters among the records that came lately."""
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
