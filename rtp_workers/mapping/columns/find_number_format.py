"""Decides how amounts are written: decimal and thousands mark, cents or whole units, digits to round."""

from __future__ import annotations

import re
import statistics
from decimal import Decimal

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import currency_code, word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.balance_walk import walks_through
from rtp_workers.mapping.columns.findings import Findings
from rtp_workers.mapping.columns.profile import HALF, MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.toml_text import quoted

WHOLE_LANGUAGES = frozenset({"ja", "ko", "hu", "id", "vi"})  # their currencies rarely have cents
# Letters that only Japanese, Korean and Vietnamese are written with.
LETTERS_OF_WHOLE_MONEY = re.compile("[\u3040-\u30ff\uac00-\ud7a3\u1ea0-\u1ef9\u01a0\u01a1\u01af\u01b0]")
HUNDREDTHS = frozenset(
    {"cents", "pence", "paise", "kopecks", "centavos", "grosze", "groszy", "ore", "oere", "centimes", "centimos"}
)
PARTS_OF_COINS = frozenset({"msat", "msats", "sat", "sats", "satoshi", "satoshis", "wei", "gwei", "lamports"})
MINOR_NAMES = HUNDREDTHS | {"minor"}
NOISY_DIGITS = 10  # a float was printed: more digits after the point than this, and almost a round number
NAME_OF_A_PROGRAM = re.compile(r"[a-z][A-Za-z0-9_.\[\]]*")
UNIT_LINES = ('# amount_unit = "minor"  # 1999 is 19.99', '# amount_unit = "major"  # 1999 is 1999')
SOME = 0.2  # share of cells: many words have only letters that other languages have, too
LARGE_AND_ROUND = 10_000
LEAST_CENTS = 5  # amounts; fewer show nothing
# In the export of a program, with names such as order_id, whole numbers may be cents if most are round or end like
# prices, and half of them are more than small change.
PRICE_ENDS = (99, 95, 50, 49, 0)
CENTS_MEDIAN, ROUND_SHARE, PRICED_SHARE = 400, 0.85, 0.6
# Next to a currency they may also be cents if they have many digits and enough of them do not end in 0.
LEAST_ODD, ODD_MEDIAN, ODD_SHARE = 3, 1_000, 0.25


def find_number_format(found: Findings, columns: list[Profile]) -> None:
    """Decides how the numbers of the amount's columns are read. Asks if no row decides it."""
    affix = next((profile.affix for profile in columns if profile.affix is not None), None)
    if affix is not None:
        found.rules["amount_affix"] = affix
        found.notes.append(f"every amount contains {affix.text!r}, which is ignored")
    _find_marks(found, columns)
    _check_unit(found, columns)
    _note_float_noise(found, columns)


def _note_float_noise(found: Findings, columns: list[Profile]) -> None:
    """Suggests rounding if numbers such as 22.200000000000003 were once floats."""
    if found.section.round_to is not None:
        found.notes.append(f"amounts are rounded to {found.section.round_to} digits after the point, half to even")
        return
    for cell in (cell for profile in columns for cell in profile.some):
        part = amounts.take_apart(cell)
        fraction = re.split("[.,]", part.number)[-1] if part is not None and re.search("[.,]", part.number) else ""
        if len(fraction) > NOISY_DIGITS and part is not None:
            plain = part.number.replace(",", ".")
            short = amounts.rounded(plain, 2) if plain.count(".") == 1 else plain
            far = abs(Decimal(short) - Decimal(plain)) if short.strip("-0.") else Decimal(1)
            if far and far < Decimal(1).scaleb(-NOISY_DIGITS):
                found.notes.append(f"{cell} looks like a float's rounding error: round_to = 2 stores {short}")
                return


def _find_marks(found: Findings, columns: list[Profile]) -> None:
    section = found.section
    if section.decimal_mark is not None:
        other = "," if section.decimal_mark == "." else "."
        default = other + "".join(amounts.SPACES + amounts.APOSTROPHES)
        found.rules["decimal_mark"] = section.decimal_mark
        found.rules["thousands_mark"] = section.thousands_mark if section.thousands_mark is not None else default
        return
    seen = amounts.evidence_of(cell for profile in columns for cell in profile.cells)
    marks = amounts.decide_marks(seen) or _by_currency(found, seen)
    marks = marks or amounts.decide_marks(seen, hint=_hint(found, columns))
    if marks is None:
        example = next((c for p in columns for c in p.cells if "," in c or "." in c), "")
        found.ask(
            "amount",
            f"{example!r} in {columns[0].name} is ambiguous: decimal mark or thousands mark? No row shows which",
            f'# decimal_mark = "."  # {example} is {_read_with(example, ".")}',
            f'# decimal_mark = ","  # {example} is {_read_with(example, ",")}',
        )
        found.leave_open("decimal_mark", "thousands_mark")
        return
    found.rules["decimal_mark"], found.rules["thousands_mark"] = marks.decimal, marks.thousands
    if not (seen.decimal or seen.either or set(seen.thousands) & set(".,")) and _hint(found, columns) is None:
        found.leave_open("decimal_mark", "thousands_mark")


def _read_with(cell: str, decimal_mark: str) -> str:
    """Returns the number in a cell, with the point as its decimal mark."""
    part = amounts.take_apart(cell)
    other = "," if decimal_mark == "." else "."
    return part.number.replace(other, "").replace(decimal_mark, ".") if part is not None else cell


def _by_currency(found: Findings, seen: amounts.Evidence) -> amounts.Marks | None:
    """Returns the marks if three digits follow one mark in all cells, and the currency has three digits or none."""
    codes = _currencies(found)
    if not codes or len(seen.either) != 1:
        return None
    mark = next(iter(seen.either))
    other = "," if mark == "." else "."
    if codes <= word_list("no_digits"):
        return amounts.Marks(other, mark)
    return amounts.Marks(mark, other) if codes <= word_list("three_digits") and not seen.plain else None


def _hint(found: Findings, columns: list[Profile]) -> str | None:
    """Returns the decimal mark of the file's other numbers, if they agree."""
    used = {profile.index for profile in columns}
    hints = set()
    for profile in found.profiles:
        if profile.index in used or profile.numbers < NEARLY_ALL or profile.dates > MOST:
            continue
        seen = amounts.evidence_of(profile.some)
        if (seen.decimal or seen.thousands) and (marks := amounts.decide_marks(seen)) is not None:
            hints.add(marks.decimal)
    return hints.pop() if len(hints) == 1 else None


def _check_unit(found: Findings, columns: list[Profile]) -> None:
    """Asks if whole numbers look like cents."""
    codes = _currencies(found)
    if found.section.amount_unit is not None or (codes and codes <= word_list("whole_amounts")):
        return
    if not codes and (found.languages & WHOLE_LANGUAGES or _is_written_where_money_is_whole(found)):
        return
    numbers = [int(cell) for profile in columns for cell in profile.some if re.fullmatch(r"-?\d+", cell)]
    others = sum(len(profile.some) for profile in columns) - len(numbers)
    nonzero = [abs(number) for number in numbers if number]
    words = {word for profile in columns for word in normalise(profile.name).split()}
    says_so = bool(words & MINOR_NAMES)
    if not says_so and (others or len(nonzero) < LEAST_ODD):
        return
    if words & PARTS_OF_COINS and "amount" not in found.section.columns:
        unit = " ".join(sorted(words & PARTS_OF_COINS))
        found.ask(
            "amount",
            f"{columns[0].name} counts {unit}, small parts of a coin, which have no code of their own",
            f"# columns.amount = {quoted([columns[0].name])}  # keep the numbers, in {unit}",
        )
    elif words & HUNDREDTHS and not others:
        found.rules["amount_unit"] = "minor"
        found.notes.append(f"{columns[0].name} is read as hundredths, as its name says (amount_unit)")
    elif says_so or (
        ((_is_of_a_program(found, columns) and _look_like_cents(nonzero)) or (codes and _are_large_and_odd(nonzero)))
        and not _balance_has_cents(found)
    ):
        found.ask(
            "amount",
            f"{columns[0].name} contains whole numbers that may be cents (e.g. {numbers[0] if numbers else ''})",
            *UNIT_LINES,
        )


def _is_written_where_money_is_whole(found: Findings) -> bool:
    """True if a column of texts is in a language whose currency has no cents."""
    texts = [profile for profile in found.profiles if profile.letters > HALF]
    return any(text.share(lambda cell: LETTERS_OF_WHOLE_MONEY.search(cell) is not None) > SOME for text in texts)


def _is_of_a_program(found: Findings, columns: list[Profile]) -> bool:
    """True for names, or codes of currencies, in small letters, as programs write them. People write whole amounts."""
    if "currency" in found.uses and all(
        cell.islower() for cell in found.profile(found.uses["currency"].columns[0]).some
    ):
        return True
    english = all("en" in vocabulary.best_role(profile.name)[1].languages for profile in columns)
    return english and all(NAME_OF_A_PROGRAM.fullmatch(profile.name) for profile in found.profiles)


def _balance_has_cents(found: Findings) -> bool:
    """True if a balance has decimals: the amounts are in the same unit. Without a name, it must change by them."""
    balances = [one for one in found.free() if one.numbers >= NEARLY_ALL and one.whole_numbers < 1.0]
    return any(
        (vocabulary.best_role(one.name)[0] == "balance" and one.is_decimal)
        or walks_through(one, *found.amounts_of_uses())
        for one in balances
    )


def _currencies(found: Findings) -> frozenset[str]:
    """Returns the known currencies of the amounts."""
    known = found.section.constants.get("currency") or found.rules.get("currency")
    if known:
        return frozenset({known})
    if "currency" not in found.uses:
        return frozenset()
    cells = found.profile(found.uses["currency"].columns[0]).distinct
    return frozenset(code for cell in cells if (code := currency_code(cell)) is not None)


def _are_large_and_odd(numbers: list[int]) -> bool:
    """True for numbers such as 117524: in a currency with cents, whole amounts rarely have so many digits."""
    odd = sum(number % 10 != 0 for number in numbers)
    return statistics.median(numbers) >= ODD_MEDIAN and odd >= len(numbers) * ODD_SHARE


def _look_like_cents(numbers: list[int]) -> bool:
    if len(numbers) < LEAST_CENTS:
        return False
    if all(number % LARGE_AND_ROUND == 0 for number in numbers):
        return False  # nobody sells only at whole hundreds
    hundreds = sum(number % 100 == 0 for number in numbers) / len(numbers)
    priced = sum(number % 100 in PRICE_ENDS for number in numbers) / len(numbers)
    return statistics.median(numbers) >= CENTS_MEDIAN and (hundreds >= ROUND_SHARE or priced >= PRICED_SHARE)
