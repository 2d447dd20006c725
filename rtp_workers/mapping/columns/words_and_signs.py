"""Compares the words of a column with the signs of the amounts, row by row."""

from __future__ import annotations

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import direction_codes, direction_words, usual_direction_of
from rtp_workers.mapping.columns.profile import Profile

SIDES = frozenset({"debit", "credit"})
MOST_WORDS = 4  # in a cell that names a kind; a longer text says what happened, or to whom


def words_and_signs(profile: Profile, amount: Profile) -> list[tuple[str, str, bool]]:
    """Returns (word, side, whether the amount is negative) for each row with an amount and a word for a side."""
    rows = []
    for word, cell in zip(profile.column, amount.column, strict=True):
        kind, part = (side_of(word) if word else None), (amounts.take_apart(cell) if cell else None)
        if kind in SIDES and part is not None and part.number.strip("0.,"):
            rows.append((word, str(kind), part.negative))
    return rows


def side_of(cell: str) -> str | None:
    """Returns the side that a cell, or a word in it, names: ``BUY - MARKET`` is a debit."""
    kind = usual_direction_of(cell)
    if kind is not None:
        return kind
    words = set(normalise(cell).split()) - direction_codes()
    if len(words) > MOST_WORDS:
        return None
    inside = {direction_words().get(word, "") for word in words} & SIDES
    return inside.pop() if len(inside) == 1 else None


def sign_of(cell: str) -> int:
    """Returns -1 or 1, and 0 for a cell without an amount or with zero."""
    part = amounts.take_apart(cell) if cell else None
    if part is None or not part.number.strip("0.,"):
        return 0
    return -1 if part.negative else 1
