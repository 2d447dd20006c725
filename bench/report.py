"""A run's figures as a table, as JSON and as a chart."""

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


@dataclass
class Figure:
    """One thing measured, round by round.

    Attributes:
        name: what moved the records.
        per_s: records a second, one a round.
        beside: the figure it is compared with, or None for a yardstick.
        at_least: the ratio that must be reached, or None.
        cpu_s_per_million: CPU seconds a million records by process, of the last round.
        peak_mb: peak resident memory of our process, in 10^6 bytes.
    """

    name: str
    per_s: list[float] = field(default_factory=list)
    beside: str | None = None
    at_least: float | None = None
    cpu_s_per_million: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0


@dataclass
class Report:
    """Everything that one run measured.

    Attributes:
        idle_percent: idle share of all cores, by when it was taken; a busy machine is seen in it.
    """

    records: int
    rounds: int
    figures: list[Figure] = field(default_factory=list)
    latency_ms: dict[str, float] = field(default_factory=dict)
    overlap: dict[str, float] = field(default_factory=dict)
    idle_percent: dict[str, float] = field(default_factory=dict)

    def figure(self, name: str) -> Figure:
        """Returns the figure called `name`."""
        return next(figure for figure in self.figures if figure.name == name)

    def ratio(self, figure: Figure) -> float | None:
        """Returns the median of the rounds' ratios to what it is compared with."""
        if figure.beside is None:
            return None
        beside = self.figure(figure.beside)
        return median(ours / theirs for ours, theirs in zip(figure.per_s, beside.per_s, strict=True))


def show(report: Report, console: Console) -> None:
    """Prints the table."""
    table = Table(title=f"{report.records:,} records, median of {report.rounds} interleaved rounds")
    for column in ("", "records/s", "ratio", "to", "CPU s per million", "peak MB"):
        table.add_column(column, justify="left" if column in ("", "to") else "right")
    for figure in report.figures:
        ratio = report.ratio(figure)
        shown = "" if ratio is None else f"{ratio:.2f}"
        if figure.at_least is not None:
            shown += f" (≥ {figure.at_least:.2f})"
        cpu = ", ".join(f"{name} {seconds:.1f}" for name, seconds in figure.cpu_s_per_million.items())
        memory = f"{figure.peak_mb:,.0f}" if figure.peak_mb else ""
        table.add_row(figure.name, f"{median(figure.per_s):,.0f}", shown, figure.beside or "", cpu, memory)
    console.print(table)
    if report.latency_ms:
        console.print("produce to visible at 1,000 records/s: " + _latency(report.latency_ms))
    for when, idle in report.idle_percent.items():
        console.print(f"cores idle {when}: {idle:.0f}%")


def write(report: Report, folder: Path) -> None:
    """Writes ``bench.json`` and ``bench.png`` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ratios = {figure.name: report.ratio(figure) for figure in report.figures}
    (folder / "bench.json").write_text(json.dumps({**asdict(report), "ratios": ratios}, indent=1))
    names = [figure.name for figure in report.figures][::-1]
    rates = [median(figure.per_s) / 1000 for figure in report.figures][::-1]
    colours = ["#9aa5b1" if figure.beside is None else "#2563eb" for figure in report.figures][::-1]
    chart, axes = pyplot.subplots(figsize=(8, 0.5 * len(names) + 1.2), dpi=120)
    bars = axes.barh(names, rates, color=colours)
    axes.bar_label(bars, fmt="%.0f k/s", padding=4)
    axes.set_xlabel("thousand records per second (grey: bare clients)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    chart.tight_layout()
    chart.savefig(folder / "bench.png")
    pyplot.close(chart)


def _latency(latency_ms: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f} ms" for name, value in latency_ms.items())
