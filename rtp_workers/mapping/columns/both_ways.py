"""Asks about unsigned amounts of which some are money in and others money out, as the kinds of the rows say."""

from __future__ import annotations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import direction_of, opposite_kinds, statement_words, way_of, word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import ENOUGH, Findings
from rtp_workers.mapping.columns.profile import NEARLY_ALL, Profile
from rtp_workers.mapping.columns.words_and_signs import SIDES
from rtp_workers.mapping.columns.words_for_sides import AS_IS, FEW_WORDS, says_nothing_of_a_kind, word_lines
from rtp_workers.mapping.toml_text import quoted

MOST_KINDS = 40  # categories of a budget


def ask_both_ways(found: Findings) -> bool:
    """Asks if a column has words for purchases and words for sales, or other words that are opposites."""
    for profile in found.free():
        is_kind = vocabulary.score(profile.name, "direction").score >= ENOUGH
        if not (is_kind or says_nothing_of_a_kind(profile.name)) or not 2 <= len(profile.distinct) <= FEW_WORDS:
            continue
        if (opposites := _opposites(profile)) is not None:
            found.ask(
                "amount",
                f"no amount has a sign, but {profile.name} says {opposites[0]} in some rows, {opposites[1]} in others",
                f"columns.direction = {quoted([profile.name])}",
                *word_lines(sorted(cell for cell in profile.distinct if direction_of(cell) is None)),
                AS_IS,
            )
            return True
    return False


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
                f"# credit_words = {_list_of(earned)}",
                f"# debit_words = {_list_of(others)}",
                AS_IS,
            )
            return True
    return False


def _says_kind(name: str) -> bool:
    return any(vocabulary.score(name, role).score >= ENOUGH for role in ("category", "direction"))


def _list_of(words: list[str]) -> str:
    return f"[{', '.join(quoted([word]) for word in words)}]"
