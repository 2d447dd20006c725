"""Waits until the consumer has written what a load has sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import dagster as dg

from rtp_dagster.platform import PROBE_S, Platform
from rtp_workers.errors import TransientError
from rtp_workers.postgres.account import Account, read_account
from rtp_workers.postgres.control import read_pause
from rtp_workers.postgres.ledger import identity
from rtp_workers.reconcile.balance import lag
from rtp_workers.reconcile.why_waiting import Question, why_records_wait

POLL_S = 0.25
AWAY_POLL_S = 2.0
SHOW_EVERY_S = 10.0
UNKNOWN = "Is the consumer running, and not paused? See `rtp status`"


def waiting_records(account: Account, topic_id: str, last_offsets: Mapping[int, int]) -> dict[int, int]:
    """Returns how many offsets up to the load's last one the ledger lacks, by kafka_partition; without zeros."""
    sent = {number: (0, last + 1) for number, last in sorted(last_offsets.items())}
    return {number: left for number, left in lag(account, topic_id, sent).items() if left}


def await_offsets(
    platform: Platform,
    topic_id: str,
    last_offsets: Mapping[int, int],
    timeout_s: float,
    show: Callable[[str], None],
) -> None:
    """Waits until the ledger has passed these offsets. While PostgreSQL is away, it waits on.

    Args:
        platform: where the ledger is.
        topic_id: the topic that the offsets belong to.
        last_offsets: offset of the load's last record, by kafka_partition.
        timeout_s: how long the consumer may take.
        show: called every `SHOW_EVERY_S` seconds with a sentence about what still waits.

    Raises:
        dg.Failure: the ledger has not passed them in time. The message says how far it is. Nothing is lost then: the
            records are in Kafka.
    """
    deadline, shown_at = time.monotonic() + timeout_s, time.monotonic()
    state = ""
    while True:
        try:
            if _passed(platform, topic_id, last_offsets, deadline):
                return
            state = _state(platform, topic_id, last_offsets)
        except TransientError as error:
            state = str(error)
            time.sleep(AWAY_POLL_S)
        if time.monotonic() > deadline:
            why = _why(platform, topic_id, last_offsets)
            raise dg.Failure(
                f"loaded into Kafka, but not in PostgreSQL after {timeout_s:g} s: {state}. {why}. Nothing is lost; run "
                "the backfill again to continue waiting",
                allow_retries=False,
            )
        if time.monotonic() - shown_at > SHOW_EVERY_S:
            shown_at = time.monotonic()
            show(f"waiting for the consumer: {state}")


def _passed(platform: Platform, topic_id: str, last_offsets: Mapping[int, int], deadline: float) -> bool:
    """Watches the ledger over one connection for at most `SHOW_EVERY_S` seconds."""
    until = min(deadline, time.monotonic() + SHOW_EVERY_S)
    with platform.reader(PROBE_S) as connection:
        while waiting_records(read_account(connection), topic_id, last_offsets):
            if time.monotonic() > until:
                return False
            time.sleep(POLL_S)
    return True


def _state(platform: Platform, topic_id: str, last_offsets: Mapping[int, int]) -> str:
    with platform.reader(PROBE_S) as connection:
        waiting = waiting_records(read_account(connection), topic_id, last_offsets)
        pause = read_pause(connection)
    paused = f"; ingestion is paused ({pause.reason or 'no reason given'})" if pause.paused else ""
    each = ", ".join(f"partition {number} {left:,}" for number, left in waiting.items())
    return f"{sum(waiting.values()):,} records wait ({each}){paused}"


def _why(platform: Platform, topic_id: str, last_offsets: Mapping[int, int]) -> str:
    """Returns why these records wait, as far as PostgreSQL and Kafka know."""
    settings = platform.settings()
    try:
        with platform.reader(PROBE_S) as connection:
            account, pause, ledger_id = read_account(connection), read_pause(connection), identity(connection)
    except TransientError:
        return UNKNOWN  # the sentence from `_state` already says that PostgreSQL is away
    now = account.of_topic(topic_id)
    waiting = waiting_records(account, topic_id, last_offsets)
    positions = {number: now[number].next_offset if number in now else 0 for number in waiting}
    question = Question(settings.topic, settings.group_id, ledger_id, positions)
    return "; ".join(why_records_wait(platform.endpoints(), question, pause).sentences()) or UNKNOWN
