"""Words that occur in cells: directions, balance lines, months, currencies, countries."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from rtp_workers.mapping.cells.names import bracketed, normalise, without_brackets

MAX_BALANCE_TEXT = 60
MOST_WAY_WORDS = 4  # in a cell that names a kind
SIGNS = {"+": "credit", "-": "debit", "−": "debit", "–": "debit"}


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("rtp_workers.mapping.cells").joinpath("words.toml").read_text("utf-8"))


@lru_cache(maxsize=8)
def word_list(name: str) -> frozenset[str]:
    """Returns the list of that name, such as ``currencies``, ``crypto`` or ``noise``."""
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
    return names.get(normalise(text)) or _code_and_sign(text)


def _code_and_sign(text: str) -> str | None:
    """Returns the code of a name with its sign in brackets, such as ``TL (₺)``; None if they name two currencies."""
    inside = bracketed(text)
    if not inside or not text.endswith(")"):
        return None
    codes = {currency_code(part) for part in (inside, without_brackets(text))} - {None}
    return codes.pop() if len(codes) == 1 else None


@lru_cache(maxsize=20)
def field_words(field: str) -> frozenset[str]:
    """Returns the normalised words that are typical of a field's cells; empty if none are known."""
    return frozenset(normalise(word) for word in _tables()["field_words"].get(field, ()))


@lru_cache(maxsize=1)
def direction_words() -> dict[str, str]:
    """Maps each normalised word to ``debit``, ``credit`` or ``neutral``."""
    table = _tables()["direction"]
    return {normalise(word): kind for kind in ("neutral", "credit", "debit") for word in table[kind]}


@lru_cache(maxsize=20_000)
def direction_of(cell: str) -> str | None:
    """Returns ``debit``, ``credit`` or ``neutral`` if the cell is a word, a code or a sign for it, else None."""
    return usual_direction_of(cell) or _words_in_full().get(normalise(cell)) or _side_in_brackets(cell)


@lru_cache(maxsize=20_000)
def usual_direction_of(cell: str) -> str | None:
    """Does the same, without words that mean a side only where every cell of a column names one."""
    sign = cell.strip(" ()[]")
    if sign in SIGNS:
        return SIGNS[sign]
    text = normalise(cell)
    return direction_words().get(text) or _side_said_twice(text)


@lru_cache(maxsize=1)
def _words_in_full() -> dict[str, str]:
    table = _tables()["direction"]
    return {normalise(word): kind for kind in ("credit", "debit") for word in table[f"{kind}_in_full"]}


def _side_in_brackets(cell: str) -> str | None:
    """Returns the side at the end of ``DISCOUNT (DEBIT)``, but not of the card in ``Visa (Debit)``."""
    inside = bracketed(cell)
    if not inside or set(normalise(without_brackets(cell)).split()) & word_list("card_words"):
        return None
    return direction_words().get(normalise(inside))


def _side_said_twice(text: str) -> str | None:
    """Returns the side that two words agree on, as in ``借 Dr``."""
    words = text.split()
    sides = {direction_words().get(word) for word in words}
    return sides.pop() if len(words) == 2 and len(sides) == 1 else None


@lru_cache(maxsize=1)
def direction_codes() -> frozenset[str]:
    """Returns words that mean a direction only in a column whose name says so."""
    return frozenset(normalise(word) for word in _tables()["direction"]["codes"])


@lru_cache(maxsize=1)
def direction_views() -> frozenset[str]:
    """Returns words whose sign depends on the point of view: one side pays for what the other side sells."""
    return frozenset(normalise(word) for word in _tables()["direction"]["views"])


@lru_cache(maxsize=1)
def trade_words() -> frozenset[str]:
    """Returns words for buying and selling, normalised."""
    return frozenset(normalise(word) for word in _tables()["direction"]["trades"])


@lru_cache(maxsize=1)
def kind_words() -> frozenset[str]:
    """Returns words for what a broker's row is, normalised: a dividend, a fee, a purchase."""
    return frozenset(normalise(word) for word in _tables()["direction"]["kinds"])


@lru_cache(maxsize=2)
def _ways() -> dict[str, str]:
    table = _tables()["ways"]
    return {normalise(phrase): side for side, way in (("debit", "out"), ("credit", "into")) for phrase in table[way]}


@lru_cache(maxsize=20_000)
def way_of(cell: str) -> str | None:
    """Returns ``debit`` for a cell that speaks of purchases, ``credit`` of sales; None if of neither, or of both."""
    words = normalise(cell).split()
    if len(words) > MOST_WAY_WORDS:
        return None
    runs = (" ".join(words[at : at + size]) for at in range(len(words)) for size in (1, 2))
    sides = {_ways()[run] for run in runs if run in _ways()}
    return sides.pop() if len(sides) == 1 else None


@lru_cache(maxsize=1)
def opposite_kinds() -> tuple[tuple[str, str], ...]:
    """Returns pairs of kinds that are opposites, normalised. Which of the two is money out depends on who tells it."""
    return tuple((normalise(one), normalise(other)) for one, other in _tables()["ways"]["pairs"])


@lru_cache(maxsize=8)
def statement_words(kind: str) -> frozenset[str]:
    """Returns normalised words of the texts in a statement.

    Args:
        kind: ``received``, ``thanks``, ``refunds``, ``earnings``, ``sales``, ``withdrawals``; ``purchases``,
            ``payments`` and ``incomes`` are whole cells.
    """
    return frozenset(normalise(phrase) for phrase in _tables()["statement"][kind])


@lru_cache(maxsize=1)
def months() -> dict[str, int]:
    """Maps normalised month names and abbreviations to 1..12."""
    return {normalise(name): int(number) for number, names in _tables()["months"].items() for name in names}


@lru_cache(maxsize=1)
def signs() -> tuple[tuple[str, str], ...]:
    """Returns pairs of currency sign and code (or ``""``), the longest sign first."""
    return tuple(sorted(_tables()["signs"].items(), key=lambda item: -len(item[0])))


INVISIBLE = dict.fromkeys(map(ord, "\u200e\u200f\u061c\u202a\u202b\u202c\u2066\u2067\u2068\u2069"))


def sign_code(text: str) -> str | None:
    """Returns a currency sign's code; ``""`` if several currencies share the sign; None if it is not a sign."""
    return _codes_by_sign().get(text.translate(INVISIBLE).strip().lower())


@lru_cache(maxsize=1)
def _codes_by_sign() -> dict[str, str]:
    """Maps signs in lower case, with and without a point behind them, to codes. Of equal signs, the first counts."""
    found: dict[str, str] = {}
    for sign, code in signs():
        for written in (sign.lower(), f"{sign.lower()}."):
            found.setdefault(written, code)
    return found


@lru_cache(maxsize=1)
def _shared_signs() -> dict[str, tuple[str, ...]]:
    """Maps signs that several currencies share (in lower case, without a point) to their codes."""
    return {sign: tuple(codes.split()) for sign, codes in _tables()["shared_signs"].items()}


def sharing_currencies(sign: str) -> tuple[str, ...]:
    """Returns the codes of the currencies that share a sign; empty if it is another kind of text."""
    return _shared_signs().get(sign.translate(INVISIBLE).strip().lower().rstrip("."), ())


@lru_cache(maxsize=1)
def zones() -> dict[str, int]:
    """Maps a zone's abbreviation to minutes east of UTC."""
    return dict(_tables()["zones"])


@lru_cache(maxsize=1)
def zone_names() -> dict[str, str]:
    """Maps names of zones as programs write them to IANA names."""
    return dict(_tables()["zone_names"])


@lru_cache(maxsize=1)
def column_zones() -> dict[str, str]:
    """Maps abbreviations in a column's name that mean one zone only to its IANA name."""
    return dict(_tables()["column_zones"])


@lru_cache(maxsize=1)
def unsure_column_zones() -> dict[str, str]:
    """Maps abbreviations in a column's name that may mean several zones to the likeliest zone's IANA name."""
    return dict(_tables()["unsure_column_zones"])


@lru_cache(maxsize=50_000)
def is_balance_line(cell: str) -> bool:
    """True if the cell's text names a balance or a total instead of a transaction."""
    text = normalise(cell)
    if not text or len(text) > MAX_BALANCE_TEXT:
        return False
    table = _tables()["balance_lines"]
    return text in _whole_lines() or any(text.startswith(start) for start in table["starts"])


@lru_cache(maxsize=1)
def _whole_lines() -> frozenset[str]:
    return frozenset(normalise(text) for text in _tables()["balance_lines"]["whole"])


@lru_cache(maxsize=1)
def _balance_phrases() -> tuple[tuple[str, ...], frozenset[str]]:
    """Returns phrases with which a balance line begins, and texts that are a balance line as a whole."""
    table = _tables()["balance_lines"]
    whole = frozenset(normalise(text) for text in table["whole"]) - set(table["shops"])
    return tuple(normalise(text) for text in table["starts"]), whole


@lru_cache(maxsize=1)
def _balance_opening() -> re.Pattern[str]:
    """Returns a pattern for a quick first test: texts that begin like a balance line, with or without accents."""
    starts, whole = _balance_phrases()
    openings = {text[:3] for text in (*starts, *whole)} | {"erö", "zár", "poč"}
    return re.compile(rf"\W*(?:{'|'.join(map(re.escape, sorted(openings)))})", re.IGNORECASE)


def may_hold_balance_line(cells: Sequence[str]) -> bool:
    """True if some cell may be a balance line. A quick first test of a whole column."""
    return _balance_column().search("\n" + "\n".join(cells).lower()) is not None


@lru_cache(maxsize=1)
def _balance_column() -> re.Pattern[str]:
    return re.compile(r"\n(?:[^\w\n]*)" + _balance_opening().pattern.removeprefix(r"\W*"))


def looks_like_balance_line(cell: str) -> bool:
    """True if the text alone shows that the row is a balance. A shop called Total does not count."""
    if _balance_opening().match(cell) is None or len(cell) > MAX_BALANCE_TEXT:
        return False
    starts, whole = _balance_phrases()
    text = normalise(cell)
    return text in whole or text.startswith(starts)
