r"""Backslash escapes, as MySQL's ``INTO OUTFILE`` and PostgreSQL's ``COPY`` write them: ``\"``, ``\\``, ``\N``.

Each escape is replaced by a character that no text contains (Unicode reserves some noncharacters). Lines and cells can
then be split as in any other CSV. Afterwards, `shown` gives the meaning of a cell, and `original` the text of the file.
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
    """Returns the text with each escape replaced by one character that ends neither a line nor a cell."""
    return _ESCAPE.sub(lambda found: _HIDDEN[found[0]], text) if "\\" in text else text


def original(text: str) -> str:
    """Returns the text as it is in the file."""
    return text.translate(_ORIGINAL) if _ANY.search(text) else text


def shown(cell: str) -> str:
    r"""Returns the meaning of a cell: an empty text for ``\N``."""
    if _ANY.search(cell) is None:
        return cell
    return "" if cell == HIDDEN_NULL else cell.translate(_SHOWN)
