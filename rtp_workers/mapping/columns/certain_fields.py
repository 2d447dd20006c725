"""Tells whether enough speaks for a column to fill an optional field without a question.

An empty field is not wrong, and its column stays in ``attributes``. A field with the wrong content is wrong. So both
the name and the values must say what a column is: the vocabulary must know the whole name, and a name that may mean
something else needs values that prove it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import direction_of, field_words, kind_words, trade_words, word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.find_quantity import PRICE_WORDS, is_market
from rtp_workers.mapping.columns.findings import CLEAR_NAME, GOOD_NAME, Candidate, Findings
from rtp_workers.mapping.columns.other_party import BUYERS, NAMES, names_other_party, names_payer
from rtp_workers.mapping.columns.profile import HALF, Profile

SHORTEST_STEM = 4  # letters of a word that may begin a longer one: "karte" begins "Kartenzahlung"
SHORTEST_INSIDE = 8  # letters of a word that may be anywhere in a longer one: "lastschrift" in "Folgelastschrift"
OTHER_WORDS = frozenset({"checking", "cashback"})  # they begin like a payment method
# Names that mean a status or a payment method, but also other things: an Indian state, a test mode, a sales channel.
UNSURE_NAMES = frozenset(
    {"state", "result", "outcome", "response", "estado", "situacion", "situacao", "etat", "stato", "stan", "stav"}
    | {"zustand", "durum", "allapot", "состояние", "mode", "channel", "canal", "canale", "method", "payment"}
    | {"card type", "card brand", "card scheme", "instrument type", "funding source", "payment source", "use chip"}
    | {"transaction channel", "mutatiesoort", "kartentyp", "tipo de tarjeta", "strumento", "tender", "modalidade"}
)
# Beginnings of names that mean the account of the other party.
OTHER_PARTIES = ("counter", "tegen", "gegen", "partner", "ellen", "protiu", "beneficiary", "payee", "对方", "other")
NUMBER = re.compile(r"[0-9]{4}")  # a year, or a reference
ID_ENDS = ("id", "key")
# Words in the names of columns about what was sold.
THINGS = frozenset(
    {"sku", "items", "variant", "invoice", "order", "stock", "artikel"}
    | {"rechnung", "bestellung", "article", "facture", "commande", "articulo", "factura"}
    | {"pedido", "articolo", "fattura", "ordine", "factuur", "bestelling", "faktura"}
)
MAKERS = frozenset(
    {"vendor", "vendor name", "supplier", "supplier name", "brand", "manufacturer", "seller", "seller name", "satici"}
    | {"satici adi", "vendedor", "sprzedawca", "продавец", "verkaufer", "vendeur", "venditore", "penjual", "nguoi ban"}
)
TILLS = frozenset({"cashier", "till", "register", "pos", "customer", "store"})
BALANCE_SHEET = frozenset({"asset", "assets", "liability", "liabilities", "equity"})
KINDS_OF_ACCOUNTS = BALANCE_SHEET | {"income", "expense", "expenses", "revenue"}
LINES_OF_ORDERS = ("lineitem", "line item")
MAILS = frozenset({"email", "mail", "gross", "brutto", "brut"})


def is_certain(found: Findings, candidate: Candidate, field: str) -> bool:
    """True if the name and the values of a column both say that it is the field."""
    test = TESTS.get(field)
    if field == "payment_method" and is_market(found) and not _is_named(candidate):
        return False  # nothing is paid in cash where trades are booked on a cash account
    if field == "merchant":
        if candidate.name.phrase in MAKERS and any(_is_of_a_till(one.name) for one in found.profiles):
            return False  # who made, supplied or sold one of the things
        describes_things = candidate.name.score < CLEAR_NAME and _has_things(found, candidate)
        return not describes_things and names_other_party(found, candidate)
    if field == "customer_id" and _is_ledger(found):
        return False  # accounts are what the books are made of
    if field == "customer_id" and candidate.name.exact and candidate.name.score >= CLEAR_NAME:
        return _names_other_account(found) or _is_customer(candidate)
    return test is None or test(candidate)


def _is_ledger(found: Findings) -> bool:
    """True if a column says which accounts are assets, liabilities, income and so on."""
    kinds = [{normalise(cell) for cell in one.distinct} & KINDS_OF_ACCOUNTS for one in found.profiles]
    return any(len(some) > 1 and some & BALANCE_SHEET for some in kinds)


def _is_of_a_till(name: str) -> bool:
    """True for the columns of somebody who sells: the lines of orders, the shop, the cashier."""
    text = normalise(name)
    return text.startswith((*LINES_OF_ORDERS, *BUYERS)) or bool(set(text.split()) & TILLS)


def _has_things(found: Findings, candidate: Candidate) -> bool:
    """True if a description tells what was sold or traded: next to pieces, products, prices, coins or securities."""
    words = {word for profile in found.profiles for word in normalise(profile.name).split()}
    if is_market(found) or _has_coins(found) or _has_brokers_kinds(found, candidate.profile):
        return True
    if candidate.name.phrase in NAMES and words & MAILS:
        return False  # people who sell and pay, as in PayPal's exports
    priced = (
        any(set(normalise(name).split()) & PRICE_WORDS for name in found.uses["amount"].columns)
        if "amount" in found.uses
        else False
    )
    pieces = any(
        vocabulary.best_role(one.name)[0] in ("quantity", "unit_price") and one.numbers > 0 for one in found.profiles
    )
    return priced or pieces or bool(words & THINGS)


def _has_coins(found: Findings) -> bool:
    return any(
        profile.share(lambda cell: cell.upper() in word_list("crypto")) >= HALF
        for profile in found.profiles
        if profile.letters >= HALF
    )


def _has_brokers_kinds(found: Findings, described: Profile) -> bool:
    """True if another column says in most rows what a broker did: bought, sold, paid a dividend."""
    texts = (profile for profile in found.profiles if profile.index != described.index and profile.letters >= HALF)
    return any(_trades(profile) for profile in texts)


def _trades(profile: Profile) -> bool:
    sides = {direction_of(cell) for cell in profile.distinct if normalise(cell) in trade_words()}
    kinds = profile.share(lambda cell: normalise(cell) in kind_words())
    return bool(sides) and len(profile.distinct) > 1 and kinds >= HALF


def _names_other_account(found: Findings) -> bool:
    """True if another column holds the account of the other party, so that an account is the customer's own."""
    return any(
        vocabulary.best_role(profile.name)[0] == "other_party" and normalise(profile.name).startswith(OTHER_PARTIES)
        for profile in found.free()
    )


def _is_customer(candidate: Candidate) -> bool:
    name, profile = candidate.name, candidate.profile
    if not name.exact:
        return False
    if name.phrase.endswith(ID_ENDS) or names_payer(name.phrase):
        return True
    # An account that changes from row to row is that of the other party. One's own accounts are few. Debit and Credit
    # are no accounts.
    return (len(profile.distinct) == 1 or profile.uniqueness <= HALF) and profile.directions < HALF


def _is_category(candidate: Candidate) -> bool:
    return candidate.name.exact and candidate.name.score >= CLEAR_NAME


def _is_country(candidate: Candidate) -> bool:
    return candidate.name.exact and candidate.name.score >= CLEAR_NAME


def _is_status(candidate: Candidate) -> bool:
    named = candidate.name.exact and candidate.name.score >= CLEAR_NAME and candidate.name.phrase not in UNSURE_NAMES
    return named or (candidate.name.exact and _says(candidate.profile, "status"))


def _is_payment_method(candidate: Candidate) -> bool:
    if _is_named(candidate):
        return candidate.profile.share(_is_code) < HALF
    if candidate.profile.share(_has_number) > 0:
        return False  # a method is a word, and these texts tell more than that
    return candidate.name.exact and candidate.name.score >= GOOD_NAME and _says(candidate.profile, "payment_method")


def _is_named(candidate: Candidate) -> bool:
    """True for names that can mean nothing but a payment method."""
    name = candidate.name
    return name.exact and name.score >= CLEAR_NAME and name.phrase not in UNSURE_NAMES


def _is_code(cell: str) -> bool:
    return " " not in cell and sum(char.isdigit() for char in cell) > 2


def _has_number(cell: str) -> bool:
    return NUMBER.search(cell) is not None


def _says(profile: Profile, field: str) -> bool:
    """True if most cells contain a word of the field."""
    return profile.share(lambda cell: _has_word(cell, field)) > HALF


@lru_cache(maxsize=50_000)
def _has_word(cell: str, field: str) -> bool:
    known, text = field_words(field), normalise(cell)
    if text in known:
        return True
    words = [word for word in text.split() if word not in OTHER_WORDS]
    pairs = {f"{one} {two}" for one, two in pairwise(words)}
    if known & {*(word for word in words if len(word) > 1), *pairs}:
        return True
    begins = tuple(word for word in known if len(word) >= SHORTEST_STEM)
    inside = [word for word in known if len(word) >= SHORTEST_INSIDE]
    return any(word.startswith(begins) or any(part in word for part in inside) for word in words)


TESTS: dict[str, Callable[[Candidate], bool]] = {
    "customer_id": _is_customer,
    "category": _is_category,
    "country": _is_country,
    "status": _is_status,
    "payment_method": _is_payment_method,
}
