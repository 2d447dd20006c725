r"""Backslash escapes, as MySQL's ``INTO OUTFILE`` and PostgreSQL's ``COPY`` write them: ``\"``, ``\\``, ``\N``.

Each escape is hidden behind a character that no text has (Unicode reserves some that stand for nothing), so that lines
and cells can be cut as in any other CSV. Afterwards a cell shows what was meant; a line shows what the file has.
"""

from __future__ import annotations

import re

NULL = "N"
_MEANINGS = {
    '"': '"', "\\": "\\", "\n": "\n", "\r": "\r", "\t": "\t", ",": ",", ";": ";", "|": "|", "'": "'",
    "n": "\n", "r": "\r", "t": "\t", "0": "\x00", "b": "\b", "Z": "\x1a", "f": "\f", "v": "\v", NULL: NULL,
}  # fmt: skip
_HIDDEN = {"\\" + letter: chr(0xFDD0 + at) for at, letter in enumerate(_MEANINGS)}
_ESCAPE = re.compile(r"\\([" + re.escape("".join(_MEANINGS)) + "])")
_ORIGINAL = str.maketrans({hidden: escape for escape, hidden in _HIDDEN.items()})
_SHOWN = str.maketrans({_HIDDEN["\\" + letter]: meant for letter, meant in _MEANINGS.items()})
_ANY = re.compile("[\ufdd0-\ufdef]")
HIDDEN_NEWLINE = _HIDDEN["\\\n"]
HIDDEN_NULL = _HIDDEN["\\" + NULL]


def hidden(text: str) -> str:
    """Returns text in which every escape is one character that cuts neither a line nor a cell."""
    return _ESCAPE.sub(lambda found: _HIDDEN[found[0]], text) if "\\" in text else text


def original(text: str) -> str:
    """Returns text as the file has it."""
    return text.translate(_ORIGINAL) if _ANY.search(text) else text


def shown(cell: str) -> str:
    r"""Returns what a cell means: nothing for ``\N``."""
    if _ANY.search(cell) is None:
        return cell
    return "" if cell == HIDDEN_NULL else cell.translate(_SHOWN)
