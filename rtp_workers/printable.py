"""Makes foreign text safe to print: file names, cells, headers and server messages may contain control sequences."""

from __future__ import annotations

import unicodedata

# Control characters, lone surrogates, line separators and invisible formatting (including bidirectional marks). They
# could move the cursor, recolour the terminal, or show text in another order.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Cf", "Zl", "Zp"})
JOINERS = frozenset("\u200c\u200d")  # part of Persian and Indian words and of emoji
JOINED_FROM = "\u0590"  # scripts that need joiners lie above; between Latin letters a joiner only hides


def printable(text: str, keep: str = "") -> str:
    """Returns `text` with everything escaped that a terminal would act on (``\\x1b[31m``); letters of any script stay.

    Args:
        text: anything.
        keep: control characters that stay, e.g. the newline of our own sentences.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char in keep or not _hidden(char, text[max(0, at - 1)], text[at + 1 : at + 2]) else repr(char)[1:-1]
        for at, char in enumerate(text)
    )


def _hidden(char: str, before: str, after: str) -> bool:
    if char in JOINERS and before >= JOINED_FROM and after >= JOINED_FROM:
        return False
    return unicodedata.category(char) in HIDDEN_CATEGORIES
