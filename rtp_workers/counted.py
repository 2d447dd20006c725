"""Words counts in sentences: one row, but two rows."""

from __future__ import annotations


def counted(number: int, noun: str, more: str | None = None) -> str:
    """Returns ``1 row``, ``2,000 rows``.

    Args:
        number: how many.
        noun: the word for one.
        more: the word for any other number, if it is not `noun` with an ``s``.
    """
    return f"{number:,} {noun if number == 1 else more or noun + 's'}"
