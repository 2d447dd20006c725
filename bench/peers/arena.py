"""Runs contestants against the same servers: for speed, and through trials."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import Consumer, TopicPartition

from bench import raw
from bench.peers import counting, measure, table
from bench.peers.cases import Case
from bench.peers.measure import Speed
from bench.peers.peer import Peer, Target
from bench.peers.running import Running, Sampler
from bench.processes import ServerPids
from bench.records import Records
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.postgres.connection import Connection

FIRST_ROW_S = 600.0  # Java's start on a busy machine, and Kafka's 45 s until a killed member has left its group
STILL_S = 45.0
POLL_S = 0.5
AFTERWARDS_S = 3.0  # for what a contestant does after its last row, such as setting a record aside
STARTS = 2
CAUGHT_UP, STANDS_STILL, GAVE_UP = "caught up", "stands still", "gave up, process alive"


@dataclass(frozen=True)
class Trial:
    """How a contestant came through a case.

    Attributes:
        set_aside: records that it kept elsewhere, so that somebody can look at them.
        again: rows that it wrote over.
        state: at the end: caught up, ended with a code, gave up while its process is alive, or stands still.
        refused: records that cannot be stored, so that they have to be set aside.
    """

    peer: str
    case: str
    count: counting.Count
    set_aside: int
    again: int
    state: str
    refused: int = 0

    @property
    def is_right(self) -> bool:
        """Returns whether nothing is lost, twice or changed, and what could not be stored was set aside."""
        return self.count.is_exact and self.set_aside >= self.refused


@dataclass(frozen=True)
class Arena:
    """The servers of one run."""

    endpoints: Endpoints
    servers: ServerPids
    owner: Connection
    home: Path

    @contextmanager
    def topic(self, name: str, records: Records) -> Iterator[str]:
        """Makes a topic of these records, and deletes it afterwards."""
        delete_topic(self.endpoints, name)
        ensure_topic(self.endpoints, name)
        raw.produce(self.endpoints, name, records)
        try:
            yield name
        finally:
            delete_topic(self.endpoints, name)

    def measure(self, peer: Peer, topic: str, records: int) -> Speed:
        """Lets the contestant move the whole topic into its empty table and returns the figures.

        Raises:
            RuntimeError: it did not store every record; the message has the end of its output.
        """
        target = self._target(peer, topic)
        table.empty(self.owner)
        running = Running(peer.launch(target), target.folder)
        sampler = Sampler(running.process.pid, self.servers)
        try:
            state = self._settle(peer, running, records, exactly=False)
            stored = table.count(self.owner, peer.table)
            if stored != records:
                raise RuntimeError(
                    f"{peer.name} {state} with {stored:,} of {records:,} rows: {running.output()[-1500:]}"
                )
        finally:
            samples = sampler.stop()
            running.stop()
        window = measure.window(table.commits(self.owner, peer.table))
        return measure.speed(window, samples, psutil.cpu_count() or 1)

    def trial(self, peer: Peer, topic: str, case: Case) -> Trial:
        """Lets the contestant move the topic of a case; it is started again once if it ends or is killed."""
        target = self._target(peer, topic)
        table.empty(self.owner)
        _, updated_before = table.activity(self.owner, peer.table)
        state = ""
        for start in range(STARTS):
            running = Running(peer.launch(target), target.folder)
            try:
                if case.is_killed and start == 0:
                    self._kill_half_way(peer, running, len(case.wanted))
                    continue
                state = self._settle(peer, running, len(case.wanted), exactly=True)
                time.sleep(AFTERWARDS_S)
            finally:
                running.stop()
            if state in (CAUGHT_UP, STANDS_STILL):
                break
        time.sleep(AFTERWARDS_S)  # until PostgreSQL's statistics are complete
        return Trial(
            peer=peer.name,
            case=case.name,
            count=counting.compare(case.wanted, table.content(self.owner, peer.table)),
            set_aside=table.dead_letters(self.owner) + self._records_in(target.refused_topic),
            again=table.activity(self.owner, peer.table)[1] - updated_before,
            state=state,
            refused=case.refused,
        )

    def _target(self, peer: Peer, topic: str) -> Target:
        folder = self.home / "peers" / f"{topic}-{peer.name.replace(' ', '-').replace(',', '')}"
        folder.mkdir(parents=True)
        endpoints = self.endpoints
        return Target(endpoints.need("kafka_bootstrap"), topic, endpoints.need("postgres_dsn"), folder)

    def _settle(self, peer: Peer, running: Running, goal: int, exactly: bool) -> str:
        """Waits until the goal is reached, the contestant has ended, or nothing has moved for `STILL_S`."""
        before = table.activity(self.owner, peer.table)[0]
        seen, moved_at, patience = -1, time.monotonic(), FIRST_ROW_S
        while True:
            stored = table.count(self.owner, peer.table) if exactly else self._inserted(peer, before, goal)
            if stored >= goal:
                return CAUGHT_UP
            if not running.is_alive():
                return f"ended with code {running.process.returncode}"
            if peer.gave_up and peer.gave_up in running.output():
                return GAVE_UP
            if stored != seen:
                if seen >= 0:
                    patience = STILL_S
                seen, moved_at = stored, time.monotonic()
            if time.monotonic() - moved_at > patience:
                return STANDS_STILL
            time.sleep(POLL_S)

    def _inserted(self, peer: Peer, before: int, goal: int) -> int:
        """Counts from the statistics, which costs nothing, and truly only when they say that all is there."""
        inserted = table.activity(self.owner, peer.table)[0] - before
        return inserted if inserted < goal else table.count(self.owner, peer.table)

    def _kill_half_way(self, peer: Peer, running: Running, goal: int) -> None:
        deadline = time.monotonic() + FIRST_ROW_S
        while table.count(self.owner, peer.table) < goal * 0.4 and running.is_alive():
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        running.kill()

    def _records_in(self, topic: str) -> int:
        client = Consumer({"bootstrap.servers": self.endpoints.need("kafka_bootstrap"), "group.id": "peers-count"})
        try:
            known = client.list_topics(timeout=30).topics.get(topic)
            if known is None or known.error is not None:
                return 0
            marks = [client.get_watermark_offsets(TopicPartition(topic, number)) for number in known.partitions]
            return sum(high - low for low, high in marks)
        finally:
            client.close()
