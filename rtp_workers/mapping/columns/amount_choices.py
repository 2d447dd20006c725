"""Asks for the amount if nothing shows which column it is, and offers those that may be it."""

from __future__ import annotations

from collections.abc import Sequence

from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.find_quantity import is_market
from rtp_workers.mapping.columns.find_rivals import is_measure
from rtp_workers.mapping.columns.find_sides import in_order_of_sides, is_number, lines_of_sides
from rtp_workers.mapping.columns.findings import MOST_CHOICES, Findings, choices
from rtp_workers.mapping.columns.lone_money import is_nameless
from rtp_workers.mapping.columns.profile import NEARLY_ALL, Profile
from rtp_workers.mapping.columns.unsigned_statements import AS_IS, NEGATE, is_list_of_transfers


def ask_for_amount(
    found: Findings, likely: Sequence[Profile], sparse: Sequence[Profile], numeric: list[Profile]
) -> None:
    """Asks for the amount.

    Args:
        likely: decimals, columns that only some rows fill, and sides; they are offered first.
        sparse: those of them that only some rows fill. Two of them may be the sides.
        numeric: all columns of numbers whose name does not mean something else.
    """
    nameless = is_nameless(found)
    money = [one for one in numeric if one.whole_numbers < 1.0 or one.uniqueness < 1.0 or nameless]
    money.sort(key=lambda one: len(one.distinct) == 1)  # what never changes comes last
    pieces = quantities(found) if is_market(found) or not money else []
    offered = [one for one in likely or [*pieces, *money] if not is_measure(one)]
    if likely or not offered:
        offered += filter(_is_other_amount, found.free())
    lines = choices("amount", offered[:MOST_CHOICES])
    if len(sparse) == 2:
        lines += lines_of_sides(*in_order_of_sides(found, *sparse))
    lines = lines or ['# columns.amount = "..."']
    lines += [NEGATE, AS_IS] if is_list_of_transfers(found) else []
    found.ask("amount", "no column can be identified as the amount", *lines)


def quantities(found: Findings) -> list[Profile]:
    """Returns the columns that count pieces."""
    return [candidate.profile for candidate in found.candidates("quantity", is_number)]


def _is_other_amount(profile: Profile) -> bool:
    """True for budgets, goals and points."""
    return profile.numbers >= NEARLY_ALL and vocabulary.best_role(profile.name)[0] == "other_amount"
