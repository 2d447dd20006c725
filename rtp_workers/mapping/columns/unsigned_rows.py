"""Asks about the rows in which the column of the direction names no side: transfers, or nothing at all."""

from __future__ import annotations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import direction_of
from rtp_workers.mapping.columns.findings import Findings
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.columns.words_and_signs import SIDES
from rtp_workers.mapping.toml_text import quoted_list


def judge_unsigned_rows(found: Findings, profile: Profile, *, is_given: bool = False) -> None:
    """Asks about words in the direction's column that name no side, and about empty cells if only one side has a word.

    If both sides have a word, or somebody has named the column, an empty cell is noted: its amount keeps its sign.
    """
    rows = [cell for cell in profile.column if direction_of(cell) == "neutral" and not _is_taught(found, cell)]
    words = sorted(set(rows) - {""})  # a dash or a slash is a word, too
    if words:
        listed = quoted_list(words)
        count = sum(map(bool, rows))
        found.ask(
            "amount",
            f"{profile.name} says {', '.join(words[:4])} in {count} of {profile.rows} rows: neither debit nor credit",
            f"# debit_words = {listed}  # they take money out",
            f"# credit_words = {listed}  # they bring money in",
            f"# neutral_words = {listed}  # keep their amounts as written",
        )
    elif rows and not is_given and len(sides := profile.direction_kinds & SIDES) == 1:
        marked = next(iter(sides))
        found.ask(
            "amount",
            f"{profile.name} says {', '.join(sorted(profile.distinct)[:4])} in some rows, and nothing in {len(rows)}",
            f'{"debit" if marked == "credit" else "credit"}_words = [""]  # the rows without a word',
            '# neutral_words = [""]  # keep their amounts as written',
        )
    elif rows:
        found.notes.append(
            f"{profile.name} is empty in {len(rows)} of {profile.rows} rows: their amounts get no sign; "
            'debit_words = [""] or credit_words = [""] gives them one'
        )


def _is_taught(found: Findings, word: str) -> bool:
    section = found.section
    taught = (*section.debit_words, *section.credit_words, *section.neutral_words)
    return (normalise(word) or word) in {normalise(one) or one.strip() for one in taught}
