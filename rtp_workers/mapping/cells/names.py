"""Normalises header names so that case, accents, punctuation and camelCase do not matter."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_WORD = re.compile(r"[\W_]+", re.UNICODE)
_BRACKETS = re.compile(r"[(\[（【].*?[)\]）】]")
_CJK = re.compile("[぀-鿿가-힣]")
_UNDECOMPOSED = str.maketrans(
    {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss", "æ": "ae", "Æ": "AE", "ı": "i", "đ": "d", "Đ": "D"}
)


@lru_cache(maxsize=20_000)
def normalise(name: str) -> str:
    """Returns the words joined by single spaces: the same for ``Transaktions-Datum`` and ``transaktionsDatum``.

    Accents are removed (ü -> u), full-width characters become plain ones, CJK characters stay.
    """
    text = unicodedata.normalize("NFKC", name)
    text = _CAMEL.sub(" ", text).translate(_UNDECOMPOSED)
    # Decomposing also splits Hangul syllables and kana. Only marks that NFC cannot recombine are accents.
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in decomposed if not (unicodedata.combining(char) and ord(char) < 0x3000))
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFC", bare)).strip().lower()


@lru_cache(maxsize=20_000)
def compact(name: str) -> str:
    """Returns the normalised name without spaces: ``transactiondate`` equals ``Transaction Date``."""
    return normalise(name).replace(" ", "")


def without_brackets(name: str) -> str:
    """Returns the name without its bracketed part: ``Withdrawals (SGD)`` -> ``Withdrawals``."""
    return _BRACKETS.sub(" ", name).strip()


def bracketed(name: str) -> str:
    """Returns the text inside the brackets, or ``""``."""
    found = _BRACKETS.search(name)
    return found.group(0)[1:-1].strip() if found else ""


def is_cjk(text: str) -> bool:
    """True if the text contains Chinese, Japanese or Korean characters."""
    return _CJK.search(text) is not None
