"""The records of a run: from the seeded generator, so that every run moves the same ones."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from rtp_workers.generator.stream import Generator, World
from rtp_workers.record.transaction import FIELD_NAMES, Transaction

SEED = 20_260_101
START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 10_000


@dataclass(frozen=True)
class Records:
    """Encoded transactions and their keys, of one length."""

    keys: list[bytes]
    values: list[bytes]


def records(count: int) -> Records:
    """Returns `count` transactions."""
    made = Records([], [])
    for keys, values in _batches(count):
        made.keys.extend(keys)
        made.values.extend(values)
    return made


def write_csv(path: Path, made: Records) -> None:
    """Writes the records as a canonical CSV file."""
    decoder = msgspec.json.Decoder(Transaction)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELD_NAMES)
        for value in made.values:
            record = decoder.decode(value)
            attributes = msgspec.json.encode(record.attributes).decode() if record.attributes else ""
            writer.writerow([getattr(record, name) for name in FIELD_NAMES[:-1]] + [attributes])


def _batches(count: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
    generator = Generator(World(seed=SEED, start=START, speed=100.0))
    left = count
    while left:
        batch = generator.take(min(BATCH, left), 0)
        left -= len(batch.values)
        yield batch.keys, batch.values
