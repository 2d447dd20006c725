"""The figures of all contestants as a table, as JSON and as a chart."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from rich.console import Console
from rich.table import Table

from bench.peers.arena import Trial
from bench.peers.measure import Speed
from bench.peers.ours import NAME as OURS


@dataclass
class Standing:
    """Everything about one contestant.

    Attributes:
        speeds: one a round.
        not_measured: why there are no figures; empty where there are.
    """

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    speeds: list[Speed] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    not_measured: str = ""

    @property
    def rows_per_s(self) -> float:
        """Returns the median of the rounds."""
        return median(speed.rows_per_s for speed in self.speeds)

    def cpu(self, process: str) -> float:
        """Returns the median of the CPU seconds a million records of one process."""
        return median(speed.cpu_s_per_million[process] for speed in self.speeds)


@dataclass
class Report:
    """Everything that one run measured."""

    machine: str
    date: str
    records: int
    trial_records: int
    standings: list[Standing] = field(default_factory=list)

    def times_ours(self, standing: Standing) -> float | None:
        """Returns how many times as fast as this contestant we are: the median of the ratios within each round."""
        ours = next((one for one in self.standings if one.name == OURS), None)
        if ours is None or ours is standing or not ours.speeds or len(ours.speeds) != len(standing.speeds):
            return None
        pairs = zip(ours.speeds, standing.speeds, strict=True)
        return median(mine.rows_per_s / theirs.rows_per_s for mine, theirs in pairs)


def show(report: Report, console: Console) -> None:
    """Prints versions, settings and both tables."""
    console.print(f"{report.date}, {report.machine}")
    for standing in report.standings:
        known = {**standing.versions, **standing.settings}
        console.print(f"{standing.name}: " + ", ".join(f"{name} {value}" for name, value in known.items()))
        if standing.not_measured:
            console.print(f"  not measured: {standing.not_measured}")
    console.print(_speeds(report))
    console.print(_trials(report))


def write(report: Report, folder: Path) -> None:
    """Writes ``peers.json`` and ``peers.png`` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ratios = {standing.name: report.times_ours(standing) for standing in report.standings}
    (folder / "peers.json").write_text(json.dumps({**asdict(report), "ours_to_theirs": ratios}, indent=1))
    measured = [standing for standing in report.standings if standing.speeds][::-1]
    if not measured:
        return
    colours = ["#2563eb" if standing.name == OURS else "#9aa5b1" for standing in measured]
    chart, axes = pyplot.subplots(figsize=(8, 0.5 * len(measured) + 1.2), dpi=120)
    names = [standing.name for standing in measured]
    bars = axes.barh(names, [standing.rows_per_s / 1000 for standing in measured], color=colours)
    axes.bar_label(bars, fmt="%.0f k/s", padding=4)
    axes.set_xlabel("thousand records per second into the same keyed table")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    chart.tight_layout()
    chart.savefig(folder / "peers.png")
    pyplot.close(chart)


def _speeds(report: Report) -> Table:
    title = f"{report.records:,} records, the later half of each run, median of the rounds"
    columns = ("", "rows/s", "ours is", "CPU s per million: it", "PostgreSQL", "Kafka", "peak MB", "idle", "others")
    drawn = _table(title, columns)
    for standing in report.standings:
        if not standing.speeds:
            drawn.add_row(standing.name, "not measured")
            continue
        ratio = report.times_ours(standing)
        drawn.add_row(
            standing.name,
            f"{standing.rows_per_s:,.0f}",
            "" if ratio is None else f"{ratio:.1f} x",
            *(f"{standing.cpu(process):.1f}" for process in ("contestant", "postgres", "kafka")),
            f"{max(speed.peak_mb for speed in standing.speeds):,.0f}",
            f"{median(speed.idle_share for speed in standing.speeds):.0%}",
            f"{median(speed.others_share for speed in standing.speeds):.0%}",
        )
    return drawn


def _trials(report: Report) -> Table:
    columns = ("", "trial", "lost", "twice", "changed", "written again", "set aside", "at the end", "right")
    drawn = _table(f"what goes wrong, {report.trial_records:,} records", columns)
    for trial in (trial for standing in report.standings for trial in standing.trials):
        found = trial.count
        numbers = (found.lost, found.twice, found.changed, trial.again, trial.set_aside)
        drawn.add_row(
            trial.peer,
            trial.case,
            *(f"{number:,}" for number in numbers),
            trial.state,
            "yes" if trial.is_right else "no",
        )
    return drawn


def _table(title: str, columns: tuple[str, ...]) -> Table:
    drawn = Table(title=title)
    for column in columns:
        drawn.add_column(column, justify="left" if column in ("", "trial", "at the end", "right") else "right")
    return drawn
