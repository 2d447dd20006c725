"""Payment events of public systems, in the shape that their documentation gives them, with made-up content.

A shape says where its fields are described, what of it must be asked for, and what a row must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """One kind of event.

    Attributes:
        name: also the topic's.
        described_at: the public page that names the fields.
        document: the n-th event.
        row: fields of the n-th event's row, as text; those left out are not looked at.
        asked: record fields that must be asked about, because the events do not tell.
        answers: lines of the section that answer.
        attributes: a path that must stay in ``attributes``, and the n-th value.
        consumable: False where the events hold no amount, so that they can never be transactions.
    """

    name: str
    described_at: str
    document: Callable[[int], Document]
    row: Callable[[int], dict[str, str | None]] = lambda n: {}
    asked: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    attributes: Callable[[int], dict[str, Any]] = lambda n: {}
    consumable: bool = True


MERCHANTS = ("Corner Café", "Blue Bottle Books", "Rail & Go", "Nordic Fish Co", "Ali's Kebab", "Green Grocer")
CURRENCIES = ("EUR", "USD", "GBP")


def merchant(n: int) -> str:
    return MERCHANTS[n % len(MERCHANTS)]


def cents(n: int) -> int:
    """Returns an amount in cents, positive, that differs from its neighbours'."""
    return 199 + n * 1_037


def decimal(n: int) -> str:
    whole, rest = divmod(cents(n), 100)
    return f"{whole}.{rest:02d}"


def second(n: int) -> int:
    """Returns seconds since 1970, from the evening of 2026-01-31 on, a few minutes apart."""
    return 1_769_880_000 + n * 433


def instant(n: int) -> str:
    """Returns the same moment as `second` in UTC, as RFC 3339."""
    return datetime.fromtimestamp(second(n), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(n: int) -> str:
    return instant(n)[:10]


def all_shapes() -> list[Shape]:
    """Returns every shape."""
    from tests.topic_shapes import banks, processors, shops

    return [*processors.SHAPES, *banks.SHAPES, *shops.SHAPES]


def answered(section_text: str, shape: Shape) -> str:
    """Returns the section with the shape's answers in the place of its open keys."""
    lines = section_text.splitlines()
    for answer in shape.answers:
        key = answer.partition(" = ")[0]
        lines = [line for line in lines if not line.startswith(f"{key} = ")] + [answer]
    return "\n".join(lines) + "\n"


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row's fields with the amount as a number: 1.5 and 1.50 are the same."""
    return {name: Decimal(value) if name == "amount" else value for name, value in row.items()}
