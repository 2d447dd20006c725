"""What counts as nothing in a cell, and what surrounds a text without being part of it."""

from __future__ import annotations

BLANK = " \t\r\n\u00a0\u202f\ufeff"
PADDING = BLANK + "\"'"  # quotes that a broken export left around an id
NOTHING = frozenset({"", "/", "-", "--", "NULL", "null", "NaN", "nan", "None", "\\N"})


def recoded(text: str, read_as: str, earlier: str) -> str:
    """Returns what the same bytes are in another encoding, in which an earlier release read them.

    Args:
        text: as read now.
        read_as: the encoding in which it was read.
        earlier: the other one.
    """
    data = text.encode(read_as.removesuffix("-sig"), "surrogateescape")
    return data.decode(earlier, "surrogateescape")
