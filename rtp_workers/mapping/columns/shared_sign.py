"""A currency sign that several countries use, such as ``¥``: the header's language decides it, else it asks."""

from __future__ import annotations

from collections.abc import Iterable

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.affixes import common_affix
from rtp_workers.mapping.cells.names import bracketed
from rtp_workers.mapping.cells.words import sharing_currencies, sign_code
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import CLEAR_NAME, Findings
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.toml_text import quoted

QUOTES = frozenset("'\"’`´‘“”")
# The language of a header -> the currency of that language's country.
CURRENCY_OF_LANGUAGE = {"ja": "JPY", "zh": "CNY"}


def by_language(found: Findings, columns: list[Profile]) -> str | None:
    """Returns the currency of the amounts if one language of the header uses their shared sign, or None."""
    code = _of_language(found, (sign for sign, _ in _next_to_amounts(columns)))
    if code is not None:
        found.notes.append(f"currency {code}, from the sign next to the amounts and the language of the header")
    return code


def ask_about_amounts(found: Findings, columns: list[Profile]) -> None:
    """Asks for the currency of a sign next to the amounts that is unknown, or that several currencies share."""
    for sign, example in _next_to_amounts(columns)[:1]:
        question = f"{sign!r} of the amounts (e.g. {example}) {_meaning(sign)}; which currency is it"
        found.ask("currency", question, *_lines(sign))
    signs, codes = _in_cells(columns)
    if signs and codes:
        found.notes.append(f"{signs[0][0]!r} of some amounts {_meaning(signs[0][0])}: these rows have no currency")


def decide_column_of_signs(found: Findings) -> bool:
    """Decides, or asks about, a column that names currencies by a shared sign. Returns False if there is none."""
    for profile in found.free():
        signs = [cell for cell in profile.distinct if sign_code(cell) == "" and sharing_currencies(cell)]
        if not signs or vocabulary.score(profile.name, "currency").score < CLEAR_NAME:
            continue
        whole = len(signs) == len(profile.distinct)
        if whole and (code := _of_language(found, signs)) is not None:
            found.rules["currency"] = code
            found.notes.append(f"currency {code}, from the sign in {profile.name} and the language of the header")
            return True
        # Beside other currencies, the constant is only for the rows whose cell is not a currency.
        column = () if whole else (f"columns.currency = {quoted([profile.name])}",)
        found.ask(
            "currency", f"{signs[0]!r} in {profile.name} {_meaning(signs[0])}; which currency is it",
            *column, *_lines(signs[0]),
        )  # fmt: skip
        return True
    return False


def _of_language(found: Findings, signs: Iterable[str]) -> str | None:
    spoken = {CURRENCY_OF_LANGUAGE[one] for one in found.languages if one in CURRENCY_OF_LANGUAGE}
    shared = [set(sharing_currencies(sign)) for sign in signs]
    code = spoken.pop() if len(spoken) == 1 else ""
    return code if shared and all(code in codes for codes in shared) else None


def _next_to_amounts(columns: list[Profile]) -> list[tuple[str, str]]:
    """Returns signs that do not name one currency, each with an example. Empty if another cell names a currency."""
    signs, codes = _in_cells(columns)
    if codes:
        return []
    example = next((cell for profile in columns for cell in profile.some), "")
    found = [(one.affix.text, example) for one in columns if one.affix is not None and not {*one.affix.text} <= QUOTES]
    names = [profile.name for profile in columns if sharing_currencies(bracketed(profile.name))]
    return [*found, *signs, *((bracketed(name), name) for name in names)]


def _in_cells(columns: list[Profile]) -> tuple[list[tuple[str, str]], set[str]]:
    """Returns the shared signs in the cells, each with its cell, and the currencies that other cells name."""
    signs, codes = [], set()
    for cell in dict.fromkeys(cell for profile in columns for cell in profile.cells):
        part = amounts.take_apart(cell)
        if part is None or part.currency is None:
            continue
        if part.currency:
            codes.add(part.currency)
        elif (affix := common_affix([cell])) is not None:
            signs.append((affix.text, cell))
    return signs, codes


def _meaning(sign: str) -> str:
    codes = sharing_currencies(sign)
    return f"is shared by {', '.join(codes)}" if codes else "is not the sign of a known currency"


def _lines(sign: str) -> list[str]:
    return [f'# constants.currency = "{code}"' for code in sharing_currencies(sign) or ("...",)]
