"""The form that an instant and an amount must have before PostgreSQL's own parsers see them.

PostgreSQL also accepts ``now``, ``infinity``, ``0x10`` or ``1_000``; these forms do not. PostgreSQL always checks the
calendar and the range. `check_instant` and `check_amount` do so too, where a person needs the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rtp_workers.errors import RecordError

# RFC 3339 section 5.6, date-time: "T" and "Z" in either case, and the space that its note allows in place of "T".
INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)"
    r"(?:\.(\d{1,64}))?([Zz]|([+-])(0\d|1[0-5]):([0-5]\d))",
    re.ASCII,
)
# Leading zeros and trailing zeros do not count as digits, because they carry no value.
AMOUNT = re.compile(r"-?0{0,64}\d{1,20}(?:\.\d{1,18}0{0,64})?", re.ASCII)
NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,6}))?", re.ASCII)
FIRST_INSTANT = datetime(1900, 1, 1, tzinfo=UTC)
END_INSTANT = datetime(2101, 1, 1, tzinfo=UTC)

_DIGITS = bytes(0x39 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_INSTANT_SHAPE = re.compile(rb"9999-99-99[Tt ]99:99:99(?:\.9{1,64})?(?:[Zz]|[+-]99:99)")
_AMOUNT_SHAPE = re.compile(rb"-?9{1,20}(?:\.9{1,18})?")


def instants_have_form(texts: Sequence[str]) -> bool:
    """Tells whether every text has the form of an instant. If not, `check_instant` must look at each of them.

    With all its digits replaced by 9, a batch has few distinct shapes. So the pattern runs once per shape instead of
    once per record. A separate search finds second 60 and hour 24, which PostgreSQL would accept.
    """
    joined = "\n".join(texts)
    if ":60" in joined or "T24" in joined or "t24" in joined or " 24" in joined:
        return False
    return _all_shapes_match(joined, _INSTANT_SHAPE)


def amounts_have_form(texts: Sequence[str]) -> bool:
    """Tells whether every text has the form of a plain decimal. If not, `check_amount` must look at each of them."""
    return _all_shapes_match("\n".join(texts), _AMOUNT_SHAPE)


def _all_shapes_match(joined: str, shape: re.Pattern[bytes]) -> bool:
    if not joined.isascii():
        return False
    shapes = set(joined.encode("ascii").translate(_DIGITS).split(b"\n"))
    return all(shape.fullmatch(found) for found in shapes)


def check_instant(text: str) -> None:
    """Raises RecordError if `text`, rounded to microseconds, is not an RFC 3339 instant in [1900, 2101)."""
    match = INSTANT.fullmatch(text)
    if match is None:
        raise RecordError(
            "occurred_at_not_rfc3339",
            f"occurred_at {text[:80]!r} is not an RFC 3339 time with an offset, e.g. 2026-01-31T13:45:00.5+01:00",
            field="occurred_at",
        )
    try:
        instant = _instant(match)
    except (ValueError, OverflowError) as error:
        raise RecordError(
            "occurred_at_not_in_calendar",
            f"occurred_at {text[:80]!r} is not in the calendar: {error}",
            field="occurred_at",
        ) from error
    if not FIRST_INSTANT <= instant < END_INSTANT:
        raise RecordError(
            "occurred_at_range", f"occurred_at {text[:80]!r} is not from 1900 to 2100 (UTC)", field="occurred_at"
        )


def _instant(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    # As PostgreSQL does it: the fraction as a double, times a million, rounded half to even.
    micros = round(float(f"0.{match[7]}") * 1_000_000) if match[7] else 0
    offset = timedelta()
    if match[9]:
        offset = timedelta(hours=int(match[10]), minutes=int(match[11])) * (1 if match[9] == "+" else -1)
    local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return local + timedelta(microseconds=micros) - offset


def check_amount(text: str) -> None:
    """Raises RecordError if `text` is not a plain decimal with at most 20 digits before and 18 after the point."""
    if AMOUNT.fullmatch(text):
        return
    reason = "amount_range" if NUMBER.fullmatch(text) and "e" not in text.lower() else "amount_not_decimal"
    raise RecordError(
        reason,
        f"amount {text[:80]!r} is not a plain decimal with at most 20 digits before and 18 after the point",
        field="amount",
    )


def amount_of_number(literal: str) -> str:
    """Returns a JSON number as a plain decimal. The digits are moved, never computed with: the value is exact.

    Raises:
        RecordError: written out without an exponent, the number has more digits than allowed.
    """
    if AMOUNT.fullmatch(literal):
        return literal
    match = NUMBER.fullmatch(literal)
    if match is None:
        check_amount(literal)
        raise AssertionError(literal)
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    digits = (whole + fraction).strip("0")
    if not digits:
        return "0"
    point = len(whole) + exponent - (len(whole + fraction) - len((whole + fraction).lstrip("0")))
    if point > 20 or len(digits) - point > 18:
        raise RecordError(
            "amount_range",
            f"amount {literal[:80]!r} has more than 20 digits before or 18 after the point",
            field="amount",
        )
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"
