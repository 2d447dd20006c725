"""CSV files for tests: canonical rows with known content."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path

HEADER = (
    "transaction_id",
    "occurred_at",
    "amount",
    "customer_id",
    "merchant",
    "category",
    "currency",
    "payment_method",
    "status",
    "country",
)


def canonical_row(number: int) -> list[str]:
    """Returns the cells of one valid row; some optional ones are empty."""
    return [
        f"T{number:08d}",
        f"2026-01-{number % 28 + 1:02d}T12:{number % 60:02d}:00Z",
        f"{number % 1000}.{number % 100:02d}",
        f"C{number % 97}" if number % 5 else "",
        f"Shop {number % 31}",
        "food" if number % 3 else "",
        "EUR",
        "card",
        "booked",
        "DE",
    ]


def canonical_text(numbers: Sequence[int], *, header: bool = True) -> str:
    """Returns a canonical CSV of these rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(HEADER)
    writer.writerows(canonical_row(number) for number in numbers)
    return text.getvalue()


def write_settled(path: Path, data: str | bytes) -> Path:
    """Writes a file that looks finished: last touched a minute ago."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return settle(path)


def settle(path: Path) -> Path:
    """Makes a file look finished."""
    past = time.time() - 60
    os.utime(path, (past, past))
    return path
