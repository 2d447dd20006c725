"""Which columns say how much, and how their numbers are to be read."""

from __future__ import annotations

import re
import statistics
from itertools import combinations

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import bracketed, normalise
from rtp_workers.mapping.cells.words import currency_code, word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.balance_walk import balance_walk
from rtp_workers.mapping.columns.find_quantity import find_quantity, is_product
from rtp_workers.mapping.columns.find_sign import find_sign
from rtp_workers.mapping.columns.findings import BY_VALUES, ENOUGH, MARGIN, Candidate, Findings
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.toml_text import quoted

FULL, MOSTLY = 0.95, 0.7  # shares of filled cells
MOST_FACTORS = 8
DOLLAR_LANGUAGES = frozenset({"es", "pt"})
WHOLE_NAME = 0.8
WHOLE_LANGUAGES = frozenset({"ja", "ko", "hu", "id"})  # their currencies have no cents, or hardly ever
MINOR_NAMES = frozenset({"cents", "pence", "minor", "paise", "kopecks", "centavos", "grosze"})


def find_amount(found: Findings) -> None:
    """Decides the amount's columns, sign, marks and unit; asks where that cannot be known."""
    if not _given(found):
        _choose(found)
    columns = [
        found.profile(name)
        for role in ("amount", "debit", "credit")
        if role in found.uses
        for name in found.uses[role].columns
    ]
    if not columns:
        return
    if "amount" in found.uses:
        find_quantity(found)
    find_sign(found)
    _decide_marks(found, columns)
    _find_currency(found, columns)
    _check_unit(found, columns)


def _given(found: Findings) -> bool:
    roles = [role for role in ("amount", "debit", "credit") if found.take_given(role)]
    return bool(roles)


def is_number(profile: Profile) -> float:
    """Fits numbers; some stray texts weigh little against a telling name, much against a weak one."""
    if profile.numbers < 0.5 or (profile.dates >= 0.95 and profile.numbers < 1.0):
        return 0.0
    return 1.0 if profile.numbers >= 0.95 else 0.9 if profile.numbers >= 0.85 else 0.7


def _choose(found: Findings) -> None:
    pair = _pair(found)
    named = [candidate for candidate in found.candidates("amount", is_number) if candidate.profile.filled > 0.3]
    side = None if pair else _lone_side(found)
    if side is not None and (not named or named[0].score < WHOLE_NAME):
        found.take(side[0], [side[1].profile], side[1].score, side[1].why)
    elif named and not (pair and not named[0].profile.signed):
        _take_named(found, named)
    elif pair:
        for role, candidate in zip(("debit", "credit"), pair, strict=True):
            found.take(role, [candidate.profile], candidate.score, candidate.why)
    elif found.uses.get("amount") is None:
        _unit_price_or_values(found)


def _pair(found: Findings) -> tuple[Candidate, Candidate] | None:
    """Returns the debit and the credit column where hardly any row fills both."""
    debits, credits = (found.candidates(role, _is_side) for role in ("debit", "credit"))
    for debit in debits:
        for credit in credits:
            if debit.profile.index != credit.profile.index and _exclusive(debit.profile, credit.profile):
                return debit, credit
    return None


def _lone_side(found: Findings) -> tuple[str, Candidate] | None:
    """Returns the only debit or credit column, of a statement of one side."""
    sides = [
        (role, candidate)
        for role in ("debit", "credit")
        for candidate in found.candidates(role, is_number)
        if candidate.name.exact and candidate.profile.filled > 0.5
    ]
    return sides[0] if len(sides) == 1 else None


def _is_side(profile: Profile) -> float:
    # A side without a single entry is still one: an export of withdrawals only.
    return 1.0 if not profile.cells else is_number(profile)


def _exclusive(debit: Profile, credit: Profile) -> bool:
    """True where hardly any row fills both sides."""
    both = sum(map(_is_nonzero, debit.column, credit.column))
    return both <= max(1, debit.rows // 10) and bool(debit.nonzero or credit.nonzero)


def _is_nonzero(one: str, other: str) -> bool:
    parts = (amounts.take_apart(one), amounts.take_apart(other)) if one and other else (None,)
    return all(part is not None and part.number.strip("0.,") for part in parts)


def _take_named(found: Findings, named: list[Candidate]) -> None:
    best = named[0]
    rivals = [
        other
        for other in named[1:]
        if best.score - other.score < MARGIN and list(other.profile.cells) != list(best.profile.cells)
    ]
    if rivals:
        # A tie: the one that every row fills, where the others are filled for foreign currencies only.
        full = [candidate for candidate in (best, *rivals) if candidate.profile.filled >= FULL]
        sparse = [candidate for candidate in (best, *rivals) if candidate.profile.filled < MOSTLY]
        if len(full) == 1 and len(sparse) == len(rivals):
            best, rivals = full[0], []
        elif (products := [one for one in (best, *rivals) if _is_product_of_others(found, one.profile)]) != []:
            best, rivals = products[0], products[1:]
    if rivals:
        names = [candidate.profile.name for candidate in (best, *rivals)]
        lines = [
            f"columns.amount = {quoted([names[0]])}",
            *(f"# columns.amount = {quoted([name])}" for name in names[1:]),
        ]
        found.ask("amount", f"several columns may be the amount: {', '.join(names)}", *lines)
    found.take("amount", [best.profile], best.score, best.why)


def _is_product_of_others(found: Findings, profile: Profile) -> bool:
    """True where the cells are two other columns multiplied: price times pieces."""
    others = [other for other in found.free() if other is not profile and other.numbers >= FULL]
    return any(is_product(profile, one, other) for one, other in combinations(others[:MOST_FACTORS], 2))


def _unit_price_or_values(found: Findings) -> None:
    prices = found.candidates("unit_price", is_number)
    if prices:
        price = prices[0].profile
        found.take("amount", [price], 0.4, "name and values (a price per unit)")
        return
    numeric = [profile for profile in found.free() if _may_be_amount(profile)]
    full = [profile for profile in numeric if profile.filled > 0.8 and profile.whole_numbers < 0.9]
    sparse = [profile for profile in numeric if profile not in full and profile.filled <= 0.8]
    sides = [profile for profile in found.free() if _names_a_side(profile)]
    walk = balance_walk(full, sparse)
    if walk is not None:
        roles = ("amount",) if len(walk) == 1 else ("debit", "credit")
        for role, profile in zip(roles, walk, strict=True):
            found.take(role, [profile], BY_VALUES, "values (another column is the running balance)")
    elif len(full) == 1 and not sparse and not sides:
        found.take("amount", full, BY_VALUES, "values (the only decimal numbers)")
    elif len(signed := [profile for profile in full if _has_both_signs(profile)]) == 1 and _is_nameless(found):
        found.take("amount", signed, BY_VALUES, "values (the only decimal numbers with signs)")
    else:
        counted = [profile for profile in numeric if profile.whole_numbers < 1.0 or profile.uniqueness < 1.0]
        names = [profile.name for profile in [*full, *sparse, *sides] or [*_quantities(found), *(counted or numeric)]]
        lines = [f"columns.amount = {quoted([name])}" for name in names[:1]] or ['columns.amount = "..."']
        lines += [f"# columns.amount = {quoted([name])}" for name in names[1:6]]
        if len(sparse) == 2:
            lines += [f"# columns.debit = {quoted([sparse[0].name])}", f"# columns.credit = {quoted([sparse[1].name])}"]
        found.ask("amount", "no column is surely the amount", *lines)


def _may_be_amount(profile: Profile) -> bool:
    """Numbers whose name does not say that they are something else; decimals are no ids, whatever their name says."""
    if profile.numbers < 0.95 or profile.dates >= 0.9:
        return False
    role, best = vocabulary.best_role(profile.name)
    return best.score < ENOUGH or (role == "transaction_id" and profile.whole_numbers < 0.9)


def _has_both_signs(profile: Profile) -> bool:
    return profile.signed and not profile.all_negative


def _is_nameless(found: Findings) -> bool:
    return all(profile.name.startswith("column ") for profile in found.profiles)


def _names_a_side(profile: Profile) -> bool:
    role, best = vocabulary.best_role(profile.name)
    return role in ("debit", "credit") and best.exact and (not profile.cells or profile.numbers >= 0.5)


def _quantities(found: Findings) -> list[Profile]:
    return [candidate.profile for candidate in found.candidates("quantity", is_number)]


def _decide_marks(found: Findings, columns: list[Profile]) -> None:
    section = found.section
    if section.decimal_mark is not None:
        other = "," if section.decimal_mark == "." else "."
        default = other + "".join(amounts.SPACES + amounts.APOSTROPHES)
        found.rules["decimal_mark"] = section.decimal_mark
        found.rules["thousands_mark"] = section.thousands_mark if section.thousands_mark is not None else default
        return
    seen = amounts.evidence_of(cell for profile in columns for cell in profile.cells)
    marks = amounts.decide_marks(seen) or amounts.decide_marks(seen, hint=_hint(found, columns))
    if marks is None:
        example = next((c for p in columns for c in p.cells if "," in c or "." in c), "")
        found.ask(
            "amount",
            f"{example!r} in {columns[0].name} may have a decimal or a thousands mark; no row decides",
            'decimal_mark = "."  # or ","',
        )
        return
    found.rules["decimal_mark"], found.rules["thousands_mark"] = marks.decimal, marks.thousands


def _hint(found: Findings, columns: list[Profile]) -> str | None:
    """Returns the decimal mark that the file's other numbers show, where they agree."""
    used = {profile.index for profile in columns}
    hints = set()
    for profile in found.profiles:
        if profile.index in used or profile.numbers < 0.95 or profile.dates > 0.9:
            continue
        seen = amounts.evidence_of(profile.some)
        if (seen.decimal or seen.thousands) and (marks := amounts.decide_marks(seen)) is not None:
            hints.add(marks.decimal)
    return hints.pop() if len(hints) == 1 else None


def _find_currency(found: Findings, columns: list[Profile]) -> None:
    """Takes the currency from the amount's own cells or header; a currency column, where there is one, wins later."""
    codes = {
        part.currency
        for profile in columns
        for cell in profile.distinct
        if (part := amounts.take_apart(cell)) and part.currency
    }
    if codes == {"USD"} and found.languages & DOLLAR_LANGUAGES and _bare_dollars(found, columns):
        return
    if len(codes) == 1:
        sign = codes.pop()
        sign = "JPY" if sign == "CNY" and "ja" in found.languages else sign
        found.rules["currency"] = sign
        found.notes.append(f"currency {sign} by the sign or code beside the amounts")
        return
    named = {code for profile in columns if (code := header_currency(profile.name)) is not None}
    if not codes and len(named) == 1:
        found.rules["currency"] = named.pop()
        found.notes.append(f"currency {found.rules['currency']} by the amount's column name")


def _bare_dollars(found: Findings, columns: list[Profile]) -> bool:
    """Asks whose dollars or pesos a bare ``$`` means in a language whose countries all write it."""
    cells = [cell for profile in columns for cell in profile.some if "$" in cell]
    if not cells or any("U" in cell.upper() for cell in cells):
        return False
    named = found.candidates("currency", lambda profile: float(profile.currencies >= 0.9))
    if not named and not {"currency"} & (found.section.constants.keys() | found.section.columns.keys()):
        found.ask(
            "currency",
            f"the $ of {cells[0]!r} may be of several countries",
            'constants.currency = "USD"  # put the right one',
        )
    return True


def header_currency(name: str) -> str | None:
    """Returns the currency that an amount's column name carries: ``Betrag (EUR)``, ``amount_usd``, ``金额(元)``."""
    inside = currency_code(bracketed(name)) if bracketed(name) else None
    words = [word.upper() for word in normalise(name).split()]
    codes = {word for word in words if word in word_list("currencies") and word not in ("ALL", "TOP", "MOP", "TRY")}
    if "euro" in normalise(name).split() or "euros" in normalise(name).split():
        codes.add("EUR")
    signs = {"€": "EUR", "£": "GBP", "R$": "BRL", "₹": "INR"}
    codes |= {code for sign, code in signs.items() if sign in name}
    return inside or (codes.pop() if len(codes) == 1 else None)


def _check_unit(found: Findings, columns: list[Profile]) -> None:
    """Asks where whole numbers look like cents."""
    if found.section.amount_unit is not None or found.rules.get("currency") in word_list("whole_amounts"):
        return
    if found.languages & WHOLE_LANGUAGES and not found.rules.get("currency"):
        return
    numbers = [int(cell) for profile in columns for cell in profile.some if re.fullmatch(r"-?\d+", cell)]
    others = sum(len(profile.some) for profile in columns) - len(numbers)
    nonzero = [abs(number) for number in numbers if number]
    words = {word for profile in columns for word in normalise(profile.name).split()}
    says_so = bool(words & MINOR_NAMES)
    if not says_so and (others or len(nonzero) < 5):
        return
    if says_so or _look_like_cents(nonzero):
        found.ask(
            "amount",
            f"{columns[0].name} holds whole numbers that may be cents (e.g. {numbers[0] if numbers else ''})",
            'amount_unit = "minor"  # 1999 is 19.99; "major" where 1999 is 1999',
        )


def _look_like_cents(numbers: list[int]) -> bool:
    hundreds = sum(number % 100 == 0 for number in numbers) / len(numbers)
    priced = sum(number % 100 in (99, 95, 50, 49, 0) for number in numbers) / len(numbers)
    return statistics.median(numbers) >= 400 and (hundreds >= 0.85 or priced >= 0.6)
