"""Small charts as PNG, shown by Dagster's UI where a metadata entry is markdown."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN, HEIGHT_IN, DPI = 7.0, 2.6, 90
BLUE, RED, GREY = "#2f6fdb", "#c43c3c", "#8a8f98"
Series = Sequence[tuple[float, float]]


def line_chart(title: str, unit: str, series: Series, limit: float | None = None) -> dg.MarkdownMetadataValue:
    """Draws values over time.

    Args:
        title: what the chart shows.
        unit: the unit of the values.
        series: (Unix time, value), oldest first.
        limit: drawn as a dashed line, e.g. the value above which an alert begins.
    """
    figure, axes = _new(title, unit)
    times: Any = [datetime.fromtimestamp(at_s, UTC) for at_s, _ in series]  # matplotlib takes them; its types do not
    axes.plot(times, [value for _, value in series], color=BLUE, linewidth=1.6, marker="." if len(times) < 40 else None)
    axes.fill_between(times, [value for _, value in series], color=BLUE, alpha=0.08)
    if limit is not None:
        axes.axhline(limit, color=RED, linestyle="--", linewidth=1, label=f"alert above {limit:,.0f}")
        axes.legend(frameon=False, fontsize=8)
    axes.set_ylim(bottom=0)
    figure.autofmt_xdate(rotation=0, ha="center")
    axes.set_xlabel("UTC", fontsize=8, color=GREY)
    return _markdown(figure, title)


def bar_chart(title: str, unit: str, bars: Mapping[str, float]) -> dg.MarkdownMetadataValue:
    """Draws one horizontal bar for each name, the first at the top."""
    figure, axes = _new(title, "", height_in=max(1.4, 0.9 + 0.32 * len(bars)))
    names, values = list(bars)[::-1], list(bars.values())[::-1]
    drawn = axes.barh(
        [name if len(name) < 40 else f"...{name[-37:]}" for name in names], values, color=BLUE, height=0.6
    )
    axes.bar_label(drawn, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
    axes.set_xlabel(unit, fontsize=8, color=GREY)
    axes.margins(x=0.15)
    return _markdown(figure, title)


def _new(title: str, unit: str, height_in: float = HEIGHT_IN) -> tuple[Figure, Axes]:
    # Not imported at the top of the file: matplotlib takes 60 MB, which the code server would keep for good.
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(unit, fontsize=8, color=GREY)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    numbers = axes.xaxis if not unit else axes.yaxis
    numbers.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return figure, axes


def _markdown(figure: Figure, title: str) -> dg.MarkdownMetadataValue:
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})")
