"""Tells whether a column names the other party of each transaction: the shop, the payer, the payee.

A description is used as the merchant only in a file where no other column may name the other party. What kind of
payment it was, what it was for, and who owns the account are not the merchant.
"""

from __future__ import annotations

import re

from rtp_workers.mapping.cells.names import compact, normalise, without_brackets
from rtp_workers.mapping.cells.words import kind_words, word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import CLEAR_NAME, ENOUGH, GOOD_NAME, Candidate, Findings
from rtp_workers.mapping.columns.profile import HALF, MOST, Profile

LONGEST_CODE = 3  # the same two or three letters in every row are a code: that of an exchange
SOME_ROWS = 5  # fewer rows than this say nothing about a cell that never changes
MANY_ROWS, FEW_KINDS = 20, 4  # in so many rows, so few different texts are kinds
# So few different texts, and as a share of the rows, are kinds, categories or one's own banks.
MANY_KINDS, OFTEN_REPEATED = 12, 0.2
REPEATED = 0.5  # so few different texts, as a share of the rows, are kinds if they are made of words for kinds
TIMES_AS_MANY = 2  # texts of the column that says more
SOME_ACCOUNTS = 0.2  # share of cells that may be accounts or addresses in a column of names
STRONG = vocabulary.TIERS["strong"]
ACCOUNT = re.compile(r"(?=(?:.*\d){6})[A-Z]{0,4}[\d\s*./X-]{8,}[A-Z0-9]*|0x[0-9a-fA-F]+|[A-Za-z0-9]{26,}")
MASKED = re.compile(r"[\dX*•]{4}[- ]?[*X•]{2,}|[*X•]{2,}")  # the beginning of a card's number
IBAN = re.compile(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){8,30}")
# Names that mean a person or a shop if nothing else is said.
NAMES = frozenset({"name", "naam", "nom", "nombre", "nome", "nama", "nazwa", "nazev", "navn", "namn", "nev", "имя"})
# Names of an organisation that may be the other party, or the account's owner.
ORGANISATIONS = (
    frozenset({"entity", "entity name", "company", "company name", "organization", "organisation", "contractor"})
    | {"organization name", "contractor name", "business name", "firm", "nazev subjektu", "subjekt", "firma", "podmiot"}
    | {"empresa", "entidad", "entidade", "razon social", "razao social", "societe", "entreprise", "raison sociale"}
    | {"unternehmen", "azienda", "ragione sociale", "kontrahent"}
)
# Beginnings of words that mean a person who pays: an account may be anybody's.
PAYERS = (
    *("customer", "cust", "client", "user", "member", "buyer", "shopper", "consumer", "subscriber", "card", "cc"),
    *("household", "patient", "passenger", "guest", "donor", "borrower", "policy", "student", "trader", "nameorig"),
    *("kunde", "kund", "klient", "klant", "cliente", "usuario", "ugyfel", "musteri", "pelanggan", "klien", "karte"),
    *("karta", "karty", "kart", "kort", "carta", "tarjeta", "cartao", "titul", "karteninhaber", "kontoinhaber"),
    *("rekeninghouder", "intestatario", "szamlatulajdonos", "клиент", "карт", "客户", "用户", "顧客", "会員", "卡"),
    *("고객", "holder", "msisdn"),
)
# Beginnings of words for the person who buys: next to their names, a description is not the other party.
BUYERS = (
    *("customer", "client", "buyer", "shopper", "donor", "patient", "guest", "student", "kunde", "kaufer", "kaeufer"),
    *("klient", "klant", "cliente", "acheteur", "comprador", "nabywca", "zakaznik", "kupac", "musteri", "alici"),
    *("pelanggan", "pembeli", "khach hang", "клиент", "покупател", "客户", "顧客", "買家", "买家", "고객", "구매자"),
)
GIVERS = ("guest", "donor", "contributor", "sponsor", "backer", "patron")  # their names are never an account's
CODES = frozenset({"reference", "ref", "id", "no", "nr", "number", "nummer", "code", "numero", "type", "group"})
PERSON = (
    *("first name", "last name", "surname", "vorname", "nachname", "prenom", "nombres", "apellido"),
    *("sobrenome", "voornaam", "achternaam", "cognome", "fornavn", "etternavn", "fornamn", "efternamn", "imie"),
)
# Beginnings of words that name only one side of a payment. On the other side is the account's owner.
SENDERS = (
    *("sender", "payer", "debtor", "remitter", "originator", "absender", "zahlungspflicht", "auftraggeber", "zahler"),
    *("ordenante", "remitente", "pagador", "emetteur", "expediteur", "opdrachtgever", "afzender", "betaler"),
    *("ordinante", "mittente", "nadawc", "zleceniodawc", "odesilatel", "platce", "felado", "avsandare", "avsender"),
    *("maksaja", "gonderen", "отправител", "плательщик", "付款", "pengirim"),
)
RECEIVERS = (
    *("recipient", "receiver", "payee", "beneficiar", "creditor", "empfanger", "empfaenger", "zahlungsempf"),
    *("begunstig", "beguenstig", "destinatari", "beneficiaire", "destinataire", "ontvanger", "odbiorc", "prijemce"),
    *("kedvezmenyezett", "mottagare", "mottaker", "modtager", "saaja", "alici", "получател", "收款", "penerima"),
    *("favorecido", "paid"),
)
SHORT_SIDES = {"from": "sender", "by": "sender", "to": "receiver"}  # only as whole words


def is_account(cell: str) -> bool:
    """True for the number of an account, an IBAN, or the address of a wallet."""
    return IBAN.fullmatch(cell) is not None or ACCOUNT.fullmatch(cell) is not None


def names_payer(name: str) -> bool:
    """True for names with a word for a person who pays, such as customer or cardholder."""
    words = normalise(name).split()
    return any(word.startswith(PAYERS) for word in (*words, "".join(words)))


def names_other_party(found: Findings, candidate: Candidate) -> bool:
    """True if a column is the merchant, and no other column may be it."""
    profile, name = candidate.profile, candidate.name
    if not name.exact or name.score < GOOD_NAME or profile.share(_is_no_name) > SOME_ACCOUNTS:
        return False
    parties = found.uses["merchant"].columns if "merchant" in found.uses else ()
    others = [one for one in found.profiles if one.index not in found.taken or one.name in parties]
    others = [one for one in others if one.index != profile.index and _has_texts(one)]
    if _names_one_of_two_sides(profile, others):
        return False
    never_changes = profile.rows > 1 and len(profile.distinct) == 1
    if name.score >= CLEAR_NAME:
        own = never_changes and profile.rows >= SOME_ROWS and any(map(_names_buyer, found.profiles))
        return not own and not (never_changes and profile.longest <= LONGEST_CODE)
    # The same text in every row is rather the account's owner, or the bank's product.
    if never_changes and (profile.rows >= SOME_ROWS or any(map(_describes_more, others))):
        return False
    if _tells_kinds(profile) or any(_is_category_of(one, profile) for one in found.profiles):
        return False
    if any(_tells_more(one, profile) for one in others):
        return False
    if name.phrase in NAMES:  # next to the name of a person, the name of something else
        return not any(normalise(one.name).startswith(PERSON) for one in others)
    return not any(map(_may_name_party, others)) and not any(map(_names_buyer, found.profiles))


def _is_no_name(cell: str) -> bool:
    if cell.startswith("#") and any(map(str.isdigit, cell)):
        return True  # the number of an order
    return is_account(cell) or "://" in cell or MASKED.match(cell) is not None or not any(map(str.isalpha, cell))


def _has_texts(profile: Profile) -> bool:
    return profile.letters >= HALF and profile.dates < HALF and profile.share(_is_no_name) <= HALF


def _names_one_of_two_sides(profile: Profile, others: list[Profile]) -> bool:
    """True for the receiver next to the sender, or the other way round: in some rows it is the account's owner."""
    sides = _sides(profile.name)
    return len(sides) == 1 and any(len(_sides(one.name)) == 1 and _sides(one.name) != sides for one in others)


def _sides(name: str) -> set[str]:
    sides = set()
    for word in normalise(name).split():
        if word.startswith(SENDERS):
            sides.add("sender")
        elif word.startswith(RECEIVERS):
            sides.add("receiver")
        elif word in SHORT_SIDES:
            sides.add(SHORT_SIDES[word])
    return sides


def _tells_kinds(profile: Profile) -> bool:
    """True for texts that say what kind of payment it was: known words, or very few different texts in many rows."""
    if profile.share(_is_kind) >= HALF:
        return True
    texts = {without_brackets(cell) or cell for cell in profile.distinct}  # what is in brackets tells only when
    repeated = len(texts) <= MANY_KINDS and len(texts) <= len(profile.cells) * OFTEN_REPEATED
    few = len(texts) <= FEW_KINDS or repeated
    few = few or (profile.uniqueness <= REPEATED and profile.share(_names_kind) >= MOST)
    return profile.rows >= MANY_ROWS and few


def _is_category_of(other: Profile, profile: Profile) -> bool:
    """True if a category says the same in most rows."""
    if other is profile or vocabulary.best_role(other.name)[0] != "category":
        return False
    return sum(map(str.__eq__, other.column, profile.column)) > profile.rows * HALF


def _is_kind(cell: str) -> bool:
    text = normalise(cell)
    words = {word for word in text.split() if not word.isdigit()}
    return text in kind_words() or (bool(words) and words <= word_list("payment_words"))


def _names_kind(cell: str) -> bool:
    """True if at least half of the words are for kinds of payment: `Cash Withdrawal - BBL ATM`."""
    words = [word for word in normalise(cell).split() if not word.isdigit()]
    return sum(word in word_list("payment_words") for word in words) * 2 >= len(words) > 0


def _tells_more(other: Profile, profile: Profile) -> bool:
    """True if another description differs from row to row where this one repeats: this one says only the kind."""
    described = vocabulary.score(other.name, "merchant").score >= ENOUGH
    repeats = profile.rows >= SOME_ROWS and profile.uniqueness <= HALF
    return described and repeats and len(other.distinct) >= TIMES_AS_MANY * len(profile.distinct)


def _describes_more(other: Profile) -> bool:
    return len(other.distinct) > 1 and vocabulary.score(other.name, "merchant").score >= ENOUGH


def _names_buyer(profile: Profile) -> bool:
    """True if different people buy, so that the file is the seller's."""
    repeats = profile.rows >= SOME_ROWS and profile.uniqueness <= OFTEN_REPEATED
    name = normalise(profile.name)
    is_one = name.startswith(GIVERS) or (vocabulary.best_role(name)[0] == "customer_id" and name.startswith(BUYERS))
    is_name = not set(name.split()) & CODES and _has_texts(profile)
    return is_one and is_name and len(profile.distinct) > 1 and not repeats


def _may_name_party(profile: Profile) -> bool:
    """True if the name has a word for the other party in it, or says only that it is a name."""
    name = vocabulary.score(profile.name, "merchant")
    if name.score < ENOUGH or names_payer(profile.name):
        return False
    entry = vocabulary.roles()["merchant"].by_joined.get(compact(name.phrase))
    if (entry is not None and entry.weight >= STRONG) or name.phrase in ORGANISATIONS:
        return True
    return name.phrase in NAMES and (profile.rows < SOME_ROWS or len(profile.distinct) > 1)
