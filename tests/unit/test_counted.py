"""Counts in sentences: one row, two rows."""

from __future__ import annotations

import pytest

from rtp_workers.counted import counted
from rtp_workers.postgres.load_outcomes import Outcomes
from rtp_workers.reconcile.load_endings import LoadEnding, in_words


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_345, "12,345 rows")], ids=str
)
def test_one_is_singular_and_any_other_number_plural(number: int, words: str) -> None:
    assert counted(number, "row") == words


def test_an_irregular_plural_is_given() -> None:
    assert counted(1, "row repeats", "rows repeat") == "1 row repeats"
    assert counted(2, "row repeats", "rows repeat") == "2 rows repeat"


def test_a_load_with_one_dead_letter_says_so_in_the_singular() -> None:
    one = in_words(LoadEnding(Outcomes(inserted=1, duplicates=1, changed=1, dead_letters=1), waiting=0))
    assert "1 dead letter (" in one
    assert "1 of those already stored has changed since" in one
    two = in_words(LoadEnding(Outcomes(inserted=1, duplicates=2, changed=2, dead_letters=2), waiting=0))
    assert "2 dead letters (" in two
    assert "2 of those already stored have changed since" in two
