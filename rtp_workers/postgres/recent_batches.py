"""What a feed's latest batches were like, which decides how the next one is written."""

from __future__ import annotations

from dataclasses import dataclass, field

# One repeated id makes a whole COPY fail. So after one we use the staging path until no more duplicates come.
CLEAN_BATCHES_BEFORE_FAST = 5


@dataclass(slots=True)
class RecentBatches:
    """What the latest batches of one feed were like. Its writers share it.

    Attributes:
        clean: batches without a repeated id since the last one that had any.
        to_sift: how many more batches are checked record by record.
        look_up_first: most ids of the last batch were stored already.
        known_loads: loads that this database knows.
        fast, staged: how many batches went each way.
    """

    clean: int = CLEAN_BATCHES_BEFORE_FAST
    to_sift: int = 0
    look_up_first: bool = False
    known_loads: set[str] = field(default_factory=set)
    fast: int = 0
    staged: int = 0
