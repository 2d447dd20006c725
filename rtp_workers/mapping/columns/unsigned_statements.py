"""Asks about the sign of amounts in statements that show it from the bank's side, or of withdrawals without one.

The statement of a card often has purchases without a minus and payments with one: the payments show that the signs are
turned. A list of withdrawals may have no sign whatsoever. Other amounts without a minus are read as they are written,
and a note says so: the numbers do not show whether they are purchases. What a shop sells, invoices or is paid is
positive, and nothing is said about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import compact, normalise, without_brackets
from rtp_workers.mapping.cells.words import statement_words, word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.balance_walk import walks_through
from rtp_workers.mapping.columns.findings import ENOUGH, GOOD_NAME, STRONG_NAME, Findings
from rtp_workers.mapping.columns.other_party import MASKED, is_account
from rtp_workers.mapping.columns.profile import HALF, NEARLY_ALL, Profile
from rtp_workers.mapping.columns.words_and_signs import sign_of
from rtp_workers.mapping.toml_text import quoted

AS_IS = '# sign = "as_is"  # keep the signs as they are'
NEGATE = '# sign = "negate"  # positive amounts are money out: they get a minus, and negative ones lose theirs'
SELDOM_REFUNDED = 0.25  # of so many purchases, at most this share is returned or paid
MANY_PURCHASES, SOME_PURCHASES = 8, 4  # fewer rows show nothing; next to cards, some are enough
CARD_WORDS = frozenset({"card", "cardmember", "cardholder", "karteninhaber", "kreditkarte"})
ACCOUNT_CODE = re.compile(r"[A-Z]{0,3}[0-9][0-9./ -]*")  # such as 131-1 or 1200
LEAST_CODES = 2
JOURNAL_SIDES = tuple(
    (frozenset(out), frozenset(into))
    for out, into in (
        (("debit", "dr", "debet", "debito", "debe"), ("credit", "cr", "kredit", "credito", "haber")),
        (("soll", "sollkonto", "wn", "winien", "dare"), ("haben", "habenkonto", "ma", "avere")),
    )
)
HASHES = frozenset({"txid", "hash", "txhash"})
ADDRESSES = frozenset({"address", "アドレス", "地址", "adresse", "direccion", "endereco", "indirizzo", "адрес", "주소"})
SELDOM = 0.1  # share of the positive amounts that may say money in, too
LOOKED_AT_ROWS = 2_000
MOST_IDS = 1  # a statement has at most one column of ids; the table of a program has several
TEXT_ROLES = frozenset({"merchant", "category", "payment_method", "direction", "status", ""})
OTHER_ROLES = frozenset({"quantity", "unit_price", "fee", "label", "step"})


def ask_about_bank_view(found: Findings, amount: Profile) -> bool:
    """Asks if most amounts are positive and the few negative ones say money in: payments, refunds, deposits."""
    if _is_of_documents(found):
        return False
    rows = list(_signs_and_texts(found, amount))
    into, out = ([texts for sign, texts in rows if sign == side] for side in (-1, 1))
    bought = _is_statement(found, amount)
    purchases = {cell for texts in out for cell in texts if cell in statement_words("purchases")}
    received = [_received(texts, bool(purchases) or bought) for texts in into]
    refunds = [_says("refunds", texts) for texts in into]
    told = sum(map(any, zip(received, refunds, strict=True)))
    thanked = any(_says("thanks", texts) for texts in into)
    if not into or len(into) > len(out) or (len(into) == len(out) and not thanked):
        return False
    sold = sum(_says("sales", texts) for texts in out)
    texts_say_so = thanked or (told >= len(into) * HALF and (any(received) or (bought and not sold)))
    texts_say_so = texts_say_so or (bought and _is_taken_back(found, amount))
    if not texts_say_so and not (bought and sold <= len(out) * SELDOM and _are_seldom_refunds(found, into, out)):
        return False
    if sum(_received(texts, False) or _says("refunds", texts) for texts in out) > len(out) * SELDOM:
        return False
    found.ask(
        "amount",
        f"{amount.name} has a minus only in {len(into)} of {len(rows)} rows, and these may be money in, such as "
        "payments and refunds; which sign does money out have",
        NEGATE,
        AS_IS,
    )
    return True


def _is_taken_back(found: Findings, amount: Profile) -> bool:
    """True if one amount is exactly the opposite of another one with the same texts: what was bought was returned."""
    seen: set[tuple[int, str, tuple[str, ...]]] = set()
    columns = [one.column for one in found.profiles if one is not amount and _is_text(one)]
    for at, cell in enumerate(amount.column[:LOOKED_AT_ROWS]):
        part, sign = amounts.take_apart(cell) if cell else None, sign_of(cell)
        if part is None or not sign:
            continue
        number, texts = part.number, tuple(compact(column[at]) for column in columns)
        if (-sign, number, texts) in seen:
            return True
        seen.add((sign, number, texts))
    return False


def _are_seldom_refunds(found: Findings, into: list[tuple[str, ...]], out: list[tuple[str, ...]]) -> bool:
    """True if few rows have a minus, next to cards, or where the same shop has an amount without one: a refund."""
    has_cards = _has_card_holders(found)
    if len(into) > len(out) * SELDOM_REFUNDED or len(out) < (SOME_PURCHASES if has_cards else MANY_PURCHASES):
        return False
    shops = {max(texts, key=len, default="") for texts in out}
    returned = sum(max(texts, key=len, default="") in shops for texts in into)
    return has_cards or returned >= len(into) * HALF


def ask_about_unsigned(found: Findings, amount: Profile) -> None:
    """Asks if no amount has a minus, but other columns say that money went out; else only notes what is not known."""
    if _is_of_documents(found) or not amount.nonzero or ask_about_journal(found, amount):
        return
    if is_list_of_transfers(found):
        _ask(found, amount, "coins sent to an address, or received at one")
    elif _is_list_of_withdrawals(found):
        _ask(found, amount, "withdrawals, as other columns say")
    elif _is_statement(found, amount) and not _is_proven(found, amount):
        rows = list(_signs_and_texts(found, amount))
        if sum(_received(texts, False) or _says("earnings", texts) for _, texts in rows) <= len(rows) * HALF:
            found.notes.append(
                f"no amount in {amount.name} has a sign: all are read as money in. If they are purchases, add "
                'sign = "negate" to the section'
            )


def ask_about_journal(found: Findings, amount: Profile) -> bool:
    """Asks if two columns of accounts are the sides of a journal: each row fills one, or their names say so.

    A few amounts may have a minus: entries that were taken back.
    """
    few = [sign for cell in amount.column[:LOOKED_AT_ROWS] if (sign := sign_of(cell))]
    if few.count(-1) > len(few) * SELDOM_REFUNDED:
        return False
    columns = [one for one in found.free() if one.cells and one.dates < HALF]
    for debit, credit in combinations(columns, 2):
        coded = not amount.signed and _holds_codes(debit) and _holds_codes(credit)
        if (coded and _take_turns(debit, credit)) or _are_named_sides(debit, credit):
            found.ask(
                "amount",
                f"{'hardly any' if amount.signed else 'no'} amount in {amount.name} has a sign, but {debit.name} and "
                f"{credit.name} may be the two sides of a journal; which rows are wanted, and which sign do they have",
                *_lines_that_skip(found, debit),
                NEGATE,
                AS_IS,
            )
            return True
    return False


def _lines_that_skip(found: Findings, accounts: Profile) -> list[str]:
    """Returns the line that leaves out the rows of one account, unless cells of other columns begin with it, too."""
    first = accounts.cells[0]
    others = (one for one in found.profiles if one is not accounts)
    if any(cell.startswith(first) for one in others for cell in one.distinct):
        return []
    return [f"# skip_rows = [{quoted([first])}]  # leaves out rows with a cell that starts like this"]


def _holds_codes(profile: Profile) -> bool:
    return (
        len(profile.cells) >= LEAST_CODES
        and not profile.is_decimal
        and profile.share(lambda cell: ACCOUNT_CODE.fullmatch(cell) is not None) >= HALF
    )


def _take_turns(one: Profile, other: Profile) -> bool:
    return all(bool(cell) != bool(also) for cell, also in zip(one.column, other.column, strict=True))


def _are_named_sides(one: Profile, other: Profile) -> bool:
    """True for accounts called Debit and Credit, Soll and Haben, Wn and Ma, in either order."""
    words = [set(normalise(profile.name).split()) for profile in (one, other)]
    orders = (words, words[::-1])
    return any(bool(left & out) and bool(right & into) for out, into in JOURNAL_SIDES for left, right in orders)


def _ask(found: Findings, amount: Profile, what: str) -> None:
    found.ask("amount", f"no amount in {amount.name} has a sign, and they may be {what}", NEGATE, AS_IS)


def _is_of_documents(found: Findings) -> bool:
    """True for the values of events: they say what happened to a payment, and have no side."""
    return any(isinstance(profile.name, vocabulary.DocumentPath) for profile in found.profiles)


def _is_statement(found: Findings, amount: Profile) -> bool:
    """True for the columns of a statement: a date, a text that describes, and an amount that only says amount.

    Orders, invoices, data sets and lists of payments have columns of their own: customers, pieces, fees, ids.
    """
    words_of_amount = normalise(without_brackets(amount.name) or amount.name).split()
    if not set(words_of_amount) <= word_list("plain_amounts") | {"transaction"}:
        return False
    others = [profile for profile in found.profiles if profile is not amount]
    if any(vocabulary.best_role(one.name)[0] in OTHER_ROLES and one.nonzero for one in others):
        return False
    words = [set(normalise(profile.name).split()) for profile in others]
    words = [one for one in words if one != {"card", "member"}]
    if any(one & word_list("business_columns") for one in words) or sum("id" in one for one in words) > MOST_IDS:
        return False
    return any(_describes(profile) for profile in others)


def _describes(profile: Profile) -> bool:
    """True for a booking text: a description, but not a vendor or a payee."""
    name = vocabulary.score(profile.name, "merchant")
    return GOOD_NAME <= name.score < STRONG_NAME and name.exact and profile.letters >= HALF


def _is_proven(found: Findings, amount: Profile) -> bool:
    """True if a balance rises by the amounts."""
    others = [one for one in found.free() if one.cells and one.numbers >= NEARLY_ALL]
    return any(walks_through(one, amount, None) for one in others) and not _has_cards(found)


def _has_cards(found: Findings) -> bool:
    """True if cells are masked numbers of cards: the balance is then a debt, which purchases raise."""
    return any(profile.share(lambda cell: MASKED.match(cell) is not None) > HALF for profile in found.profiles)


def _has_card_holders(found: Findings) -> bool:
    return any(set(normalise(profile.name).split()) & CARD_WORDS for profile in found.profiles) or _has_cards(found)


def is_list_of_transfers(found: Findings) -> bool:
    """True for coins with the address of one wallet, and no other column that names a side."""
    names = [normalise(profile.name).split() for profile in found.profiles]
    if any({"from", "to", "sender", "receiver"} & set(name) for name in names):
        return False
    coins = any(profile.share(lambda cell: cell.upper() in word_list("crypto")) > 0 for profile in found.profiles)
    wallets = [one for one in found.profiles if set(normalise(one.name).split()) & ADDRESSES]
    hashed = any(set(name) & HASHES for name in names)
    return coins and any(hashed or one.share(is_account) > HALF for one in wallets)


def _is_list_of_withdrawals(found: Findings) -> bool:
    """True if a column's name, or all cells of a column, say withdrawal, and nothing says deposit."""
    names = [normalise(profile.name) for profile in found.profiles]
    cells = [tuple(map(normalise, one.distinct)) for one in found.profiles if one.letters == 1.0]
    said = _says("withdrawals", tuple(names)) or any(
        all(_says("withdrawals", (cell,)) for cell in one) for one in cells
    )
    return said and not _says("received", (*names, *(cell for one in cells for cell in one)))


def _signs_and_texts(found: Findings, amount: Profile) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields the sign of each amount, and the normalised texts of its row."""
    columns = [one.column for one in found.profiles if one is not amount and _is_text(one)]
    for at, cell in enumerate(amount.column[:LOOKED_AT_ROWS]):
        if sign := sign_of(cell):
            yield sign, tuple(normalise(column[at]) for column in columns)


def _is_text(profile: Profile) -> bool:
    role, best = vocabulary.best_role(profile.name)
    return profile.letters >= HALF and profile.dates < HALF and (role in TEXT_ROLES or best.score < ENOUGH)


def _received(texts: tuple[str, ...], has_purchases: bool) -> bool:
    """True if a text says that money was received. A mere payment counts where other rows are called purchases."""
    plain = has_purchases and any(text in statement_words("payments") for text in texts)
    return plain or _says("received", texts)


def _says(kind: str, texts: tuple[str, ...]) -> bool:
    return any(_pattern(kind).search(text) is not None for text in texts)


@lru_cache(maxsize=8)
def _pattern(kind: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(statement_words(kind))))})\b")
