"""The ledger under any interleaving of reading, writing, crashes, a log that is rewritten and a ledger that goes back.

The consumer's own parts run here: what assigns, assembles, marks and compares. Kafka's log and PostgreSQL's tables are
lists and dictionaries, which hold what the real ones would.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rtp_workers.consumer import assembly
from rtp_workers.consumer.assembly import Assembler
from rtp_workers.consumer.assignment import Assignment
from rtp_workers.kafka.log_reader import Stretch
from rtp_workers.postgres.batch import Batch
from rtp_workers.postgres.ledger import Place
from rtp_workers.reconcile.log_comparison import compare, stretches
from rtp_workers.record.marks import mark_of
from tests.records import body

PARTITION = 0
MOST_WAITING = 2  # batches on their way into PostgreSQL


@pytest.fixture(autouse=True)
def sparse_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves most records of these small batches without a mark, as in a batch of thousands."""
    monkeypatch.setattr(assembly, "MARKS_A_BATCH", 2)


@dataclass(frozen=True)
class Message:
    """A record as Kafka's client hands it over."""

    at: int
    name: str

    def partition(self) -> int:
        return PARTITION

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return body(self.name)

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_000

    def headers(self) -> None:
        return None


@dataclass
class Row:
    """The ledger's row of one generation."""

    first: int
    next: int
    inserted: int = 0
    duplicates: int = 0
    marks: Any = ()


@dataclass
class Tables:
    """What PostgreSQL holds: the ledger, by generation, and the ids of the rows."""

    ledger: list[Row] = field(default_factory=lambda: [Row(0, 0)])
    ids: set[str] = field(default_factory=set)

    @property
    def place(self) -> Place:
        """Where the ledger stands."""
        return Place(self.ledger[-1].next, len(self.ledger) - 1, self.ledger[-1].marks)

    def write(self, batch: Batch) -> bool:
        """Writes a batch as one transaction; False where the ledger stands elsewhere."""
        span = batch.spans[PARTITION]
        if (span.start_offset, span.generation) != self.place[:2]:
            return False
        row = self.ledger[-1]
        for record in batch.records:
            name = record.name  # type: ignore[attr-defined]  # of Message
            row.duplicates += name in self.ids
            row.inserted += name not in self.ids
            self.ids.add(name)
        row.next, row.marks = span.next_offset, span.marks
        return True


class Ingestion(RuleBasedStateMachine):
    """One partition, one consumer."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Message] = []
        self.made = 0
        self.tables = Tables()
        self.saved = deepcopy(self.tables)
        self.unnoticed = False  # the connection has broken, and the client has not reported it yet
        self.begin()

    def begin(self) -> None:
        """Starts a consumer."""
        self.assignment = Assignment()
        self.assignment.assigned([PARTITION])
        self.assembler = Assembler("transactions", "id", self.assignment)
        self.waiting: list[Batch] = []

    def start_over(self) -> None:
        """Forgets what is not written, as the session does."""
        self.assembler.drop()
        self.assignment.reset()

    def open(self) -> None:
        """Has a pending partition resume where the ledger says, or in a new generation; as the control thread does."""
        if PARTITION not in self.assignment.pending:
            return
        place, end = self.tables.place, len(self.log)
        found = {span: Stretch([mark_of(self.log[at]) for at in span if at < end]) for span in stretches(place, 0)}
        compared = compare(place, 0, end, found)
        if not compared.same:
            resume_at = compared.agreed[-1].offset + 1 if compared.agreed else 0
            self.tables.ledger.append(Row(resume_at, resume_at, marks=compared.agreed))
            place = self.tables.place
        self.assignment.opened({PARTITION: place})

    @rule(count=st.integers(1, 40))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.log.append(Message(len(self.log), f"t{self.made}"))
            self.made += 1

    @rule(count=st.integers(1, 30))
    def poll(self, count: int) -> None:
        self.open()
        at = self.assignment.positions[PARTITION]
        if at > len(self.log):
            self.start_over()  # out of range
        else:
            self.assembler.add(self.log[at : at + count], {})

    @precondition(lambda self: self.assembler.has_work and len(self.waiting) < MOST_WAITING)
    @rule()
    def submit(self) -> None:
        self.waiting.append(self.assembler.take())

    @precondition(lambda self: bool(self.waiting))
    @rule()
    def write(self) -> None:
        batch = self.waiting.pop(0)
        current = self.assignment.is_current(PARTITION, batch.spans[PARTITION].epoch)
        if not current or not self.tables.write(batch):
            self.start_over()
            self.waiting.clear()  # of an older epoch now: the writing thread drops them before a partition is opened

    @precondition(lambda self: bool(self.log))
    @rule(lost=st.integers(1, 20), count=st.integers(0, 40))
    def rewrite(self, lost: int, count: int) -> None:
        """Kafka loses its last records; others take their offsets before anybody can look."""
        del self.log[-lost:]
        self.unnoticed = True
        for _ in range(count):
            self.append(1)

    @precondition(lambda self: not self.waiting)
    @rule(held=st.booleans(), before=st.integers(1, 30), lost=st.integers(1, 20), after=st.integers(1, 30))
    def rewrite_within_a_batch(self, held: bool, before: int, lost: int, after: int) -> None:
        """A batch gets records of the old log and then of the new one, and is written before anybody notices."""
        self.append(before)
        self.poll(before)
        if held and not self.unnoticed:
            self.hold()
        self.rewrite(lost, lost + after)
        self.poll(after)
        if self.assembler.has_work:
            self.submit()
            self.write()

    @precondition(lambda self: self.unnoticed)
    @rule()
    def notice(self) -> None:
        """The client reports that a connection broke."""
        self.unnoticed = False
        self.start_over()

    @precondition(lambda self: not self.unnoticed)
    @rule()
    def hold(self) -> None:
        """The client reports that no connection has broken."""
        self.assignment.connection_held()

    @rule()
    def crash(self) -> None:
        self.unnoticed = False
        self.begin()

    @rule()
    def save(self) -> None:
        self.saved = deepcopy(self.tables)

    @rule()
    def restore(self) -> None:
        """PostgreSQL goes back to an older state; the control thread notices it."""
        self.tables = deepcopy(self.saved)
        self.start_over()

    @invariant()
    def the_ledger_balances(self) -> None:
        assert all(row.next - row.first == row.inserted + row.duplicates for row in self.tables.ledger)
        assert sum(row.inserted for row in self.tables.ledger) == len(self.tables.ids)

    def teardown(self) -> None:
        """Lets everything come to rest: nothing that Kafka holds may be missing."""
        if self.unnoticed:
            self.notice()
        for _ in range(len(self.log) + 20):  # a batch of ten records a turn, and room for what starts over
            self.poll(10)
            if self.assembler.has_work and len(self.waiting) < MOST_WAITING:
                self.submit()
            if self.waiting:
                self.write()
        self.the_ledger_balances()
        assert self.tables.place.offset == len(self.log)
        assert {message.name for message in self.log} <= self.tables.ids


TestIngestion = Ingestion.TestCase
TestIngestion.settings = settings(max_examples=60, stateful_step_count=40)
