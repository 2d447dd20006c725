"""Text of others made safe to print: file names, cells, headers and what servers say may hold control sequences."""

from __future__ import annotations

import unicodedata

# Control characters, lone surrogates, line separators and invisible formatting (bidirectional marks among it), which
# could move the cursor, recolour the terminal, or show text in another order than it is in.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Cf", "Zl", "Zp"})
JOINERS = frozenset("\u200c\u200d")  # part of Persian words and of emoji


def printable(text: str, keep: str = "") -> str:
    """Returns `text` with what a terminal would act on escaped, as in ``\\x1b[31m``; letters of any script stay.

    Args:
        text: anything.
        keep: characters that stay although they are control characters, e.g. the newline of our own sentences.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep or not _hidden(char) else repr(char)[1:-1] for char in text)


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in HIDDEN_CATEGORIES and char not in JOINERS
