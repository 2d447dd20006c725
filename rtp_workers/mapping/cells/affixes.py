"""Text around the number in every amount of a column, such as a currency sign that no list knows: ``R38.70``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rtp_workers.mapping.cells.words import INVISIBLE, sign_code

MOSTLY = 0.8  # share of the filled cells that must have it
MAX_LENGTH = 12
_CELL = re.compile(
    r"[\s(+\-−–]*(?P<before>[^\d+\-−–()]*?)\s*(?P<sign>[+\-−–]?)\s*"
    r"(?:\d[\d.,'’\s]*?|\.\d+)(?P<after>[^\d+\-−–()]*)[)\-−–]?\s*"
)
_ID_MARKS = ("-", "/", "_", "#", ":")


@dataclass(frozen=True, slots=True)
class Affix:
    """Text before and after the number; either may be ``""``."""

    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """The text without blanks and invisible marks, as people would write the sign."""
        return (self.before.translate(INVISIBLE) or self.after.translate(INVISIBLE)).strip()

    @property
    def currency(self) -> str | None:
        """The currency's code; None if the sign is unknown or several currencies share it."""
        return sign_code(self.text) or None

    def stripped(self, cell: str) -> str:
        """Returns the cell without the text, but with its minus or plus. A cell without the text is left as it is."""
        if self.before:
            head, found, tail = cell.partition(self.before)
            if found and not any(char.isalnum() for char in head):
                cell = head + tail
        if self.after:
            head, found, tail = cell.rpartition(self.after)
            if found and not any(char.isalnum() for char in tail):
                cell = head + tail
        return cell.strip()


def common_affix(cells: Sequence[str]) -> Affix | None:
    """Returns the text that nearly all cells have around their number, or None."""
    found = [_CELL.fullmatch(cell.strip()) for cell in cells]
    counts = Counter((match["before"].strip(), match["after"].strip()) for match in found if match is not None)
    if not counts:
        return None
    (before, after), count = counts.most_common(1)[0]
    if before and all(match["sign"] for match in found if match is not None):
        return None  # INV-1, INV-2: the dash belongs to an id
    if count < len(cells) * MOSTLY or not (before or after) or max(len(before), len(after)) > MAX_LENGTH:
        return None
    return None if before.endswith(_ID_MARKS) or after.startswith(_ID_MARKS) else Affix(before, after)
