"""Amounts as people write them -> plain decimals. Exact: a float is never involved."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

from rtp_workers.mapping.cells.words import sign_code, word_list

# Python's decimal rounds results to 28 digits by default, and an amount may have more.
EXACT = Context(prec=200)
SPACES = " \u00a0\u202f\u2009\t"
APOSTROPHES = "'’"
MINUS = "-−–"
_SIGN = re.escape("+" + MINUS)
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_SCIENTIFIC = re.compile(r"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]{1,2}")
_PARTS = re.compile(
    rf"(?P<open>\()?[{SPACES}]*(?P<sign>[{_SIGN}])?[{SPACES}]*(?P<pre>(?:[^0-9.,{_SIGN}()]|\.(?![0-9]))*)[{SPACES}]*"
    rf"(?P<inner>[{_SIGN}])?[{SPACES}]*(?P<number>[0-9][0-9.,{APOSTROPHES}{SPACES}]*|[.,][0-9]+)"
    rf"(?P<tail>[{_SIGN}])?[{SPACES}]*(?P<post>[^0-9(),{_SIGN}]*?)(?P<last>[{_SIGN}])?[{SPACES}]*(?P<close>\))?"
)
_GROUPED = re.compile(rf"[0-9]{{1,3}}(?:[{SPACES}.,{APOSTROPHES}][0-9]{{2,3}})*(?:[{SPACES}]?[.,][{SPACES}]?[0-9]*)?")
_BRACKETED = re.compile(rf"([^0-9.,{_SIGN}()]+)\(([^()]+)\)")
_CREDIT_DEBIT = {"cr": 1, "cr.": 1, "dr": -1, "dr.": -1, "c": 1, "d": -1, "s": -1, "h": 1}


@dataclass(frozen=True, slots=True)
class Marks:
    """The decimal mark (one character) and the thousands marks (any of the characters; "" for none)."""

    decimal: str = "."
    thousands: str = ""


@dataclass(frozen=True, slots=True)
class Amount:
    """A parsed cell. ``value`` is a plain decimal; ``currency`` is the code next to it, or None."""

    value: str
    currency: str | None


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a cell. The number is still as written.

    Attributes:
        negative: True if the cell has a minus, parentheses or DR.
        currency: the currency's code; ``""`` if a sign or name is next to the number that has no three-letter code of
            its own; None if nothing is next to it.
    """

    number: str
    negative: bool
    currency: str | None


@lru_cache(maxsize=20_000)
def take_apart(cell: str) -> Parts | None:
    """Returns sign, number and currency of a cell; None if it is not an amount."""
    text = cell.strip().strip('"').strip()
    if (bracketed := _BRACKETED.fullmatch(text)) is not None:  # $(250.00) is ($250.00)
        text = f"({bracketed[1]}{bracketed[2]})"
    found = _PARTS.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    written = [mark for mark in (found["sign"], found["inner"], found["tail"], found["last"]) if mark]
    if len(written) > 1 or (written and found["open"]):
        return None
    number, before = found["number"].strip(), found["pre"].strip()
    if any(mark in number for mark in SPACES) and _GROUPED.fullmatch(number) is None:
        return None  # 9053 06 20149 is an account
    if number.startswith(".") and before[-1:].isalpha():
        # "Rs.500" is five hundred, not a half: the point belongs to an abbreviation that is known to end with one.
        if _currency_of(f"{before}.") is None:
            return None
        number = number[1:]
    word = found["post"].strip()
    side = _CREDIT_DEBIT.get(word.lower(), 0)
    codes = [_currency_of(text) for text in (before, "" if side else word) if text]
    if any(code is None for code in codes) or len({code for code in codes if code}) > 1:
        return None
    negative = bool(found["open"]) or (bool(written) and written[0] in MINUS)
    if side and not negative:
        negative = side < 0
    return Parts(number, negative, next((code for code in codes if code), "" if codes else None))


def _currency_of(text: str) -> str | None:
    """Returns a code; ``""`` for a sign that several currencies share; None if the text is not a currency."""
    if (upper := text.upper()) in word_list("currencies") or upper in word_list("crypto"):
        return upper if len(upper) == 3 else ""
    return sign_code(text)


@lru_cache(maxsize=64)
def _number(marks: Marks) -> re.Pattern[str]:
    decimal = re.escape(marks.decimal)
    if not marks.thousands:
        return re.compile(rf"([0-9]*)(?:{decimal}([0-9]*))?")
    group = f"[{re.escape(marks.thousands)}]"
    return re.compile(rf"([0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}}|[0-9]*)(?:{decimal}([0-9]*))?")


def parse(cell: str, marks: Marks) -> Amount | None:
    """Returns the amount of a cell; None if it is not an amount in this format.

    A number whose grouping is wrong (``1,23`` with a decimal point) is refused rather than read as another number.
    """
    if marks.decimal == "." and _PLAIN.fullmatch(cell) and (cell[0] != "-" or cell.strip("-0.")):
        return Amount(cell, None)
    if _SCIENTIFIC.fullmatch(cell.strip()):
        return Amount(format(Decimal(cell.strip()), "f"), None)
    parts = take_apart(cell)
    if parts is None:
        return None
    found = _number(marks).fullmatch(parts.number)
    if found is None:
        return None
    whole = "".join(char for char in found[1] if char.isdigit())
    fraction = found[2] or ""
    if not whole and not fraction:
        return None
    value = f"{whole or '0'}.{fraction}" if fraction else whole
    if parts.negative and value.strip("0."):
        value = "-" + value
    return Amount(value, parts.currency or None)


def negated(value: str) -> str:
    """Returns the plain decimal with the opposite sign. Zero has no sign."""
    if value.startswith("-"):
        return value[1:]
    return "-" + value if value.strip("0.") else value


def minor_to_major(value: str) -> str:
    """Converts cents to a decimal: ``1999`` -> ``19.99``. A fraction of a cent is kept."""
    return shifted(value, -2)


def shifted(value: str, digits: int) -> str:
    """Moves the point of a plain decimal. Every digit is kept."""
    return format(Decimal(value).scaleb(digits, EXACT), "f")


@dataclass(slots=True)
class Evidence:
    """What a column's cells show about its marks. All values count cells.

    Attributes:
        decimal: mark -> cells in which it can only be the decimal mark.
        thousands: mark -> cells in which it can only be a thousands mark.
        either: mark -> cells like ``1,234``, in which it can be either.
        plain: whole numbers without any mark; ``long_plain`` counts those with more than three digits.
    """

    decimal: Counter[str]
    thousands: Counter[str]
    either: Counter[str]
    plain: int = 0
    long_plain: int = 0
    cells: int = 0


def evidence_of(cells: Iterable[str]) -> Evidence:
    """Collects the evidence from the cells that are amounts. Other cells are skipped."""
    seen = Evidence(Counter(), Counter(), Counter())
    for cell in cells:
        if _SCIENTIFIC.fullmatch(cell.strip()) or (parts := take_apart(cell)) is None:
            continue
        seen.cells += 1
        _weigh(parts.number, seen)
    return seen


def _weigh(number: str, seen: Evidence) -> None:
    for mark in {char for char in number if char in SPACES + APOSTROPHES}:
        seen.thousands[mark] += 1
    marks = [char for char in number if char in ".,"]
    kinds = set(marks)
    if not marks:
        seen.plain += 1
        seen.long_plain += len(number) > 3
    elif len(kinds) == 2:
        seen.decimal[marks[-1]] += 1
        seen.thousands[marks[0]] += 1
    elif len(marks) > 1:
        seen.thousands[marks[0]] += 1
    else:
        whole, _, fraction = number.partition(marks[0])
        digits = "".join(char for char in whole if char.isdigit())
        grouped = len(fraction) == 3 and 1 <= len(digits) <= 3 and not digits.startswith("0") and digits == whole
        (seen.either if grouped else seen.decimal)[marks[0]] += 1


def decide_marks(seen: Evidence, *, hint: str | None = None) -> Marks | None:
    """Returns the marks; None if cells like ``1,234`` leave it open or contradict each other.

    Args:
        hint: the decimal mark that other money columns of the file show, or None.
    """
    spaces = "".join(sorted(mark for mark in seen.thousands if mark in SPACES + APOSTROPHES))
    dot, comma = seen.decimal["."] + seen.thousands[","], seen.decimal[","] + seen.thousands["."]
    if dot and comma:
        if min(dot, comma) * 20 > max(dot, comma):
            return None
        dot, comma = (dot, 0) if dot > comma else (0, comma)
    if dot or comma:
        return Marks(".", "," + spaces) if dot else Marks(",", "." + spaces)
    if not seen.either:
        return Marks(hint, ("," if hint == "." else ".") + spaces) if hint else Marks(".", "," + spaces)
    if hint:
        return Marks(hint, ("," if hint == "." else ".") + spaces)
    if spaces and len(seen.either) == 1:
        return Marks(next(iter(seen.either)), spaces)
    # "1,234" next to "567" but never "1234" means grouping. A point may also precede three decimals.
    if set(seen.either) == {","} and not seen.long_plain and seen.plain + seen.either[","] >= 5 and seen.plain:
        return Marks(".", ",")
    return None


def rounded(value: str, digits: int) -> str:
    """Rounds a plain decimal to at most ``digits`` digits after the point, halves to the even neighbour."""
    if len(value.partition(".")[2]) <= digits:
        return value
    text = format(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN, context=EXACT), "f")
    return text if text.strip("-0.") else text.removeprefix("-")


def is_scientific(cell: str) -> bool:
    """True for numbers such as ``1.5e-05``, which programs write for small values."""
    return _SCIENTIFIC.fullmatch(cell.strip()) is not None
