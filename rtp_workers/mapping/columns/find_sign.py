"""Decides where the sign of an amount comes from. Only this module decides it; ``rows.how_much`` applies it."""

from __future__ import annotations

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import (
    direction_codes,
    direction_of,
    direction_views,
    trade_words,
)
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.both_ways import ask_about_earnings, ask_both_ways, ask_signs_of_balance
from rtp_workers.mapping.columns.find_flag import ask_about_flag, ask_about_refunds
from rtp_workers.mapping.columns.find_quantity import is_market
from rtp_workers.mapping.columns.find_sides import named_pair
from rtp_workers.mapping.columns.findings import BY_VALUES, CLEAR_NAME, ENOUGH, Findings
from rtp_workers.mapping.columns.profile import NEARLY_ALL, Profile
from rtp_workers.mapping.columns.unsigned_rows import judge_unsigned_rows
from rtp_workers.mapping.columns.unsigned_statements import ask_about_bank_view, ask_about_journal, ask_about_unsigned
from rtp_workers.mapping.columns.words_and_signs import SIDES, sign_of, words_and_signs
from rtp_workers.mapping.columns.words_for_sides import (
    AS_IS,
    FEW_WORDS,
    OPINIONS,
    ask_for,
    ask_some_words,
    ask_two_letters,
    ask_unknown_words,
    named_otherwise,
    says_kind,
    says_nothing,
    trades,
    word_lines,
)
from rtp_workers.mapping.toml_text import quoted, quoted_list

SIDE_ROLES = ("debit", "credit")
REVERSALS = 0.25  # share of the amounts of one side that may have the other sign
# Beginnings of words for income and expense.
INCOME_AND_EXPENSE = (
    *("income", "expense", "expenditure", "earning", "spending", "gasto", "ingreso", "egreso", "despesa", "receita"),
    *("ausgabe", "einnahme", "depense", "recette", "uscit", "entrat", "uitgave", "inkomst", "wydat", "przych", "vydaj"),
    *("prijem", "prijm", "расход", "доход", "витрат", "gider", "gelir", "kiadas", "bevetel", "pengeluaran"),
    *("pemasukan", "支出", "收入", "収入", "지출", "수입", "utgift", "udgift", "meno", "tulo", "cheltuial", "venit"),
    *("rashod", "prihod"),
)
LETTERS_OF_TRADES = frozenset({"b", "s", "ss", "bc", "bs", "sc"})  # buy, sell, sell short, buy to cover
FEWEST_CONTRARY = 2  # rows
CONTRADICTED = 0.9  # share of rows whose sign says the opposite of their word


def find_sign(found: Findings) -> None:
    """Decides where the sign of an amount comes from: its own sign, a word in another column, or the side it is on.

    Asks if a column seems to show the sign in words that are not understood.
    """
    if "amount" not in found.uses:
        found.rules["sign"] = "pair"
        for role in SIDE_ROLES:
            if role in found.uses:
                found.rules[f"{role}_negative"] = found.profile(found.uses[role].columns[0]).all_negative
                _ask_mixed_side(found, found.profile(found.uses[role].columns[0]))
        _ask_opposite_amount(found)
        return
    _ask_opposite_amount(found)
    _find_direction(found, found.profile(found.uses["amount"].columns[0]))


def _ask_mixed_side(found: Findings, side: Profile) -> None:
    """Asks if a side has many amounts with a minus and many without. A few with the other sign are reversals."""
    parts = [part for cell in side.cells if (part := amounts.take_apart(cell)) and part.number.strip("0.,")]
    negative = sum(part.negative for part in parts)
    if found.section.sign is None and min(negative, len(parts) - negative) > len(parts) * REVERSALS:
        found.ask(
            "amount",
            f"{side.name} has a minus in {negative} of {len(parts)} amounts, so its sign says nothing sure; "
            "correct the file, or keep the signs",
            '# sign = "as_is"  # amounts with a minus go the other way',
        )


def _ask_opposite_amount(found: Findings) -> None:
    """Asks if an amount and its two sides have opposite signs, as in a ledger whose debits are positive."""
    if found.section.sign is not None or found.section.columns.keys() & {"amount", *SIDES}:
        return
    if "amount" in found.uses:
        pair = named_pair(found)
        out, into = (pair[0].profile, pair[1].profile) if pair is not None else (None, None)
        totals = [found.profile(found.uses["amount"].columns[0])]
    else:
        into, out = found.amounts_of_uses()
        totals = [one for one in found.free() if vocabulary.score(one.name, "amount").exact and one.signed]
    if into is None or out is None:
        return
    total = next((one for one in totals if _is_opposite(one, into, out)), None)
    if total is not None:
        found.ask(
            "amount",
            f"{total.name} has the opposite signs of {out.name} and {into.name}, or some of them",
            f"# columns.amount = {quoted([total.name])}",
            f"# columns.debit = {quoted([out.name])}",
            f"# columns.credit = {quoted([into.name])}",
        )


def _is_opposite(total: Profile, into: Profile, out: Profile) -> bool:
    rows = zip(total.column, into.column, out.column, strict=True)
    # An amount on the side of money out is money out, whether it has a minus or not.
    signs = [(sign_of(cell), bool(sign_of(plus)) - bool(sign_of(minus))) for cell, plus, minus in rows]
    both = [(one, other) for one, other in signs if one and other]
    return bool(both) and sum(one == -other for one, other in both) >= len(both) * REVERSALS


def _find_direction(found: Findings, amount: Profile) -> None:
    if found.section.sign is not None and "direction" not in found.section.columns:
        found.rules["sign"] = found.section.sign
        return
    if found.take_given("direction"):
        judge_unsigned_rows(found, found.profile(found.uses["direction"].columns[0]), is_given=True)
    elif not _guess_direction(found, amount):
        return
    found.rules["sign"] = "direction"


def _guess_direction(found: Findings, amount: Profile) -> bool:
    named = found.candidates("direction", lambda profile: float(_says_direction(profile)))
    unknown = [
        profile
        for profile in found.free()
        if says_nothing(profile.name) and _says_direction(profile) and len(profile.direction_kinds) > 1
    ]
    if amount.signed:
        asked = _ask_contradiction(found, amount) or _ask_mixed_signs(found, amount) or _ask_disagreement(found, amount)
        asked = asked or ask_unknown_words(found, amount) or ask_about_journal(found, amount)
        asked = asked or _ask_words_without_signs(found, amount)
        if not asked and not _ask_unsigned_buys(found, amount) and not _is_given(found):
            ask_about_bank_view(found, amount)
        return False
    sides = next((profile for profile in found.free() if _buys_and_sells(profile)), None)
    if sides is not None:
        bought, sold = ([cell for cell in sorted(sides.distinct) if cell.lower().startswith(way)] for way in "bs")
        ask_for(found, sides, f"debit_words = {quoted_list(bought)}", f"credit_words = {quoted_list(sold)}")
        return False
    if named and named[0].profile.direction_words & direction_views() and named[0].name.score < CLEAR_NAME:
        ask_for(found, named[0].profile)
        return False
    if named:
        found.take("direction", [named[0].profile], named[0].score, named[0].why)
        judge_unsigned_rows(found, named[0].profile)
        return True
    if unknown:
        found.take("direction", unknown[:1], BY_VALUES, "values (only words for debit and credit)")
        return True
    asked = (
        ask_signs_of_balance(found, amount)
        or ask_about_flag(found)
        or _ask_trades(found)
        or _ask_direction(found)
        or ask_unknown_words(found)
        or ask_two_letters(found)
        or _ask_marked_rows(found)
        or _ask_one_side(found)
    )
    asked = asked or ask_both_ways(found) or ask_some_words(found) or ask_about_refunds(found)
    if not (asked or _is_given(found) or ask_about_earnings(found)):
        ask_about_unsigned(found, amount)
    return False


def _is_given(found: Findings) -> bool:
    """True if the mapping names the amount: whoever wrote it has seen its sign."""
    return "amount" in found.section.columns


def _says_direction(profile: Profile) -> bool:
    sides = profile.direction_kinds & SIDES
    exact = vocabulary.score(profile.name, "direction").score > CLEAR_NAME
    return profile.directions >= NEARLY_ALL and bool(sides) and (exact or len(sides) == 2)


def _ask_contradiction(found: Findings, amount: Profile) -> bool:
    """Asks if the signs contradict the words: debits without a minus, credits with one."""
    for profile in found.free():
        named = vocabulary.score(profile.name, "direction").score > CLEAR_NAME
        codes_only = profile.direction_words <= direction_codes() and not named
        all_are_words = profile.directions >= NEARLY_ALL or trades(set(profile.distinct)) == SIDES
        if not all_are_words or codes_only or named_otherwise(profile):
            continue
        signs = [(kind == "debit") == negative for _, kind, negative in words_and_signs(profile, amount)]
        contrary = signs.count(False)
        if 0 < contrary <= len(signs) * (1 - CONTRADICTED):
            found.notes.append(
                f"{profile.name} says the opposite of the sign in {contrary} of {len(signs)} rows; the signs are kept"
            )
        if signs and signs.count(False) >= len(signs) * CONTRADICTED:
            found.ask(
                "amount",
                f"{profile.name} says the opposite of the signs in {amount.name}",
                f"columns.direction = {quoted([profile.name])}  # the words are right",
                '# sign = "as_is"  # the signs are right',
            )
            return True
    return False


def _ask_mixed_signs(found: Findings, amount: Profile) -> bool:
    """Asks if one word for money out never has a minus and another always has: the first may lack its minus."""
    for profile in found.free():
        if len(profile.distinct) > FEW_WORDS or not says_kind(profile.name):
            continue
        negative: dict[str, set[bool]] = {}
        for word, kind, minus in words_and_signs(profile, amount):
            if kind == "debit":
                negative.setdefault(word, set()).add(minus)
        without = sorted(word for word, signs in negative.items() if signs == {False})
        if without and {True} in negative.values():
            found.ask(
                "amount",
                f"{profile.name} says {', '.join(without)} where {amount.name} has no minus, and others have one",
                f"columns.direction = {quoted([profile.name])}",
                '# sign = "as_is"  # the signs are right',
            )
            return True
    return False


def _ask_disagreement(found: Findings, amount: Profile) -> bool:
    """Asks if words for income and expense often disagree with the signs, so that neither can be relied on.

    Words such as debit may be meant from the bank's side, or be the kind of an account.
    """
    for profile in found.free() if not found.is_asked("amount") else ():
        if len(profile.distinct) > FEW_WORDS or not says_kind(profile.name) or named_otherwise(profile):
            continue
        told = [one for one in words_and_signs(profile, amount) if _means_spending(one[0])]
        signs = [(kind == "debit") == minus for _, kind, minus in told]
        contrary = signs.count(False)
        if contrary >= FEWEST_CONTRARY and len(signs) * REVERSALS <= contrary < len(signs) * CONTRADICTED:
            found.ask(
                "amount",
                f"{profile.name} says the opposite of the sign in {contrary} of {len(signs)} rows",
                f"# columns.direction = {quoted([profile.name])}  # the words are right",
                '# sign = "as_is"  # the signs are right',
            )
            return True
    return False


def _means_spending(text: str) -> bool:
    return any(word.startswith(INCOME_AND_EXPENSE) for word in normalise(text).split())


def _ask_words_without_signs(found: Findings, amount: Profile) -> bool:
    """Asks if a column says debit and credit, but few amounts of either side have a minus: those were taken back."""
    for profile in found.free():
        named = vocabulary.score(profile.name, "direction")
        if not (named.exact and named.score > CLEAR_NAME and profile.directions >= NEARLY_ALL):
            continue
        rows = words_and_signs(profile, amount)
        minus = sum(negative for *_, negative in rows)
        if {side for _, side, _ in rows} == SIDES and 0 < minus <= len(rows) * REVERSALS:
            found.ask(
                "amount",
                f"{profile.name} says debit or credit, and only {minus} of {len(rows)} amounts have a minus",
                f"# columns.direction = {quoted([profile.name])}  # and the minus of these amounts is ignored",
                AS_IS,
            )
            return True
    return False


def _ask_unsigned_buys(found: Findings, amount: Profile) -> bool:
    """Asks if no purchase of a security has a minus, although other rows have one, such as fees.

    Without pieces next to it, the amount may be the pieces, and those come in.
    """
    pieces = found.candidates("quantity", lambda profile: float(profile.numbers >= NEARLY_ALL))
    for profile in found.free() if pieces and is_market(found) else ():
        buys = [minus for word, kind, minus in words_and_signs(profile, amount) if kind == "debit" and _is_trade(word)]
        if buys and not any(buys) and len(profile.distinct) <= FEW_WORDS and says_kind(profile.name):
            unknown = sorted(cell for cell in profile.distinct if direction_of(cell) is None)
            found.ask(
                "amount",
                f"{amount.name} has a minus in some rows, but in none that {profile.name} calls a purchase",
                f"columns.direction = {quoted([profile.name])}",
                *word_lines(unknown),
                AS_IS,
            )
            return True
    return False


def _is_trade(cell: str) -> bool:
    return bool(set(normalise(cell).split()) & trade_words())


def _ask_trades(found: Findings) -> bool:
    """Asks if every row of a table of trades buys, or every row sells: the next export has both."""
    for profile in found.free():
        if is_market(found) and profile.directions == 1.0 and trades(set(profile.distinct)):
            ask_for(found, profile)
            return True
    return False


def _ask_direction(found: Findings) -> bool:
    """Asks about a column of debit and credit words whose name is unclear: it may be the type of a card."""
    for profile in found.free():
        sides = profile.direction_kinds & SIDES
        is_status = vocabulary.best_role(profile.name)[0] == "status"  # paid, sent, received, but not refunded
        is_status = is_status and not profile.direction_words & direction_views()
        if len(sides) == 2 and profile.directions >= NEARLY_ALL and (is_status or not named_otherwise(profile)):
            ask_for(found, profile)
            return True
    return False


def _buys_and_sells(profile: Profile) -> bool:
    return {"b", "s"} <= {cell.lower() for cell in profile.distinct} <= LETTERS_OF_TRADES


def _ask_marked_rows(found: Findings) -> bool:
    """Asks about a column that marks only some rows, for example with CR."""
    for profile in found.free():
        one_side = len(profile.direction_kinds & SIDES) == 1 and profile.directions == 1.0
        is_opinion = set(normalise(profile.name).split()) & OPINIONS
        is_status = vocabulary.best_role(profile.name)[0] == "status"  # paid says that it has been paid
        says_side = one_side and not profile.direction_words & direction_views() and not (is_opinion or is_status)
        if profile.direction_words <= direction_codes() and vocabulary.score(profile.name, "direction").score < ENOUGH:
            continue  # a letter may be a code of anything
        if says_side and 0 < profile.filled < 1:
            kind = next(iter(profile.direction_kinds & SIDES))
            other = "debit" if kind == "credit" else "credit"
            found.ask(
                "amount",
                f"{profile.name} marks some rows with {', '.join(sorted(profile.distinct))}: probably {kind}s",
                f"columns.direction = {quoted([profile.name])}",
                f'{other}_words = [""]  # the rows without a mark',
                AS_IS,
            )
            return True
    return False


def _ask_one_side(found: Findings) -> bool:
    """Asks if every row says, for example, ``Debit`` in a possible direction column, and no amount has a minus."""
    for profile in found.free():
        kinds = profile.direction_kinds & SIDES
        may_say = vocabulary.score(profile.name, "direction").score >= ENOUGH and not named_otherwise(profile)
        if may_say and profile.directions == 1.0 and len(kinds) == 1 and not _tells_little(profile):
            ask_for(found, profile)
            return True
    return False


def _tells_little(profile: Profile) -> bool:
    return bool(profile.direction_words & (direction_views() | direction_codes()))
