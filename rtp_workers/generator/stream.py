"""The generator: an endless, reproducible stream of encoded transactions, read in batches of any size."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from rtp_workers.errors import ConfigError
from rtp_workers.generator.chaos import CORRUPT, CORRUPTIONS, DUPLICATE, FRESH, LATE, Chaos, Counts
from rtp_workers.generator.draws import BLOCK, Block, Drawer, Ints, Purchase
from rtp_workers.generator.encoding import Encoder, ids_of
from rtp_workers.generator.event_clock import HOUR_US, PresentClock, WarpedClock
from rtp_workers.generator.markets import BOOKED
from rtp_workers.generator.population import build_population

RECENT = 1_000  # how many records back a duplicate can be
BOOK = 8_192  # purchases that can still be refunded
BOOK_PER_BLOCK = 256
LATEST_START = datetime.fromisoformat("2100-01-01T00:00:00+00:00")
EARLIEST_START = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class World:
    """What determines the stream.

    Attributes:
        seed: the same seed, start and speed give the same records, ids included. With None, draws and ids are random,
            so two generators never collide; the population is the default one.
        start: event time of the first record. With None, event time is the `now` of each batch.
        speed: with `start`, how fast event time runs. Each record moves it by speed / 50 seconds on the average of a
            week, however fast the records are sent.
    """

    seed: int | None = None
    start: datetime | None = None
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.speed <= 1e6:
            raise ConfigError(f"speed {self.speed} is not valid: give a number above 0 and up to 1,000,000")
        if self.start is None:
            return
        if self.start.tzinfo is None:
            raise ConfigError(f"start {self.start.isoformat()} has no offset: add Z or e.g. +01:00")
        if not EARLIEST_START <= self.start < LATEST_START:
            raise ConfigError(f"start {self.start.isoformat()} is not valid: give a time from 1970 to 2099")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records ready to be produced: `keys` and `values` of the same length, and how many of each kind they are."""

    keys: list[bytes]
    values: list[bytes]
    counts: Counts


class Generator:
    """An endless stream. Not thread-safe. `chaos` may be replaced between two batches."""

    def __init__(self, world: World, chaos: Chaos | None = None) -> None:
        population = build_population(world.seed)
        draws, gaps, kinds, picks, lateness = (
            np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(world.seed).spawn(5)
        )
        self.chaos = chaos if chaos is not None else Chaos()
        self._drawer = Drawer(population, draws)
        self._encoder = Encoder(population)
        self._present = PresentClock()
        self._warped: WarpedClock | None = None
        if world.start is not None:
            self._warped = WarpedClock(world.start, world.speed, self._drawer.intensity(), gaps)
        # One source of randomness per purpose, each read once per record, so the stream does not depend on the batches.
        self._kinds, self._picks, self._lateness = kinds, picks, lateness
        self._book: list[Purchase] = []
        self._recent: deque[tuple[bytes, bytes]] = deque(maxlen=RECENT)
        self._block: Block | None = None
        self._times = np.empty(BLOCK, dtype=np.int64)
        self._next_slot = BLOCK

    def take(self, records: int, now_us: int) -> Batch:
        """Returns the next records of the stream.

        Args:
            records: how many, at least 1.
            now_us: the event time if the stream has no `start`, microseconds since the epoch.

        Raises:
            ConfigError: the event time has reached 2100.
        """
        if not self.chaos.any:
            keys, values = self._fresh(np.zeros(records, dtype=bool), now_us)
            self._recent.extend(zip(keys[-RECENT:], values[-RECENT:], strict=True))
            return Batch(keys, values, Counts(records=records, fresh=records))
        kinds = self._draw_kinds(records)
        keys, values = self._fresh(kinds[kinds != DUPLICATE] == LATE, now_us)
        return self._mix(kinds.tolist(), keys, values)

    def _draw_kinds(self, records: int) -> Ints:
        chosen = np.searchsorted(self.chaos.bounds(), self._kinds.random(records), "right")
        kinds: Ints = np.array([DUPLICATE, LATE, CORRUPT, FRESH])[chosen]
        repeats = np.flatnonzero(kinds == DUPLICATE)
        if not self._recent and repeats.size and not np.isin(kinds[: repeats[0]], (FRESH, LATE)).any():
            kinds[repeats[0]] = FRESH  # no valid record was sent yet that could be sent again
        return kinds

    def _mix(self, kinds: list[int], keys: list[bytes], values: list[bytes]) -> Batch:
        """Inserts duplicates between the new records, and breaks those that must be corrupt."""
        made = zip(keys, values, strict=True)
        records: list[tuple[bytes, bytes]] = []
        for kind in kinds:
            if kind == DUPLICATE:
                records.append(self._recent[int(self._picks.random() * len(self._recent))])
                continue
            key, value = next(made)
            if kind == CORRUPT:
                value = CORRUPTIONS[int(self._picks.random() * len(CORRUPTIONS))](value)
            else:
                self._recent.append((key, value))
            records.append((key, value))
        counts = Counts(
            records=len(kinds),
            fresh=kinds.count(FRESH),
            duplicate=kinds.count(DUPLICATE),
            late=kinds.count(LATE),
            corrupt=kinds.count(CORRUPT),
        )
        return Batch([key for key, _ in records], [value for _, value in records], counts)

    def _fresh(self, late: npt.NDArray[np.bool_], now_us: int) -> tuple[list[bytes], list[bytes]]:
        """Returns keys and values of the next ``len(late)`` transactions; those marked late are moved into the past."""
        keys: list[bytes] = []
        values: list[bytes] = []
        present = self._present.batch(len(late), now_us) if self._warped is None and len(late) else None
        while len(keys) < len(late):
            block = self._block_with_room(now_us)
            done = len(keys)
            slots = slice(self._next_slot, min(BLOCK, self._next_slot + len(late) - done))
            taken = slice(done, done + slots.stop - slots.start)
            if present is not None:
                self._times[slots] = present[taken]
            times = self._times[slots]
            more_keys, more_values = self._encoder.encode(block, slots, self._delayed(times, late[taken]), times)
            keys += more_keys
            values += more_values
            self._next_slot = slots.stop
        return keys, values

    def _delayed(self, times_us: Ints, late: npt.NDArray[np.bool_]) -> Ints:
        """Returns the times; those marked late are an hour to three days earlier, evenly distributed."""
        delayed = times_us.copy()
        hours = 1 + 71 * self._lateness.random(int(late.sum()))
        delayed[late] -= (hours * HOUR_US).astype(np.int64)
        return delayed

    def _block_with_room(self, now_us: int) -> Block:
        if self._block is not None and self._next_slot < BLOCK:
            return self._block
        self._remember_purchases()
        times = self._warped.block() if self._warped is not None else np.full(BLOCK, now_us, dtype=np.int64)
        self._block, refunded = self._drawer.draw(times // HOUR_US, self._book)
        self._book = [purchase for index, purchase in enumerate(self._book) if index not in refunded][-BOOK:]
        self._times, self._next_slot = times, 0
        return self._block

    def _remember_purchases(self) -> None:
        """Keeps some booked purchases of the finished block for refunds: only what was sent can be refunded."""
        block = self._block
        if block is None:
            return
        booked = np.flatnonzero(block.status == BOOKED)
        slots = booked[:: max(1, booked.size // BOOK_PER_BLOCK)]
        ids = ids_of(self._times[slots], block.id_bits[slots])
        columns = (block.customer, block.merchant, block.country, block.method, block.minor)
        facts = zip(*(column[slots].tolist() for column in columns), strict=True)
        self._book += [Purchase(name, *fact) for name, fact in zip(ids, facts, strict=True)]
