"""What /status, the page and /health/ready say: the process's own counters, and what PostgreSQL says."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rtp_workers.consumer.api_reads import Cached, ConnectionThreads
from rtp_workers.consumer.balance_line import BalanceLine, read_balance
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.watching import Watcher
from rtp_workers.errors import TransientError
from rtp_workers.postgres import latest
from rtp_workers.postgres.account import Account, LedgerRow, read_account, summed
from rtp_workers.postgres.batch import Counts
from rtp_workers.postgres.latest import PREVIEW_CHARACTERS, LetterPreview
from rtp_workers.settings import ConsumerSettings

READ_EVERY_S = 1.0
BALANCE_EVERY_S = 3.0
# A count that takes 0.3 s is made every 15 s: at most 2% of a core.
BALANCE_COST_FACTOR = 50.0
FEW, MANY = 50, 1_000
ON_PAGE = 15
IDLE_AFTER_S = 3.0


class Reads:
    """Everything that the API reads from PostgreSQL, each at most once a second for all clients together."""

    def __init__(self, threads: ConnectionThreads) -> None:
        self.account = Cached(threads, read_account, READ_EVERY_S)
        self.balance = Cached(threads, read_balance, BALANCE_EVERY_S, BALANCE_COST_FACTOR)
        self._rows = {limit: Cached(threads, _rows(limit), READ_EVERY_S, 10) for limit in (FEW, MANY)}
        self._letters = {limit: Cached(threads, _letters(limit), READ_EVERY_S, 10) for limit in (FEW, MANY)}

    def rows(self, limit: int) -> Cached[list[str]]:
        """Returns the latest rows, each as JSON text: at least `limit` of them, if there are that many."""
        return self._rows[FEW if limit <= FEW else MANY]

    def letters(self, limit: int) -> Cached[list[str]]:
        """Returns the newest dead letters, in the same way."""
        return self._letters[FEW if limit <= FEW else MANY]

    def expire(self) -> None:
        """Drops every answer, because something was changed."""
        for cached in (self.account, *self._rows.values(), *self._letters.values()):
            cached.expire()


@dataclass(frozen=True, slots=True)
class Known:
    """The last answers of PostgreSQL; None for those that it has not given yet."""

    account: Account | None
    trouble: str | None
    balance: BalanceLine | None


class StatusView:
    """Puts the status together. Belongs to the server's event loop.

    Args:
        settings: topic and group.
        watcher: samples the process's own state.
        reads: cached reads from PostgreSQL.
    """

    def __init__(self, settings: ConsumerSettings, watcher: Watcher, reads: Reads) -> None:
        self._settings = settings
        self._watcher = watcher
        self._reads = reads
        self._text = b""
        self._made_at = float("-inf")

    async def text(self) -> bytes:
        """Returns the status as JSON. It is built at most four times a second."""
        if time.monotonic() - self._made_at > 0.25:
            trouble = None
            try:
                await self._reads.account.get()
            except TransientError as error:
                trouble = str(error)
            known = Known(None if trouble else self._reads.account.peek(), trouble, self._balance())
            self._text = json.dumps(self.build(known), separators=(",", ":")).encode()
            self._made_at = time.monotonic()
        return self._text

    def event(self) -> dict[str, Any]:
        """Returns what the live page shows: status, latest rows and dead letters. Does not wait."""
        reads = self._reads
        account = reads.account.peek()
        trouble = reads.account.trouble
        rows, letters = reads.rows(FEW).peek() or [], reads.letters(FEW).peek() or []
        return {
            "at_s": round(time.time(), 2),
            **self.build(Known(None if trouble else account, trouble, self._balance())),
            "transactions": [json.loads(row) for row in rows[:ON_PAGE]],
            "letters": [json.loads(letter) for letter in letters[:ON_PAGE]],
        }

    def history(self) -> dict[str, list[float | None]]:
        """Returns the last two minutes as columns."""
        moments = [asdict(moment) for moment in self._watcher.history()]
        names = ("at_s", "records_per_s", "lag_records", "lag_s", "latency_p50_s", "latency_p95_s")
        return {name: [moment[name] for moment in moments] for name in names}

    def build(self, known: Known) -> dict[str, Any]:
        """Returns the status, with the keys of `api_messages.Status`."""
        state, now = self._watcher.state, self._watcher.now
        partitions = self._partitions(state, known.account)
        lags = [partition["lag_records"] for partition in partitions]
        ages = [partition["lag_s"] for partition in partitions if partition["lag_s"] is not None]
        return {
            "state": _phase(state),
            "problems": state.all_problems(),
            "waiting": dict(state.waiting),
            "warnings": state.all_warnings(),
            "paused": state.paused,
            "paused_reason": state.paused_reason,
            "topic": self._settings.topic,
            "topic_id": state.topic_id,
            "group_id": self._settings.group_id,
            "records_per_s": now.records_per_s,
            "lag_records": None if not lags or None in lags else sum(lags),
            "lag_s": max(ages, default=None),
            "latency_p50_s": now.latency_p50_s,
            "latency_p95_s": now.latency_p95_s,
            "partitions": partitions,
            "topics": [self._topic(name, mapped, known.account) for name, mapped in sorted(state.mapped.items())],
            "topics_not_consumed": dict(state.unmapped),
            "ledger": None if known.account is None else _ledger_sums(known.account, state.topic_id),
            "ledger_trouble": known.trouble,
            "balance": None if known.balance is None else asdict(known.balance),
            "since_start": _sums(state.totals),
            "batches": state.batches,
            "write_retries": state.retries,
            "rebalances": state.rebalances,
            "unknown_fields": state.unknown_fields,
            "careful_records": state.careful_records,
            "uptime_s": round(time.monotonic() - state.started_at_s, 1),
        }

    def _topic(self, name: str, state: ConsumerState, account: Account | None) -> dict[str, Any]:
        """Returns the figures of a mapped topic."""
        rows = {} if account is None else account.of_topic(state.topic_id)
        lags = [partition["lag_records"] for partition in self._partitions(state, account)]
        return {
            "topic": name,
            "topic_id": state.topic_id,
            "state": _phase(state),
            "problems": dict(state.problems),
            "partitions": len(state.assigned),
            "records_per_s": round(state.records_per_s(), 1),
            "lag_records": None if not lags or None in lags else sum(lags),
            **asdict(summed(rows.values())),
        }

    def _balance(self) -> BalanceLine | None:
        balance = self._reads.balance.peek()
        return None if self._reads.balance.trouble else balance

    def _partitions(self, state: ConsumerState, account: Account | None) -> list[dict[str, Any]]:
        """Returns the figures of all partitions of a topic, whichever process of the group owns them."""
        ledger = {} if account is None else account.of_topic(state.topic_id)
        return [
            self._partition(state, number, ledger.get(number), account is not None)
            for number in sorted({*state.log, *state.positions})
        ]

    def _partition(
        self, state: ConsumerState, number: int, row: LedgerRow | None, ledger_known: bool
    ) -> dict[str, Any]:
        start, end = state.log.get(number, (0, 0))
        position = _further(state.positions.get(number), row)
        if position is None and ledger_known:
            position = start  # a new partition: the ledger does not have it, so it will be read from its beginning
        return {
            "kafka_partition": number,
            "assigned": number in state.assigned,
            "problem": state.problems.get(f"partition {number}") or state.waiting.get(f"partition {number}"),
            "log_start": start,
            # The log's end may be older than our position, because Kafka is asked less often than records are stored.
            "log_end": end if position is None else max(end, position),
            "position": position,
            "lag_records": None if position is None else max(0, end - position),
            "lag_s": None if position is None else round(self._watcher.lag_s(number, position, state), 1),
            **(_sums(row) if row is not None else dict.fromkeys(_SUMS)),
        }


def not_ready(state: ConsumerState) -> str | None:
    """Returns what keeps records from flowing, or None. A pause does not count, because a person asked for it."""
    if not state.all_problems() and state.settled_at is None:
        return "waiting for its share of the topic's partitions; this takes seconds"
    return said(state.all_problems()) or None


def said(problems: Mapping[str, str]) -> str:
    """Returns the problems as one line."""
    return "; ".join(f"{where}: {what}" for where, what in sorted(problems.items()))


def letter_text(letter: LetterPreview) -> str:
    """Returns a dead letter as JSON text, with the beginning of its value as text."""
    fields = json.loads(letter.fields)
    text, cut = None, False
    if letter.value is not None:
        whole = letter.value.decode("utf-8", "replace")
        text, cut = (
            whole[:PREVIEW_CHARACTERS],
            len(whole) > PREVIEW_CHARACTERS or fields["value_bytes"] > len(letter.value),
        )
    return json.dumps({**fields, "value": text, "value_cut": cut}, separators=(",", ":"))


_SUMS = ("inserted", "duplicates", "dead_lettered", "skipped")


def _further(own: int | None, row: LedgerRow | None) -> int | None:
    """Returns the later of two positions. The ledger's may be a second old; ours may be of a partition given up."""
    if own is None or row is None:
        return own if row is None else row.next_offset
    return max(own, row.next_offset)


def _sums(counts: Counts | LedgerRow) -> dict[str, int]:
    return {name: getattr(counts, name) for name in _SUMS}


def _ledger_sums(account: Account, topic_id: str | None) -> dict[str, Any]:
    rows = account.of_topic(topic_id).values()
    return {
        "offsets": sum(row.offsets for row in rows),
        **asdict(summed(rows)),
        "rows": account.stored_rows,
        "dead_letters": account.stored_dead_letters,
        "purged_rows": account.purged_rows,
        "purged_dead_letters": account.purged_dead_letters,
        "last_write_at": None if account.updated_at is None else account.updated_at.isoformat(),
    }


def _phase(state: ConsumerState) -> str:
    if state.problems:
        return "stuck" if all(where.startswith("partition ") for where in state.problems) else "trouble"
    if state.paused:
        return "paused"
    if state.settled_at is None:
        return "starting"
    return "streaming" if time.monotonic() - state.last_record_at < IDLE_AFTER_S else "idle"


def _rows(limit: int) -> Any:
    return lambda connection: latest.latest_rows(connection, limit)


def _letters(limit: int) -> Any:
    return lambda connection: [letter_text(letter) for letter in latest.newest_letters(connection, limit)]
