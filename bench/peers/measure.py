"""From commits and samples to figures. Only the last part of a run counts, when every program has warmed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WARM_UP_SHARE = 0.5  # of the records: Java's compiler and every connection pool have then settled


@dataclass(frozen=True)
class Sample:
    """A look at everything at one moment.

    Attributes:
        at: epoch seconds.
        cpu_s: CPU seconds used so far, by process.
        memory_bytes: resident memory of the contestant, children included.
        machine_idle_s: idle seconds so far, summed over the cores.
    """

    at: float
    cpu_s: Mapping[str, float]
    memory_bytes: int
    machine_idle_s: float


@dataclass(frozen=True)
class Window:
    """The part of a run that counts: from one commit (excluded) to the last (included)."""

    start: float
    end: float
    rows: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Speed:
    """What one run of a contestant cost.

    Attributes:
        cpu_s_per_million: CPU seconds a million records, by process.
        idle_share: of all cores, in the window.
        others_share: of all cores, used by programs that have nothing to do with the run.
    """

    rows_per_s: float
    cpu_s_per_million: Mapping[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0
    idle_share: float = 0.0
    others_share: float = 0.0


def window(commits: Sequence[tuple[float, int]], warm_up_share: float = WARM_UP_SHARE) -> Window:
    """Returns the window after the first commit by which `warm_up_share` of the rows was stored.

    Args:
        commits: moment and rows of each, in order.
        warm_up_share: 0 counts from the first commit.

    Raises:
        ValueError: nothing is left after that commit.
    """
    total = sum(rows for _, rows in commits)
    stored = 0
    for moment, rows in commits:
        stored += rows
        if stored >= warm_up_share * total:
            if stored == total:
                break
            return Window(moment, commits[-1][0], total - stored)
    raise ValueError(f"{len(commits)} commits are too few to measure a speed; give more records")


def speed(found: Window, samples: Sequence[Sample], cores: int) -> Speed:
    """Returns the figures of the window."""
    used = {
        name: _between(samples, found, [sample.cpu_s.get(name, 0.0) for sample in samples]) for name in samples[0].cpu_s
    }
    idle = _between(samples, found, [sample.machine_idle_s for sample in samples])
    capacity = cores * found.seconds
    return Speed(
        rows_per_s=found.rows / found.seconds,
        cpu_s_per_million={name: seconds / found.rows * 1e6 for name, seconds in used.items()},
        peak_mb=max(sample.memory_bytes for sample in samples) / 1e6,
        idle_share=min(max(idle / capacity, 0.0), 1.0),
        others_share=min(max(1 - (idle + sum(used.values())) / capacity, 0.0), 1.0),
    )


def _between(samples: Sequence[Sample], found: Window, values: Sequence[float]) -> float:
    moments = [sample.at for sample in samples]
    return _at(moments, values, found.end) - _at(moments, values, found.start)


def _at(moments: Sequence[float], values: Sequence[float], moment: float) -> float:
    """Returns the value at `moment`, on the straight line between the samples around it."""
    for index in range(1, len(moments)):
        before, after = moments[index - 1], moments[index]
        if moment <= after:
            share = (moment - before) / (after - before) if after > before else 0.0
            return values[index - 1] + max(share, 0.0) * (values[index] - values[index - 1])
    return values[-1]
