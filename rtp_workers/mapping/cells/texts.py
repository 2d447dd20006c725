"""What counts as nothing in a cell, and what stands around a text without being part of it."""

from __future__ import annotations

BLANK = " \t\r\n\u00a0\u202f\ufeff"
PADDING = BLANK + "\"'"  # quotes that a broken export left around an id
NOTHING = frozenset({"", "/", "-", "--", "NULL", "null", "NaN", "nan", "None", "\\N"})
