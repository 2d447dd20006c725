"""Words that stand in cells: directions, balance lines, months, currencies, countries."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

from rtp_workers.mapping.names import normalise


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("rtp_workers.mapping").joinpath("words.toml").read_text("utf-8"))


@lru_cache(maxsize=8)
def word_list(name: str) -> frozenset[str]:
    """Returns one of the lists: ``currencies``, ``crypto``, ``whole_amounts`` or ``noise``."""
    return frozenset(_tables()["lists"][name].split())


@lru_cache(maxsize=50_000)
def currency_code(cell: str) -> str | None:
    """Returns the ISO 4217 code that a cell names by code, sign or word, or None."""
    text = cell.strip()
    upper = text.upper()
    if len(upper) == 3 and upper in word_list("currencies") | word_list("crypto"):
        return upper
    for sign, code in signs():
        if text == sign:
            return code or None
    names: dict[str, str] = _tables()["currency_names"]
    return names.get(normalise(text))


@lru_cache(maxsize=1)
def direction_words() -> dict[str, str]:
    """Returns normalised word -> ``debit``, ``credit`` or ``neutral``."""
    table = _tables()["direction"]
    return {normalise(word): kind for kind in ("neutral", "credit", "debit") for word in table[kind]}


@lru_cache(maxsize=1)
def direction_codes() -> frozenset[str]:
    """Returns words that mean a direction only in a column whose name says so."""
    return frozenset(normalise(word) for word in _tables()["direction"]["codes"])


@lru_cache(maxsize=1)
def months() -> dict[str, int]:
    """Returns normalised month names and abbreviations -> 1..12."""
    return {normalise(name): int(number) for number, names in _tables()["months"].items() for name in names}


@lru_cache(maxsize=1)
def signs() -> tuple[tuple[str, str], ...]:
    """Returns (currency sign, code or ``""``), longest first."""
    return tuple(sorted(_tables()["signs"].items(), key=lambda item: -len(item[0])))


@lru_cache(maxsize=1)
def zones() -> dict[str, int]:
    """Returns zone abbreviation -> minutes east of UTC."""
    return dict(_tables()["zones"])


@lru_cache(maxsize=50_000)
def is_balance_line(cell: str) -> bool:
    """True where the cell's text names a balance or a total instead of a transaction."""
    text = normalise(cell)
    if not text or len(text) > 60:
        return False
    table = _tables()["balance_lines"]
    return text in _whole_lines() or any(text.startswith(start) for start in table["starts"])


@lru_cache(maxsize=1)
def _whole_lines() -> frozenset[str]:
    return frozenset(normalise(text) for text in _tables()["balance_lines"]["whole"])


@lru_cache(maxsize=1)
def _balance_starts() -> frozenset[str]:
    return frozenset(normalise(text)[:4] for text in _tables()["balance_lines"]["starts"])


@lru_cache(maxsize=1)
def _balance_phrases() -> tuple[str, ...]:
    return tuple(normalise(text) for text in _tables()["balance_lines"]["starts"])


def looks_like_balance_line(cell: str) -> bool:
    """True where a description opens like that of a balance; single words (a shop called Total) do not count."""
    if cell[:4].lower() not in _first_letters():
        return False
    text = normalise(cell)
    return len(text) <= 60 and text.startswith(_balance_phrases())


@lru_cache(maxsize=1)
def _first_letters() -> frozenset[str]:
    plain = _balance_starts()
    accented = {text[:4].lower() for text in _tables()["balance_lines"]["starts"]}
    return frozenset(plain | accented | {"eröf", "erof", "nyit", "záró", "zaro"})
