"""Asks about columns whose words may say which amounts are debits: some of them, or words that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import (
    SIGNS,
    direction_codes,
    direction_of,
    direction_views,
    trade_words,
    usual_direction_of,
    way_of,
    word_list,
)
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import ENOUGH, GOOD_NAME, STRONG_NAME, Findings
from rtp_workers.mapping.columns.profile import MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.columns.words_and_signs import SIDES, side_of, sign_of
from rtp_workers.mapping.toml_text import quoted, quoted_list

AS_IS = '# sign = "as_is"  # keep the amounts as they are'
FEW_WORDS = 12
ACCOUNTS = ("account", "acct", "konto")  # the kind of an account may be credit
OPINIONS = frozenset({"feedback", "rating", "review", "sentiment"})  # positive and negative say nothing about money
# First letters, in order, of money in and money out: income and expense, recette and depense, entrata and uscita,
# Einnahme and Ausgabe, ingreso and gasto, in and out, deposit and withdrawal.
FIRST_LETTERS = frozenset({"ei", "dr", "es", "eu", "ae", "gi", "io", "dw", "iu", "pv"})


def ask_unknown_words(found: Findings, signed: Profile | None = None) -> bool:
    """Asks about a column whose name means the side, and whose words nobody knows.

    Args:
        signed: the amount, if some have a minus. Where most amounts below one of the words have one, the signs tell.
    """
    for profile in found.free():
        if signed is not None and _signs_tell(profile, signed):
            continue
        score = vocabulary.score(profile.name, "direction")
        english_or_plain = (
            score.exact and score.score >= STRONG_NAME and normalise(profile.name) not in ("code", "тип", "sign")
        )
        few = 2 <= len(profile.distinct) <= FEW_WORDS
        texts = profile.letters > MOST or all(map(str.isalpha, profile.distinct))
        if english_or_plain and few and texts and profile.directions < NEARLY_ALL:
            unknown = sorted(cell for cell in profile.distinct if direction_of(cell) is None)
            found.ask(
                "amount",
                f"{profile.name} seems to say which amounts are debits, in unknown words: {', '.join(unknown)}",
                f"columns.direction = {quoted([profile.name])}",
                *word_lines(unknown),
            )
            return True
    return False


def _signs_tell(kinds: Profile, amount: Profile) -> bool:
    """True if most amounts of one kind have a minus."""
    signs: dict[str, list[int]] = {}
    for kind, cell in zip(kinds.column, amount.column, strict=True):
        if sign := sign_of(cell):
            signs.setdefault(kind, []).append(sign)
    return any(sum(some) < 0 for some in signs.values())


def ask_two_letters(found: Findings) -> bool:
    """Asks about a kind that is one of two letters, such as I and E: they may stand for income and expense."""
    for profile in found.free():
        letters = sorted(profile.distinct)
        may_say = vocabulary.score(profile.name, "direction").score >= ENOUGH and not named_otherwise(profile)
        if may_say and profile.filled == 1.0 and "".join(letters).lower() in FIRST_LETTERS:
            ask_for(found, profile, *word_lines(letters))
            return True
    return False


def ask_some_words(found: Findings) -> bool:
    """Asks if a column has debits or credits among other words, and no amount has a sign."""
    for profile in found.free():
        if not 2 <= len(profile.distinct) <= FEW_WORDS:
            continue
        known_side = usual_direction_of if says_nothing_of_a_kind(profile.name) else side_of
        known = {cell for cell in profile.distinct if known_side(cell) in SIDES}
        if len({side_of(cell) for cell in known}) == 1 and not known & {c for c in known if direction_of(c)}:
            continue  # words inside longer texts count only where they name both sides
        views = frozenset() if trades(known) == SIDES else direction_views()
        plain = {cell for cell in known if normalise(cell) not in direction_codes() | views}
        plain = {cell for cell in plain if not _is_of_a_card(cell, profile) and cell not in SIGNS}  # a dash is nothing
        of_payment = vocabulary.score(profile.name, "payment_method").score >= STRONG_NAME
        if not plain or of_payment or not _may_tell_sides(profile):
            continue
        words = ", ".join(sorted(plain)[:4])
        if "step" in found.uses:
            found.notes.append(f"no amount has a sign, as usual in simulations, whatever {profile.name} says")
            return True
        unknown = sorted(cell for cell in profile.distinct if direction_of(cell) is None)
        found.ask(
            "amount",
            f"no amount has a sign, but {profile.name} contains {words}",
            f"columns.direction = {quoted([profile.name])}",
            *word_lines(unknown),
            AS_IS,
        )
        return True
    return False


def ask_for(found: Findings, profile: Profile, *words: str) -> None:
    """Asks whether a column shows the sides. `words` are further lines of the answer."""
    found.ask(
        "amount",
        f"the amounts have no sign; {profile.name} may show which of them are debits",
        f"columns.direction = {quoted([profile.name])}",
        *words,
        AS_IS,
    )


def word_lines(unknown: list[str], known: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Returns mapping lines that put each word on the side that a word inside it names. People decide on the rest.

    Args:
        known: words whose side is known, and not the usual one.
    """
    sides: dict[str, list[str]] = {"debit": [], "credit": [], "": []}
    for word, side in known.items():
        sides[side].append(word)
    for word in (one for one in unknown if one not in known):
        sides[side_of(word) or way_of(word) or ""].append(word)
    left = ", ".join(quoted([word]) for word in sides[""])
    hints = {"debit": f"  # which of {left} take money out?", "credit": f"  # which of {left} bring money in?"}
    return [
        f"{kind}_words = {quoted_list(sides[kind])}" + (hint if left else "")
        for kind, hint in hints.items()
        if sides[kind] or left
    ]


def says_kind(name: str) -> bool:
    """True for names that mean a transaction's kind, and for names that say nothing."""
    return vocabulary.best_role(name)[0] in ("direction", "payment_method", "category", "")


def says_nothing(name: str) -> bool:
    """True for a column without a name."""
    return name.startswith("column ") or not normalise(name)


def named_otherwise(profile: Profile) -> bool:
    """True for the type of a card, and for other names that explain the words debit or credit differently."""
    role, best = vocabulary.best_role(profile.name)
    if set(normalise(profile.name).split()) & OPINIONS:
        return True
    # A column that says debit or credit in every row cannot be an id, whatever its name.
    speaks = role and role not in ("direction", "payment_method", "category", "merchant", "transaction_id")
    words = normalise(profile.name)
    return "card" in words or words.startswith(ACCOUNTS) or bool(speaks and best.score >= GOOD_NAME)


def trades(cells: set[str]) -> set[str]:
    """Returns the sides that words for buying and selling mean."""
    return {str(direction_of(cell)) for cell in cells if normalise(cell) in trade_words()}


def _may_tell_sides(profile: Profile) -> bool:
    """True for the names of kinds, and for a column that is named after its own words: ``Income/expensive``."""
    return says_kind(profile.name) or set(map(normalise, profile.distinct)) <= set(normalise(profile.name).split())


def _is_of_a_card(cell: str, profile: Profile) -> bool:
    """True for words of payment by card: ``Credit (Apple Pay)``, and ``Credit`` where other rows say cash."""
    words = set(normalise(cell).split())
    in_cash = any("cash" in normalise(other).split() for other in profile.distinct)
    return bool(words & word_list("card_words")) or (in_cash and words <= SIDES)


def says_nothing_of_a_kind(name: str) -> bool:
    """True for a name that means nothing that is known."""
    return not says_nothing(name) and vocabulary.best_role(name)[0] == ""
