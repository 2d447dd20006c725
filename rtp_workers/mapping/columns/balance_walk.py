"""Finds the amount among number columns without names: another column, the balance, sums it up row by row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise, permutations

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.columns.profile import Profile

LEAST_ROWS = 4
LOOKED_AT_ROWS = 200
LEAST_SHARE = 0.8


def balance_walk(
    full: Sequence[Profile], sparse: Sequence[Profile], balances: Sequence[Profile] = ()
) -> tuple[Profile, ...] | None:
    """Returns the amount column, or debit and credit, of which another column is the running balance; else None.

    Args:
        full: number columns that are filled in every row.
        sparse: number columns that are empty in some rows.
        balances: columns whose names say that they are balances.
    """
    for balance in (*balances, *full):
        for amount in full:
            if amount is not balance and _walks(_values(balance), _values(amount)):
                return (amount,)
        for debit, credit in permutations(sparse, 2):
            sums = [into - out for out, into in zip(_values(debit), _values(credit), strict=True)]
            one_side = all(not out or not into for out, into in zip(_values(debit), _values(credit), strict=True))
            if balance not in (debit, credit) and one_side and _walks(_values(balance), sums):
                return debit, credit
    return None


def walks_through(balance: Profile, plus: Profile | None, minus: Profile | None) -> bool:
    """True if a column is the running balance of the amounts: row by row, it changes by them."""
    if plus is None and minus is None:
        return False
    into = _values(plus) if plus is not None else [0] * min(balance.rows, LOOKED_AT_ROWS)
    out = _values(minus) if minus is not None else [0] * len(into)
    sums = [one - abs(other) for one, other in zip(into, out, strict=True)]
    numbers = _values(balance)
    return len(numbers) >= LEAST_ROWS and len(set(numbers)) > 1 and _walks(numbers, sums)


def signs_by_balance(balance: Profile, amount: Profile) -> list[int] | None:
    """Returns 1 or -1 for each row by which the balance rises or falls by the amount, and 0 where nothing shows it.

    None if the balance does not change by the amounts, or only rises, or only falls.
    """
    numbers, values = _values(balance), [abs(value) for value in _values(amount)]
    if len(numbers) < LEAST_ROWS:
        return None
    changes = [after - before for before, after in pairwise(numbers)]
    # The oldest row, first or last, may begin at zero.
    for steps in ([numbers[0], *changes], [*(-change for change in changes), numbers[-1]]):
        signs = [
            (1 if step > 0 else -1) if step and abs(step) == value else 0
            for step, value in zip(steps, values, strict=True)
        ]
        told = sum(map(bool, signs))
        if told >= max(LEAST_ROWS - 1, (len(numbers) - 1) * LEAST_SHARE) and {1, -1} <= set(signs):
            return signs
    return None


def is_balance_of(balance: Profile, amount: Profile) -> bool:
    """True if a column is the balance before or after each amount, whichever row is the oldest.

    It does not tell the sign: a balance before each row rises where one after it, read the other way round, falls.
    """
    numbers, values = _values(balance), _values(amount)
    if len(numbers) < LEAST_ROWS or len(set(numbers)) == 1:
        return False
    changes = [after - before for before, after in pairwise(numbers)]
    falling = [-change for change in changes]
    walks = ((changes, values[1:]), (changes, values[:-1]), (falling, values[:-1]), (falling, values[1:]))
    return any(_agree(list(zip(steps, sums, strict=True))) for steps, sums in walks)


def _walks(balance: list[int], sums: list[int]) -> bool:
    """True if the balance changes by the sums, with the oldest row first or last.

    Rows in which neither changes do not count: otherwise any constant would be the balance of a column of zeros.
    """
    if len(sums) != len(balance):
        return False
    changes = [after - before for before, after in pairwise(balance)]
    return any(_agree(steps) for steps in (list(zip(changes, sums[1:], strict=True)), _backwards(changes, sums)))


def _backwards(changes: list[int], sums: list[int]) -> list[tuple[int, int]]:
    return [(-change, amount) for change, amount in zip(changes, sums[:-1], strict=True)]


def _agree(steps: list[tuple[int, int]]) -> bool:
    telling = [change == amount for change, amount in steps if change or amount]
    return bool(telling) and sum(telling) >= max(len(telling) * LEAST_SHARE, min(len(steps), LEAST_ROWS - 2))


def _values(profile: Profile) -> list[int]:
    """Returns the column's numbers in hundredths, 0 for an empty cell. For sums, the marks do not matter."""
    values = []
    for cell in profile.column[:LOOKED_AT_ROWS]:
        part = amounts.take_apart(cell) if cell else None
        if part is None:
            values.append(0)
            continue
        whole, mark, fraction = _split(part.number)
        digits = int(re.sub(r"\D", "", whole) or 0) * 100 + (int(fraction.ljust(2, "0")[:2]) if mark else 0)
        values.append(-digits if part.negative else digits)
    return values


def _split(number: str) -> tuple[str, str, str]:
    """Splits off a decimal part of one or two digits."""
    found = re.fullmatch(r"(.*)([.,])(\d{1,2})", number)
    return (found[1], found[2], found[3]) if found else (number, "", "")
