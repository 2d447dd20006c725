"""Which characters count as blank in a cell, and which surround a text without being part of it."""

from __future__ import annotations

BLANK = " \t\r\n\u00a0\u202f\ufeff"
PADDING = BLANK + "\"'"  # quotes that a broken export left around an id
NOTHING = frozenset({"", "/", "-", "--", "NULL", "null", "NaN", "nan", "None", "\\N"})


def recoded(text: str, read_as: str, earlier: str) -> str:
    """Returns the text that the same bytes give in another encoding, in which an earlier release read them.

    Args:
        text: the text as read now.
        read_as: the encoding in which it was read.
        earlier: the encoding of the earlier release.
    """
    data = text.encode(read_as.removesuffix("-sig"), "surrogateescape")
    return data.decode(earlier, "surrogateescape")
