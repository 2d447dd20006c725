"""What the consumer knows about itself, for the API, the metrics and the logs. Written by the loop, read by anyone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from rtp_workers import logs
from rtp_workers.consumer.batch_room import BatchRoom
from rtp_workers.consumer.clock_steps import ClockSteps
from rtp_workers.consumer.reasons import Reasons
from rtp_workers.postgres.batch import Counts
from rtp_workers.watchdog import Watchdog

RATE_WINDOW_S = 10.0
LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
log = logs.get(__name__)


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound, as Prometheus needs them. ``counts`` has one more entry, for values above every bound."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        """Adds `value` `times` times."""
        place = sum(1 for bound in self.bounds if value > bound)
        self.counts[place] += times
        self.total += value * times


@dataclass(frozen=True, slots=True)
class Written:
    """One committed batch. ``counts`` is None if only the ledger knows them (after a COMMIT without an answer)."""

    spans: Mapping[int, tuple[int, int]]
    counts: Mapping[int, Counts] | None
    rows: int
    seconds: float
    appended_ms: Sequence[int] = ()


@dataclass(slots=True)
class ConsumerState:
    """Counters since the start of this process, and its current state.

    Attributes:
        topic: name of a mapped topic, for the logs; None for our own.
        positions: next offset to store, by kafka_partition, as committed.
        log: (log start, end) by kafka_partition, as last seen.
        problems: what keeps records from flowing, by place: ``kafka``, ``postgres``, ``topic``, ``hole:3``, ...;
            replaced as a whole by `note_problems`, never changed in place.
        waiting: partitions that have not moved for seconds although records wait, with the cause if it is known. If it
            lasts, it becomes a problem.
        warnings: what a person should confirm while records flow, by place.
        login_problem, login_warning: why PostgreSQL refuses the login of rtp_ingest or rtp_read; else None.
        files_not_loaded: how many CSV files of the whole platform failed in their last attempt.
        rates: (monotonic seconds, records) of committed batches within the last `RATE_WINDOW_S`.
        settled_at: since when every partition of ours has an offset (monotonic); None while one waits for it.
        batch_room: how large a batch may be; None before the first session.
        watchdog: watches the threads that must not hang; the program starts it.
        latency_s: from Kafka's append to the commit in PostgreSQL, one sample per poll, of its oldest record.
        clock_steps: computes the age of records, and leaves it out if a clock was set in between.
        appended_at_s: when Kafka appended the records that were stored last (monotonic); None before the first.
        mapped: the states of topics that are not our own, by name; replaced as a whole.
        unmapped: topics that are wanted but not consumed, by name, with the reason and what to do; replaced as a whole.
    """

    topic: str | None = None
    topic_id: str | None = None
    positions: dict[int, int] = field(default_factory=dict)
    log: dict[int, tuple[int, int]] = field(default_factory=dict)
    assigned: set[int] = field(default_factory=set)
    paused: bool = False
    paused_reason: str | None = None
    problems: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    login_problem: str | None = None
    login_warning: str | None = None
    files_not_loaded: int = 0
    totals: Counts = field(default_factory=Counts)
    batches: int = 0
    retries: int = 0
    rebalances: int = 0
    unknown_fields: int = 0
    careful_records: int = 0
    rates: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=20_000))
    batch_rows: Histogram = field(default_factory=lambda: Histogram((1, 10, 100, 1_000, 5_000, 10_000, 20_000)))
    write_s: Histogram = field(default_factory=lambda: Histogram(LATENCY_BUCKETS_S))
    latency_s: Histogram = field(default_factory=lambda: Histogram(LATENCY_BUCKETS_S))
    clock_steps: ClockSteps = field(default_factory=ClockSteps)
    appended_at_s: float | None = None
    last_record_at: float = field(default_factory=time.monotonic)
    settled_at: float | None = None
    started_at_s: float = field(default_factory=time.monotonic)
    batch_room: BatchRoom | None = None
    watchdog: Watchdog = field(default_factory=Watchdog)
    mapped: dict[str, ConsumerState] = field(default_factory=dict)
    unmapped: dict[str, str] = field(default_factory=dict)
    _reasons: dict[str, Reasons] = field(default_factory=dict)

    def everything(self) -> dict[str, ConsumerState]:
        """Returns the states of all topics: our own under ``""``, the mapped ones by name."""
        return {"": self, **self.mapped}

    def all_problems(self) -> dict[str, str]:
        """Returns the problems of every topic, by place. Those of a mapped topic begin with its name."""
        found = dict(self.problems)
        if self.login_problem is not None:
            found["login"] = self.login_problem
        for name, state in sorted(self.mapped.items()):
            found |= {f"topic {name}, {where}": what for where, what in state.problems.items()}
        return found | {f"topic {name}": reason for name, reason in sorted(self.unmapped.items())}

    def all_warnings(self) -> dict[str, str]:
        """Returns what a person should look at while records flow, by place."""
        return self.warnings | ({} if self.login_warning is None else {"login": self.login_warning})

    def start_session(self, topic_id: str) -> None:
        """Records that a topic is consumed from now on. Nothing is assigned yet."""
        self.topic_id = topic_id
        self.positions = {}
        self.settled_at = None
        self.rebalances = 0

    def note_problems(self, problems: Mapping[str, str], unlogged: Set[str] = frozenset()) -> None:
        """Stores the problems for the API. Logs each new reason once, and the end of each problem.

        Args:
            problems: one sentence per place.
            unlogged: places that are not logged yet, because their problems are usual for a moment.
        """
        for where, reason in problems.items():
            if where not in unlogged and self._reasons.setdefault(where, Reasons()).is_new(reason):
                log.warning("problem", where=where, reason=reason, **self._named())
        for where in self.problems.keys() - problems.keys():
            if self._reasons.pop(where, None) is not None:
                log.info("problem_over", where=where, **self._named())
        self.problems = dict(problems)

    def _named(self) -> dict[str, str]:
        return {} if self.topic is None else {"topic": self.topic}

    def note_assignment(self, owned: set[int], *, waiting: bool) -> None:
        """Stores which partitions are ours, and whether one of them still waits for its offset."""
        self.assigned = owned
        if waiting or not self.rebalances:
            self.settled_at = None
        elif self.settled_at is None:
            self.settled_at = time.monotonic()

    def note_pause(self, paused: bool, reason: str | None) -> None:
        """Stores the platform-wide pause, and logs its start and its end."""
        if paused and not self.paused:
            log.info("paused", reason=reason)
        elif self.paused and not paused:
            log.info("resumed")
        self.paused, self.paused_reason = paused, reason

    def wrote(self, written: Written) -> None:
        """Notes a committed batch."""
        now = time.monotonic()
        for partition, (_, next_offset) in written.spans.items():
            self.positions[partition] = next_offset
        for counts in (written.counts or {}).values():
            self.totals.inserted += counts.inserted
            self.totals.duplicates += counts.duplicates
            self.totals.dead_lettered += counts.dead_lettered
            self.totals.skipped += counts.skipped
        self.batches += 1
        self.rates.append((now, written.rows))
        self.batch_rows.observe(written.rows)
        self.write_s.observe(written.seconds)
        for appended_ms in written.appended_ms:
            age_s = self.clock_steps.age_s(appended_ms)
            if age_s is not None:
                self.latency_s.observe(age_s)
                self.appended_at_s = now - age_s
        self.last_record_at = now

    def records_per_s(self) -> float:
        """Returns the rate of committed records over the last `RATE_WINDOW_S` seconds."""
        since = time.monotonic() - RATE_WINDOW_S
        return sum(rows for at, rows in list(self.rates) if at >= since) / RATE_WINDOW_S

    def lag(self) -> dict[int, int]:
        """Returns how many records are behind the end of the log, by kafka_partition, for this process's partitions."""
        return {
            partition: max(0, self.log[partition][1] - position)
            for partition, position in list(self.positions.items())
            if partition in self.assigned and partition in self.log
        }

    @property
    def ready(self) -> bool:
        """True unless something other than a pause keeps the records of this topic from flowing."""
        return not self.problems and self.login_problem is None
