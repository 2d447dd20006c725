"""Decides the amounts' currency: by their cells and header, else by a filled column next to them. Else it asks."""

from __future__ import annotations

import re
from decimal import Decimal

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import bracketed, normalise
from rtp_workers.mapping.cells.words import currency_code, word_list
from rtp_workers.mapping.columns import shared_sign, vocabulary
from rtp_workers.mapping.columns.find_quantity import value_of
from rtp_workers.mapping.columns.findings import BY_VALUES, CLEAR_NAME, ENOUGH, Candidate, Findings, choices
from rtp_workers.mapping.columns.profile import MOST, Profile
from rtp_workers.mapping.toml_text import quoted

DOLLAR_LANGUAGES = frozenset({"es", "pt"})
# Codes that a sign may stand for without being one of them: a column of codes knows better.
LOOSE_SIGNS = frozenset({"USD", "CNY", "JPY"})
CODES_FILLED = 0.8  # share of rows that codes next to the amount must fill if their name does not help
WORDS_IN_NAMES = {"EURO": "EUR", "EUROS": "EUR", "EUROA": "EUR", "TL": "TRY", "RMB": "CNY", "NIS": "ILS"}
SOME = 0.25  # share of codes that are known; the others look like codes
TICKER = re.compile("[A-Z][A-Z0-9]{1,9}")
LEAST_FILLED = 0.2  # a column filled in fewer rows is only the currency of foreign amounts
MOST_FEES = Decimal("0.05")  # of an amount
BARE_DOLLAR = re.compile(r"(?<![A-Za-z])\$")
FOLLOWS = 0.6  # more than half a column: of the columns on both sides of an amount, the one after it counts as nearer
# Words that say to which of several amounts a column belongs.
QUALIFIERS = frozenset(
    {"native", "settlement", "presentment", "origin", "original", "destination", "source", "target", "foreign"}
    | {"billing", "instructed", "fiat", "sent", "received", "buy", "sell", "from", "to", "quote", "base", "counter"}
    | {"merchant", "buyer", "seller", "customer", "payout"}
    | {"transaction", "account", "local", "instrument", "security", "asset", "input", "output", "incoming", "outgoing"}
)
AMOUNTS_IN_THE_CURRENCY = frozenset({"amount currency", "amount in currency", "currency amount"})
FOREIGN_WORDS = frozenset({"non", "foreign", "original", "fremd", "originale", "etranger", "extranjera", "estera"})
COINS = frozenset({"coin", "asset", "token", "crypto", "cryptocurrency", "symbol", "ticker"})
# The currency in which a share is traded: seldom the currency of the payment.
OF_THE_SECURITY = frozenset({"instrument", "security", "asset"})


def find_currency(found: Findings, columns: list[Profile]) -> None:
    """Decides the currency of the amounts. Asks if columns contradict each other, or several currencies share a sign.

    Args:
        columns: the columns of the amount.
    """
    if found.take_given("currency") or "currency" in found.section.constants:
        return
    candidates = _of_the_amount(found, columns, found.candidates("currency", is_currency))
    if _has_pieces_and_price(found, columns):
        candidates = [one for one in candidates if normalise(one.profile.name) not in COINS]
    code = _by_sign(found, columns, candidates) or _by_header(found, columns)
    code = code or shared_sign.by_language(found, columns)
    if found.is_asked("currency"):
        return
    if code is not None and not _column_knows_better(code, columns, candidates):
        found.rules["currency"] = code
        return
    if shared_sign.decide_column_of_signs(found):
        return
    if candidates and (_asks_whose(found, candidates) or _take_column(found, columns, candidates)):
        return
    if not _take_codes_next_to(found, columns) and not _asks_for_account_amount(found, columns):
        shared_sign.ask_about_amounts(found, columns)


def _by_sign(found: Findings, columns: list[Profile], candidates: list[Candidate]) -> str | None:
    """Returns the currency that the cells of the amounts name."""
    written = {
        part.currency
        for profile in columns
        for cell in profile.distinct
        if (part := amounts.take_apart(cell)) and part.currency is not None
    }
    codes: set[str] = written - {""}
    if codes and "" in written:
        return None  # other cells name a currency that has no three-letter code
    codes |= {profile.affix.currency for profile in columns if profile.affix and profile.affix.currency}
    if codes == {"USD"} and found.languages & DOLLAR_LANGUAGES and _bare_dollars(found, columns, candidates):
        return None
    if len(codes) != 1:
        return None
    code = codes.pop()
    bare = _has_bare_dollar(columns, code)
    if bare and not _is_american(found):
        if not _column_knows_better(code, columns, candidates):
            _leave_dollar_open(found)
        return None
    if not _column_knows_better(code, columns, candidates):
        other = "; other dollars need constants.currency" if bare else ""
        found.notes.append(f"currency {code}, from the sign or code next to the amounts{other}")
    return code


def _leave_dollar_open(found: Findings) -> None:
    found.rules["currency"] = ""
    found.notes.append("the $ of the amounts is that of several countries: constants.currency says which one")


def _says_only_dollar(name: str) -> bool:
    return "$" in name and "US" not in name.upper()


def _is_american(found: Findings) -> bool:
    """True if the dates begin with the month, or a column holds ZIP codes: the ``$`` is then the United States'."""
    words = {word for profile in found.profiles for word in normalise(profile.name).split()}
    return found.rules.get("date_order") == "MDY" or bool(words & {"zip", "zipcode"})


def _has_bare_dollar(columns: list[Profile], code: str) -> bool:
    cells = [cell.upper() for profile in columns for cell in profile.some if "$" in cell]
    return code == "USD" and any("US" not in cell for cell in cells)


def _by_header(found: Findings, columns: list[Profile]) -> str | None:
    named = {code for profile in columns if (code := header_currency(profile.name)) is not None}
    if len(named) != 1:
        return None
    code = named.pop()
    if code == "USD" and all(_says_only_dollar(profile.name) for profile in columns) and not _is_american(found):
        _leave_dollar_open(found)
        return None
    found.notes.append(f"currency {code}, from the amount's column name")
    return code


def _column_knows_better(code: str, columns: list[Profile], candidates: list[Candidate]) -> bool:
    """True if a filled column agrees, or the amounts have a sign that several countries use."""
    full = [one.profile for one in candidates if _is_filled_with(one.profile, columns)]
    if not full:
        return False
    agrees = {currency_code(cell) for cell in full[0].distinct} == {code}
    return agrees or (code in LOOSE_SIGNS and not _is_foreign(full[0].name))


def _is_foreign(name: str) -> bool:
    return vocabulary.score(name, "currency").score < CLEAR_NAME


def _asks_whose(found: Findings, candidates: list[Candidate]) -> bool:
    """Asks where the file only says what its securities are traded in, and they differ: it was paid in another."""
    profile = candidates[0].profile
    if not all(_qualifiers(one.profile.name) & OF_THE_SECURITY for one in candidates) or len(profile.distinct) < 2:
        return False
    codes = sorted({code for cell in profile.distinct if (code := currency_code(cell)) is not None})
    lines = [f'# constants.currency = "{code}"' for code in codes]
    lines += choices("currency", [profile])
    found.ask(
        "currency", f"{profile.name} says what each security is traded in; which currency are the amounts in", *lines
    )
    return True


def _take_column(found: Findings, columns: list[Profile], candidates: list[Candidate]) -> bool:
    """Takes the column of currencies that belongs to the amounts. Asks if several belong to them and differ."""
    full = [one for one in candidates if _is_filled_with(one.profile, columns)]
    best = (full or candidates)[0]
    rivals = [one for one in full if _codes_of(one.profile) != _codes_of(best.profile)]
    if rivals and not _is_next_to(best.profile, columns) and best.score - rivals[0].score < ENOUGH / 2:
        profiles = [best.profile, *(one.profile for one in rivals)]
        names = ", ".join(profile.name for profile in profiles)
        question = f"several columns may be the currency of the amount: {names}"
        found.ask("currency", question, *choices("currency", profiles))
        return True
    if not full and _has_foreign_amount(found, best.profile):
        found.notes.append(f"{best.profile.name} belongs to a foreign amount that only some rows contain")
        return False
    if _asks_which_amount(found, columns, best.profile):
        return True
    found.take("currency", [best.profile], best.score, best.why)
    return True


def _asks_which_amount(found: Findings, columns: list[Profile], currency: Profile) -> bool:
    """Asks whose the currency is if the file has both an ``Amount`` and an ``Amount in Currency``."""
    for other in found.free():
        named = normalise(other.name) in AMOUNTS_IN_THE_CURRENCY or _is_foreign_amount(other.name, currency.name)
        if not named or not _differs(other, columns[0]) or _has_own_currency(found, other):
            continue
        found.ask(
            "currency",
            f"{currency.name} may belong to {columns[0].name} or to {other.name}; whose is it",
            f"# columns.currency = {quoted([currency.name])}  # of {columns[0].name}",
            '# constants.currency = "..."  # of the account',
        )
        return True
    return False


def _asks_for_account_amount(found: Findings, columns: list[Profile]) -> bool:
    """Asks if nothing shows the amount's currency, and another column has it in that of the account."""
    if len(columns) != 1 or "amount" in found.section.columns or found.is_asked("amount"):
        return False
    if any((part := amounts.take_apart(cell)) and part.currency is not None for cell in columns[0].distinct):
        return False
    same = [one for one in found.free() if _is_in_the_accounts_currency(one.name) and _is_converted(one, columns[0])]
    if not same:
        return False
    names = ", ".join(one.name for one in same)
    found.ask(
        "amount",
        f"no column says the currency of {columns[0].name}, which may differ from row to row: {names} may be better",
        *choices("amount", [*same, columns[0]]),
    )
    return True


def _is_in_the_accounts_currency(name: str) -> bool:
    words = set(normalise(name).split())
    of_the_account = "currency" in words and bool(words & {"account", "base", "local", "home"})
    return _is_called_amount(name) and of_the_account and not words & {"fee", "fees"}


def _is_converted(one: Profile, other: Profile) -> bool:
    """True if some numbers differ by more than a fee would explain."""
    pairs = zip(map(value_of, one.column), map(value_of, other.column), strict=True)
    return any(first and second and abs(first - second) > second * MOST_FEES for first, second in pairs)


def _has_own_currency(found: Findings, amount: Profile) -> bool:
    """True if a column of currencies says in its name that it belongs to this amount: ``original_currency``."""
    words = _qualifiers(amount.name)
    return bool(words) and any(one.currencies >= MOST and _qualifiers(one.name) == words for one in found.free())


def _is_foreign_amount(name: str, currency: str) -> bool:
    """True for ``non_gbp_value``, next to a currency that does not say whose it is."""
    words = set(normalise(name).split())
    return _is_called_amount(name) and bool(words & FOREIGN_WORDS) and not _qualifiers(currency)


def _differs(other: Profile, amount: Profile) -> bool:
    """True if both are numbers, and some row has two different ones, neither of which is zero."""
    rows = zip(other.column, amount.column, strict=True)
    values = [[amounts.take_apart(cell) for cell in row] for row in rows if all(row)]
    written = [[part.number if part else "" for part in row] for row in values]
    return other.numbers >= MOST and any(
        one != two and all(number.strip("0.,") for number in (one, two)) for one, two in written
    )


def _is_filled_with(profile: Profile, columns: list[Profile]) -> bool:
    """True if nearly every row with an amount also has a currency."""
    cells = [
        cell
        for cell, *amounts_of in zip(profile.column, *(one.column for one in columns), strict=True)
        if any(map(amounts.take_apart, amounts_of))
    ]
    return bool(cells) and sum(map(bool, cells)) >= MOST * len(cells)


def _codes_of(profile: Profile) -> list[str | None]:
    return [currency_code(cell) for cell in profile.column]


def _is_next_to(profile: Profile, columns: list[Profile]) -> bool:
    return any(abs(profile.index - column.index) == 1 for column in columns)


def _has_foreign_amount(found: Findings, currency: Profile) -> bool:
    """True if a number next to it, or another amount, is filled in exactly the same rows."""
    filled = [bool(cell) for cell in currency.column]
    return any(
        profile.numbers >= MOST
        and [bool(cell) for cell in profile.column] == filled
        and (abs(profile.index - currency.index) == 1 or _is_called_amount(profile.name))
        for profile in found.free()
    )


def _is_called_amount(name: str) -> bool:
    return vocabulary.score(name, "amount").score > 0


def _take_codes_next_to(found: Findings, columns: list[Profile]) -> bool:
    """Takes a column of codes directly next to the amount, if its name does not mention a currency."""
    for profile in found.free():
        codes = profile.filled > CODES_FILLED and bool(profile.cells) and profile.distinct <= word_list("currencies")
        speaks = vocabulary.score(profile.name, "currency").score > 0  # and its cells did not fit
        if codes and not speaks and _is_next_to(profile, columns):
            found.take("currency", [profile], BY_VALUES, "values (codes right next to the amount)")
            return True
    return False


def _of_the_amount(found: Findings, columns: list[Profile], candidates: list[Candidate]) -> list[Candidate]:
    """Keeps currencies that may be the amount's: ``Native Currency`` goes with ``Native Amount``, if there is one."""
    names = {profile.name for profile in columns}
    own = {frozenset(_qualifiers(name)) for name in names}
    others = {
        frozenset(_qualifiers(profile.name))
        for profile in found.profiles
        if (profile.numbers >= MOST if profile.cells else _qualifiers(profile.name))
        and profile.name not in names
        and not _is_unit_price(profile.name)
    } - own
    kept = [one for one in candidates if (words := _qualifiers(one.profile.name)) in own or words not in others]
    kept = [one for one in kept if not _qualifiers(one.profile.name) & OF_THE_SECURITY] or kept
    same = [one for one in kept if (words := _qualifiers(one.profile.name)) and words in own]
    places = [profile.index for profile in columns]
    # Of equal ones, the nearest to the amount. A currency usually follows it.
    return sorted(
        same or kept, key=lambda one: min((abs(one.profile.index - at - FOLLOWS) for at in places), default=0)
    )


def _has_pieces_and_price(found: Findings, columns: list[Profile]) -> bool:
    """True if pieces stand next to the amount, and it is, or has, a price: a coin is what was bought, not the money."""
    numbers = [one for one in found.profiles if one.cells and one.numbers >= MOST]
    pieces = [one for one in numbers if vocabulary.score(one.name, "quantity").score >= CLEAR_NAME]
    priced = any(_is_unit_price(one.name) or normalise(one.name) == "price" for one in numbers)
    return priced and any(one not in columns for one in pieces) and not any(one in columns for one in pieces)


def _is_unit_price(name: str) -> bool:
    return vocabulary.score(name, "unit_price").score >= ENOUGH


def _qualifiers(name: str) -> frozenset[str]:
    return frozenset(normalise(name).split()) & QUALIFIERS


def is_currency(profile: Profile) -> float:
    """Measures how well a column's cells fit codes, signs and names of currencies, 0..1."""
    # Some coins have codes that nobody keeps a list of.
    if {"$", "USD"} <= profile.distinct:
        return 0.0  # the $ is another country's, and no list says which
    are_codes = profile.currencies >= MOST or (profile.currencies >= SOME and profile.share(_is_ticker) == 1.0)
    return 1.0 if are_codes and profile.filled > LEAST_FILLED else 0.0


def _is_ticker(cell: str) -> bool:
    return TICKER.fullmatch(cell) is not None


def _bare_dollars(found: Findings, columns: list[Profile], candidates: list[Candidate]) -> bool:
    """Asks which country's dollar or peso a bare ``$`` means, in a language whose countries all use it."""
    cells = [cell for profile in columns for cell in profile.some if "$" in cell]
    if not cells or any("U" in cell.upper() for cell in cells):
        return False
    if not candidates:
        found.ask(
            "currency",
            f"the $ in {cells[0]!r} is used in several countries",
            '# constants.currency = "USD"  # replace this with the right code',
        )
    return True


def header_currency(name: str) -> str | None:
    """Returns the currency in the name of an amount's column: ``Betrag (EUR)``, ``amount_usd``, ``金额(元)``."""
    inside = currency_code(bracketed(name)) if bracketed(name) else None
    words = [word.upper() for word in normalise(name).split()]
    codes = {word for word in words if word in word_list("currencies") and word not in ("ALL", "TOP", "MOP", "TRY")}
    codes |= {code for word, code in WORDS_IN_NAMES.items() if word in words}
    signs = {"€": "EUR", "£": "GBP", "R$": "BRL", "₹": "INR"}
    codes |= {code for sign, code in signs.items() if sign in name}
    codes |= {"USD"} if BARE_DOLLAR.search(name) else set()
    return inside or (codes.pop() if len(codes) == 1 else None)
