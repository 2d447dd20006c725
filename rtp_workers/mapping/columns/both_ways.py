"""Asks about unsigned amounts of which some are money in and others money out, as the kinds of the rows say."""

from __future__ import annotations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import direction_of, opposite_kinds, statement_words, way_of, word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.balance_walk import signs_by_balance
from rtp_workers.mapping.columns.find_flag import REFUNDS
from rtp_workers.mapping.columns.findings import ENOUGH, Findings
from rtp_workers.mapping.columns.profile import HALF, NEARLY_ALL, Profile
from rtp_workers.mapping.columns.words_and_signs import SIDES
from rtp_workers.mapping.columns.words_for_sides import AS_IS, FEW_WORDS, says_nothing_of_a_kind, word_lines
from rtp_workers.mapping.toml_text import quoted, quoted_list

MOST_KINDS = 40  # categories of a budget


def ask_signs_of_balance(found: Findings, amount: Profile) -> bool:
    """Asks if another column rises by some of the unsigned amounts and falls by others: it is their running balance.

    Where each kind of row always rises or always falls, the answer says which.
    """
    for balance in found.free():
        if balance.numbers < NEARLY_ALL or not balance.cells or balance.dates >= NEARLY_ALL:
            continue
        if (signs := signs_by_balance(balance, amount)) is None:
            continue
        lines = next((lines for one in found.free() if (lines := _lines_of_kinds(one, signs))), ())
        found.ask(
            "amount",
            f"no amount in {amount.name} has a sign, but {balance.name} falls by {signs.count(-1)} of them",
            *lines,
            AS_IS,
        )
        return True
    return False


def _lines_of_kinds(kinds: Profile, signs: list[int]) -> tuple[str, ...]:
    """Returns the lines that give each kind its side, if all its rows have the same one."""
    if kinds.letters < HALF or len(kinds.distinct) > min(MOST_KINDS, kinds.rows // 2):
        return ()
    sides: dict[str, set[int]] = {}
    for kind, sign in zip(kinds.column, signs, strict=False):
        sides.setdefault(kind, set()).add(sign)
    told = {kind: some - {0} for kind, some in sides.items() if some != {0}}
    if any(len(some) != 1 for some in told.values()) or "" in told:
        return ()
    out, into = (sorted(kind for kind, some in told.items() if some == {sign}) for sign in (-1, 1))
    return (
        f"# columns.direction = {quoted([kinds.name])}",
        f"# debit_words = {quoted_list(out)}",
        f"# credit_words = {quoted_list(into)}",
    )


def ask_both_ways(found: Findings) -> bool:
    """Asks if a column has words for purchases and words for sales, or other words that are opposites."""
    for profile in found.free():
        if not 2 <= len(profile.distinct) <= FEW_WORDS or not _may_be_kinds(profile):
            continue
        if (opposites := _opposites(profile)) is not None:
            found.ask(
                "amount",
                f"no amount has a sign, but {profile.name} says {opposites[0]} in some rows, {opposites[1]} in others",
                f"columns.direction = {quoted([profile.name])}",
                *_lines_of_ways(profile),
                AS_IS,
            )
            return True
    return False


def _lines_of_ways(profile: Profile) -> list[str]:
    """Returns the lines that give each word a side. Where sales are money in, a refund is money out."""
    sells = any(way_of(cell) == "credit" for cell in profile.distinct)
    refunds = [cell for cell in sorted(profile.distinct) if sells and normalise(cell) in REFUNDS]
    unknown = sorted(cell for cell in profile.distinct if direction_of(cell) is None)
    return word_lines(unknown, dict.fromkeys(refunds, "debit"))


def _may_be_kinds(profile: Profile) -> bool:
    """True for the names of kinds, for unknown names, and for a category that has nothing but purchases and sales."""
    if vocabulary.score(profile.name, "direction").score >= ENOUGH or says_nothing_of_a_kind(profile.name):
        return True
    return vocabulary.best_role(profile.name)[0] == "category" and all(map(way_of, profile.distinct))


def _opposites(profile: Profile) -> tuple[str, str] | None:
    cells = sorted(profile.distinct)
    ways = {way: cell for cell in reversed(cells) if (way := way_of(cell)) is not None}
    if set(ways) == SIDES:
        return ways["debit"], ways["credit"]
    by_word = {normalise(cell): cell for cell in cells}
    pairs = (pair for pair in opposite_kinds() if by_word.keys() >= set(pair))
    return next(((by_word[one], by_word[other]) for one, other in pairs), None)


def ask_about_earnings(found: Findings) -> bool:
    """Asks if some rows of a budget are a salary or another income, and the others are not.

    A list of what a company pays may have salaries, too, but then names employees or customers.
    """
    names = [set(normalise(profile.name).split()) for profile in found.profiles]
    if any(name & word_list("business_columns") for name in names):
        return False
    for profile in found.free():
        earned = sorted(cell for cell in profile.distinct if normalise(cell) in statement_words("incomes"))
        others = sorted(cell for cell in profile.distinct if cell not in earned)
        if (
            earned
            and others
            and profile.filled >= NEARLY_ALL
            and len(others) <= MOST_KINDS
            and _says_kind(profile.name)
        ):
            found.ask(
                "amount",
                f"no amount has a sign, but {profile.name} says {', '.join(earned[:4])} in some rows",
                f"# columns.direction = {quoted([profile.name])}",
                f"# credit_words = {quoted_list(earned)}",
                f"# debit_words = {quoted_list(others)}",
                AS_IS,
            )
            return True
    return False


def _says_kind(name: str) -> bool:
    return any(vocabulary.score(name, role).score >= ENOUGH for role in ("category", "direction"))
