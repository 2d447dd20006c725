"""Decides whether the column taken for the amount is a price per piece or a number of pieces instead."""

from __future__ import annotations

from decimal import Decimal
from itertools import compress, permutations

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import normalise, without_brackets
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import (
    BY_VALUES,
    CLEAR_NAME,
    ENOUGH,
    GOOD_NAME,
    GUESS,
    MOST_CHOICES,
    Candidate,
    Findings,
    choices,
)
from rtp_workers.mapping.columns.profile import HALF, MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.columns.vocabulary import DECOYS
from rtp_workers.mapping.columns.words_and_signs import sign_of
from rtp_workers.mapping.toml_text import quoted

UNIT_PRICES = frozenset(
    {"price", "unit price", "item price", "unitprice", "value", "cost", "lineitem price", "product price"}
)
PRICES = UNIT_PRICES - {"value", "cost"}
PRICE_WORDS = frozenset(
    {"price", "preis", "prix", "precio", "preco", "prezzo", "prijs", "pris", "cena", "kurs", "koers"}
    | {"harga", "fiyat", "fiyati", "gia", "hinta", "cijena", "цена", "ціна", "pret"}
)
WORDS_OF_A_TOTAL = frozenset({"total", "full", "paid", "final", "sum", "gesamt", "totale", "order", "invoice", "net"})
MARKETS = frozenset(
    {"cryptocurrency"}
    | {"ticker", "symbol", "shares", "isin", "security", "instrument", "pair", "market", "coin", "asset"}
    | {"symbole", "simbolo", "wertpapier", "wertpapiere", "wkn", "titre", "strumento", "valor mobiliario", "cusip"}
)
SHARE_WORDS = frozenset({"percent", "percentage", "pct", "rate", "share", "prozent", "taux", "tasa", "satz", "zins"})
SHOP_WORDS = frozenset({"invoice", "customer", "sku", "rechnung", "kunde", "facture", "factura", "fattura", "cliente"})
PIECES_COME_AND_GO = 'sign = "negate"  # pieces that come in are paid for: their amount is negative'
LOOKED_AT_ROWS, LEAST_ROWS = 200, 2
ROWS_THAT_TELL, VARIES, NEARLY_CONSTANT = 4, Decimal("1.5"), Decimal("1.25")
# A product may differ by a rounded cent, or by a thousandth if the price was rounded.
CENT, THOUSANDTH = Decimal("0.011"), Decimal("0.001")
MOST_FACTORS = 8
SOMETIMES = 0.2  # share of rows
NO_TOTALS = DECOYS - {"other_amount"}  # a subtotal is the row's amount if nothing is called its total
# Beginnings of words in a dozen languages.
GROSS, NET = ("gross", "brut", "lord"), ("net",)


def find_quantity(found: Findings) -> None:
    """Asks whether a price per unit must be multiplied by a quantity. Only the mapping can say so."""
    if found.take_given("quantity") or "amount" in found.section.columns:
        return
    _take_total(found)
    use = found.uses["amount"]
    if _ask_which_price(found):
        return
    # Prices have no sign.
    is_price = use.confidence <= GUESS or (
        _may_be_per_piece(use.columns[0]) and not found.profile(use.columns[0]).signed
    )
    quantities = found.candidates("quantity", _is_number) if is_price else []
    several = [candidate for candidate in quantities if set(candidate.profile.distinct) - {"0", "1", "1.0"}]
    if several and (_is_total(found, several[0].profile) or _take_other_total(found, several[0].profile)):
        return
    if several:
        question = f"{use.columns[0]} may be the price of one unit of {several[0].profile.name}"
        found.ask(
            "amount",
            question,
            f"columns.amount = {quoted(use.columns)}",
            f"columns.quantity = {quoted([several[0].profile.name])}  # multiplied; omit it for the price alone",
            *((PIECES_COME_AND_GO,) if several[0].profile.signed and not _is_shop(found) else ()),
        )
    elif use.confidence <= GUESS or (is_price and use.confidence < GOOD_NAME and is_market(found)):
        line = f"# columns.amount = {quoted(use.columns)}"  # a price is seldom the answer
        found.ask("amount", f"only {use.columns[0]} may be the amount", line)
    elif not is_price:
        _ask_whether_pieces(found)
        _ask_about_signed_pieces(found)
        _ask_gross_or_net(found)


def _ask_which_price(found: Findings) -> bool:
    """Asks if a price per unit is only a guess and there are several, as for buying and selling."""
    use = found.uses["amount"]
    chosen = found.profile(use.columns[0])
    others = [one.profile for one in found.candidates("unit_price", _is_number)]
    different = [one for one in others if list(one.cells) != list(chosen.cells)]
    if use.confidence > GUESS or not different:
        return False
    listed = [chosen, *different][:MOST_CHOICES]
    lines = choices("amount", listed)
    lines += [
        f"# columns.quantity = {quoted([one.profile.name])}  # if it is multiplied"
        for one in found.candidates("quantity", _is_number)[:1]
    ]
    names = ", ".join(one.name for one in listed)
    found.ask("amount", f"several columns are prices, and nothing shows which one was paid: {names}", *lines)
    return True


def _is_number(profile: Profile) -> float:
    return float(profile.numbers >= NEARLY_ALL)


def _may_be_per_piece(name: str) -> bool:
    """True for names that say price, unless they say that it is the price of everything."""
    words = set(normalise(name).split())
    return normalise(name) in UNIT_PRICES or (bool(words & PRICE_WORDS) and not words & WORDS_OF_A_TOTAL)


def _take_total(found: Findings) -> None:
    """Takes the column that equals price times pieces instead of the price, whatever it is called."""
    price = found.profile(found.uses["amount"].columns[0])
    if not _is_price(price):
        return
    others = [one for one in found.free() if one.numbers >= NEARLY_ALL and one.dates < NEARLY_ALL]
    for total, pieces in permutations(others[:MOST_FACTORS], 2):
        varies = len(pieces.distinct) > 1 and len(price.distinct) > 1
        if varies and _may_be_total(total) and is_product(total, price, pieces):
            found.taken.discard(price.index)
            found.take("amount", [total], BY_VALUES, f"values ({price.name} times {pieces.name})")
            return


def _is_total(found: Findings, pieces: Profile) -> bool:
    """True if the amount equals these pieces times a price in another column."""
    total = found.profile(found.uses["amount"].columns[0])
    if _grows_with(total, pieces):
        return True
    others = [one for one in found.free() if one is not pieces and one.numbers >= NEARLY_ALL]
    return any(is_product(total, price, pieces, in_hundredths=True) for price in others)


def _grows_with(total: Profile, pieces: Profile) -> bool:
    """True if pieces vary and the amount varies with them: a price per litre changes little from fill to fill."""
    rows = zip(map(value_of, total.column[:LOOKED_AT_ROWS]), map(value_of, pieces.column), strict=False)
    known = [(money, count) for money, count in rows if money and count]
    if len(known) < ROWS_THAT_TELL:
        return False
    counts, prices = [count for _, count in known], [money / count for money, count in known]
    return max(counts) >= min(counts) * VARIES and max(prices) <= min(prices) * NEARLY_CONSTANT


def _take_other_total(found: Findings, pieces: Profile) -> bool:
    """Takes the column that equals these pieces times another price than the one that was found."""
    price = found.profile(found.uses["amount"].columns[0])
    others = [one for one in found.free() if one.numbers >= NEARLY_ALL and one.dates < NEARLY_ALL and one is not pieces]
    totals = [
        (total, factor)
        for total, factor in permutations(others[:MOST_FACTORS], 2)
        if len(factor.distinct) > 1 and _may_be_total(total) and is_product(total, factor, pieces)
    ]
    if len({total.index for total, _ in totals}) != 1:
        return False
    total, factor = totals[0]
    found.taken.discard(price.index)
    found.take("amount", [total], BY_VALUES, f"values ({factor.name} times {pieces.name})")
    return True


def _may_be_total(profile: Profile) -> bool:
    return vocabulary.best_role(profile.name)[0] not in NO_TOTALS


def _ask_about_signed_pieces(found: Findings) -> None:
    """Asks if pieces come and go, but their money has no sign, or that of the pieces: who gets pieces pays for them."""
    amount = found.profile(found.uses["amount"].columns[0])
    if found.section.sign is not None:
        return
    others = [one for one in found.free() if one.numbers >= NEARLY_ALL and one.dates < NEARLY_ALL]
    for pieces, price in permutations(others[:MOST_FACTORS], 2):
        come_and_go = pieces.signed and not pieces.all_negative
        if not come_and_go or len(price.distinct) < 2 or not is_product(amount, price, pieces):
            continue
        if not amount.signed:
            found.ask(
                "amount",
                f"{amount.name} has no sign, but it is {price.name} times {pieces.name}, which has one",
                f"columns.amount = {quoted([price.name])}",
                f"columns.quantity = {quoted([pieces.name])}",
                PIECES_COME_AND_GO,
                '# sign = "as_is"  # keep the amounts as they are, without columns.quantity',
            )
        elif is_market(found) and _have_the_same_signs(amount, pieces) and not _names_sides(found):
            found.ask(
                "amount",
                f"{amount.name} has the sign of {pieces.name}: no minus where pieces come in, but they are paid for",
                '# sign = "negate"  # what comes in is money out',
                '# sign = "as_is"  # keep the signs as they are',
            )
        return


def _have_the_same_signs(one: Profile, other: Profile) -> bool:
    rows = zip(one.column, other.column, strict=True)
    return all(sign_of(cell) == sign_of(also) for cell, also in rows if cell and also)


def _names_sides(found: Findings) -> bool:
    """True if a column has words for both sides: they are compared with the signs elsewhere."""
    return any({"debit", "credit"} <= one.direction_kinds for one in found.free())


def _ask_gross_or_net(found: Findings) -> None:
    """Asks which of two amounts of a trade counts: before or after the commission, or with the sign."""
    amount = found.profile(found.uses["amount"].columns[0])
    plain = vocabulary.score(amount.name, "amount").phrase in PLAIN_AMOUNTS
    if not is_market(found) or not (plain or _says(GROSS, amount.name)):
        return
    for one in found.candidates("amount", lambda profile: float(profile.numbers >= NEARLY_ALL)):
        if list(one.profile.cells) == list(amount.cells):
            continue
        lines = choices("amount", [one.profile, amount])
        if _says(NET, one.profile.name):
            found.ask("amount", f"{amount.name} is before the commission, {one.profile.name} after it", *lines)
            return
        if not plain and one.profile.has_both_signs and not amount.signed:
            found.ask(
                "amount", f"{amount.name} is the gross amount and has no sign; {one.profile.name} has one", *lines
            )
            return


def total_with_fee(found: Findings, candidates: list[Candidate]) -> Candidate | None:
    """Returns the total of two amounts that differ by a fee in each row: it is what was really paid or received."""
    totals = [one for one in candidates if "total" in normalise(one.profile.name).split()]
    rest = [one for one in candidates if one not in totals]
    if len(totals) != 1 or len(rest) != 1:
        return None
    fees = [one for one in found.free() if vocabulary.best_role(one.name)[0] == "fee" and one.numbers >= NEARLY_ALL]
    total, amount = totals[0].profile, rest[0].profile
    return totals[0] if any(_differ_by(total, amount, fee) for fee in fees) else None


def _differ_by(total: Profile, amount: Profile, fee: Profile) -> bool:
    cells = zip(total.column[:LOOKED_AT_ROWS], amount.column, fee.column, strict=False)
    rows = [[abs(value_of(cell) or Decimal(0)) for cell in row] for row in cells if row[0] and row[1]]
    return bool(rows) and all(abs(paid - before) == extra for paid, before, extra in rows)


def _says(beginnings: tuple[str, ...], name: str) -> bool:
    return any(word.startswith(beginnings) for word in normalise(name).split())


def _ask_whether_pieces(found: Findings) -> None:
    """Asks if the amount may be a number of pieces whose price is next to it."""
    amount = found.profile(found.uses["amount"].columns[0])
    if any(_is_currency_of(profile, amount) for profile in found.free()):
        return  # pieces have no currency
    factor = _factor_of(found, amount)
    price = factor or next((profile for profile in found.free() if _is_price(profile)), None)
    counted = found.candidates("quantity", lambda profile: float(profile.numbers >= NEARLY_ALL))
    if amount.signed and (paid := _paid_for(found, amount)) is not None:
        question = f"{amount.name} may be a number of units: {paid.name} has the opposite signs"
        found.ask("amount", question, *choices("amount", [paid, amount]))
    if amount.signed or (counted and factor is None):
        return  # pieces have no sign, and are counted elsewhere
    if price is None or vocabulary.score(amount.name, "amount").phrase not in PLAIN_AMOUNTS:
        return
    if sum(map(str.__eq__, price.column, amount.column)) > amount.rows * SOMETIMES:
        return  # the price of a single piece
    others = [profile for profile in found.free() if profile is not price and profile.numbers >= NEARLY_ALL]
    if any(is_product(amount, price, other) for other in others):
        return  # the amount is pieces times price
    money = next((other for other in others if is_product(other, price, amount)), None)
    if money is None and not (is_market(found) or (amount.whole_numbers >= NEARLY_ALL and not amount.signed)):
        return
    if money is not None and vocabulary.score(amount.name, "quantity").score >= ENOUGH:
        found.taken.discard(amount.index)
        found.take("amount", [money], BY_VALUES, f"values ({price.name} times {amount.name})")
        return
    if money is not None:
        lines = (f"columns.amount = {quoted([money.name])}", f"# columns.amount = {quoted([amount.name])}")
    else:
        lines = (
            f"columns.amount = {quoted([price.name])}",
            f"columns.quantity = {quoted([amount.name])}  # multiplied; omit it for the price alone",
        )
    found.ask("amount", f"{amount.name} may be a number of units, with {price.name} as their price", *lines)


def _paid_for(found: Findings, pieces: Profile) -> Profile | None:
    """Returns the column with what was paid for these pieces: price times pieces, with the opposite sign."""
    numbers = [one for one in found.free() if one.numbers >= MOST and one.dates < NEARLY_ALL]
    prices = [one for one in numbers if _is_price(one)]
    paid = [one for one in numbers if one.signed and one not in prices]
    return next((one for one in paid if any(_goes_the_other_way(one, price, pieces) for price in prices)), None)


def _goes_the_other_way(money: Profile, price: Profile, pieces: Profile) -> bool:
    """True if in most rows the money is the product of the other two, with the opposite sign of the pieces."""
    rows = []
    for cells in zip(money.column[:LOOKED_AT_ROWS], price.column, pieces.column, strict=False):
        signs, values = [sign_of(cell) for cell in cells], [value_of(cell) for cell in cells]
        if all(signs) and all(values):
            opposite = signs[0] == -signs[2]
            rows.append(opposite and _is_product_to_within_a_cent(*(value for value in values if value is not None)))
    return len(rows) >= LEAST_ROWS and sum(rows) > len(rows) * HALF


def _is_product_to_within_a_cent(money: Decimal, price: Decimal, pieces: Decimal) -> bool:
    return abs(money - price * pieces) <= max(CENT, money * THOUSANDTH)


def _is_shop(found: Findings) -> bool:
    """True if the rows are what a shop has sold: its pieces go out, and a minus marks those that come back."""
    return any(set(normalise(profile.name).split()) & SHOP_WORDS for profile in found.profiles)


def is_market(found: Findings) -> bool:
    """True if some column names a security or a coin."""
    return any(set(normalise(profile.name).split()) & MARKETS for profile in found.profiles)


def _factor_of(found: Findings, pieces: Profile) -> Profile | None:
    """Returns a column whose product with these pieces stands in a third one, so that it is their price."""
    others = [one for one in found.free() if one.numbers >= NEARLY_ALL and one.dates < NEARLY_ALL]
    known = [one for one in others if _may_be_total(one) and len(one.distinct) > 1]
    pairs = permutations(known[:MOST_FACTORS], 2)
    return next((price for total, price in pairs if is_product(total, price, pieces)), None)


PLAIN_AMOUNTS = frozenset({"amount", "amt", "cantidad", "valor", "vol"})


def _is_currency_of(profile: Profile, amount: Profile) -> bool:
    named = vocabulary.score(profile.name, "currency").score > CLEAR_NAME
    return named and profile.index == amount.index + 1 and profile.filled > MOST


def _is_price(profile: Profile) -> bool:
    plain = normalise(without_brackets(profile.name) or profile.name)
    per_piece = plain in PRICES or vocabulary.score(profile.name, "unit_price").score >= ENOUGH
    return per_piece and profile.numbers >= NEARLY_ALL


def is_product(product: Profile, one: Profile, other: Profile, *, in_hundredths: bool = False) -> bool:
    """True if one column is the product of the other two, to within a cent or a thousandth.

    Rows in which a factor is 1 say nothing about which of the three is the product. Some others must say it.

    Args:
        in_hundredths: the factors may also be pieces and a price in cents.
    """
    in_cents = in_hundredths and not any(_is_share(one.name) for one in (one, other))
    rows, hundredths, telling = [], [], []
    for cells in zip(product.column[:LOOKED_AT_ROWS], one.column, other.column, strict=False):
        parts = [value_of(cell) for cell in cells]
        if all(parts):
            money, price, pieces = (abs(part) for part in parts if part is not None)
            telling.append(1 not in (price, pieces))
            rows.append(_is_product_to_within_a_cent(money, price, pieces))
            hundredths.append(in_cents and _is_product_to_within_a_cent(money, price, pieces / 100))
    return len(rows) >= LEAST_ROWS and any(
        sum(fits) >= len(fits) * MOST and sum(compress(fits, telling)) > sum(telling) * HALF
        for fits in (rows, hundredths)
    )


def _is_share(name: str) -> bool:
    return "%" in name or bool(set(normalise(name).split()) & SHARE_WORDS)


def value_of(cell: str) -> Decimal | None:
    """Returns the number in a cell without its sign, or None."""
    part = amounts.take_apart(cell) if cell else None
    number = part.number.replace(",", "").replace(" ", "") if part is not None else ""
    return Decimal(number) if number.replace(".", "", 1).isdigit() else None
