"""Which characters count as blank in a cell, and which surround a text without being part of it."""

from __future__ import annotations

import re

BLANK = " \t\r\n\u00a0\u202f\ufeff"
PADDING = BLANK + "\"'"  # quotes that a broken export left around an id
LONGEST_ZERO = 10
NOTHING = frozenset({"", "/", "-", "--", "NULL", "null", "NaN", "nan", "None", "\\N"})
# What a spreadsheet's accounting format writes for zero: ``$-``, ``R$ -``, ``- €``.
_ZERO = re.compile(r"(?:[A-Z]{0,3}[$€£¥₹₩₽₺]|[A-Z]{3})\s*[-–]|[-–]\s*(?:[A-Z]{0,3}[$€£¥₹₩₽₺]|[A-Z]{3})")


def is_nothing(text: str) -> bool:
    """True for a stripped cell that is empty, or holds a sign for nothing."""
    return text in NOTHING or (len(text) <= LONGEST_ZERO and _ZERO.fullmatch(text) is not None)


def recoded(text: str, read_as: str, earlier: str) -> str:
    """Returns the text that the same bytes give in another encoding, in which an earlier release read them.

    Args:
        text: the text as read now.
        read_as: the encoding in which it was read.
        earlier: the encoding of the earlier release.
    """
    data = text.encode(read_as.removesuffix("-sig"), "surrogateescape")
    return data.decode(earlier, "surrogateescape")
