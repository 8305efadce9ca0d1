"""The diagrams of the page. Made without pyplot, and small, for they stand side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from nas_lightning.analysis.population import Course
from nas_lightning.report.contents import aligned

Array = NDArray[np.float64]
Sample = tuple[Array, NDArray[np.int64]]
"""Values, and how often each was drawn."""

COLOURS = (
    "#2f7fd1", "#e5822b", "#2f9e6e", "#c9549b", "#8a6fd6", "#b59a1a",
    "#26a5b5", "#d9534f", "#7a8c2a", "#a4694a", "#6c8ebf", "#8c8c8c",
)  # fmt: skip
"""Of the arms: told apart on white and on black."""

BINS = 50
"""Places on a curve: a longer one is averaged between them."""


Row = tuple[str | float, ...]


class Chart(Figure):
    """A figure that knows its numbers: a row for each mark that one can point at.

    Attributes:
        head: What the columns are.
        rows: A row a mark.
    """

    def __init__(self, width: float, height: float, head: Sequence[str]) -> None:
        """Make an empty one, sizes in inches."""
        super().__init__(figsize=(width, height))
        self.head = tuple(head)
        self.rows: list[Row] = []

    def mark(
        self,
        axes: Axes,
        points: Sequence[tuple[float, float]],
        rows: Sequence[Row],
        *,
        colour: str,
    ) -> None:
        """Lay a mark that is not seen over each point; its group is named after its first row."""
        if points:
            (marks,) = axes.plot(*zip(*points, strict=True), "o", c=colour, ms=9, alpha=0, mew=0)
            marks.set_gid(f"marks-{len(self.rows)}")
        self.rows += rows


@dataclass(frozen=True)
class Band:
    """A quantity over steps, of several seeds.

    Attributes:
        x: Steps `(N,)`.
        mean: Over seeds `(N,)`.
        low: The smallest of the seeds `(N,)`.
        high: The largest `(N,)`.
    """

    x: Array
    mean: Array
    low: Array
    high: Array


def band(runs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Band:
    """Mean, smallest and largest over seeds, at those steps where any of them has a finite value.

    Where there are more than `BINS` steps each seed's values are averaged between as many places.

    Args:
        runs: Steps and values of every seed.
    """
    steps = np.unique(np.concatenate([np.asarray(x, np.float64) for x, _ in runs]))
    middles = steps
    if len(steps) > BINS:
        edges = np.linspace(steps[0], steps[-1], BINS + 1)
        middles = (edges[1:] + edges[:-1]) / 2
    means = np.full((len(runs), len(middles)), np.nan)
    for number, (x, y) in enumerate(runs):
        places, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
        good = np.isfinite(values)
        if len(steps) > BINS:
            index = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, BINS - 1)
        else:
            index = np.searchsorted(steps, places)
        count = np.bincount(index[good], minlength=len(middles))
        total = np.bincount(index[good], values[good], minlength=len(middles))
        means[number, count > 0] = total[count > 0] / count[count > 0]
    there = np.isfinite(means).any(axis=0)
    seen = means[:, there]
    return Band(
        middles[there], np.nanmean(seen, axis=0), np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)
    )


def curves(
    bands: Mapping[str, Band],
    colours: Mapping[str, str],
    *,
    x: str,
    title: str,
    logarithmic: bool = False,
) -> Chart:
    """A line an arm, and a band from its smallest to its largest seed.

    Args:
        bands: Arm -> its values.
        colours: Of the arms.
        x: What the steps are.
        title: What the values are; it stands above, where there is room for it.
        logarithmic: Whether the values, all above 0, may span orders of magnitude.
    """
    figure, axes = _axes(4.6, 2.7, left=0.65, head=of_bands(x))
    opacity = min(0.2, 0.6 / len(bands))  # many bands would hide the lines
    for arm, found in bands.items():
        marker = "o" if len(found.x) <= 12 else None
        axes.fill_between(found.x, found.low, found.high, color=colours[arm], alpha=opacity, lw=0)
        axes.plot(found.x, found.mean, color=colours[arm], lw=1.6, marker=marker, ms=3)
        mark_band(figure, axes, arm, found, colour=colours[arm])
    axes.set_xlabel(x)
    axes.set_title(title, loc="left", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(Aligned())
    axes.yaxis.set_major_formatter(Aligned())
    if logarithmic and max(b.high.max() for b in bands.values()) > 10 * min(
        b.low.min() for b in bands.values()
    ):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(as_it_is)
    return figure


def of_bands(x: str) -> Sequence[str]:
    """What the columns of a band's numbers are."""
    return "name", x, "middle", "smallest", "largest"


def mark_band(figure: Chart, axes: Axes, name: str, found: Band, *, colour: str) -> None:
    """Make the values of a band to be pointed at, along its line."""
    rows = zip(found.x, found.mean, found.low, found.high, strict=True)
    points = list(zip(map(float, found.x), map(float, found.mean), strict=True))
    figure.mark(axes, points, [(name, *map(float, row)) for row in rows], colour=colour)


def births(course: Course, line: Sequence[int], colour: str) -> Chart:
    """A dot an individual: its fitness by the proposal of its birth, and a line of ancestors.

    The axis leaves out the worst tenth, which would hide how the others differ.

    Args:
        course: What became of a population.
        line: The places of the ancestors, from the first on.
        colour: Of those who are alive, and of the line.
    """
    figure, axes = _axes(5.8, 2.7, left=0.65, head=("name", "born as number", "fitness"))
    alive = set(course.alive)
    for living, of in ((False, "#999999"), (True, colour)):
        some = [one for i, one in enumerate(course.everyone) if (i in alive) is living]
        known = [(one.number, one.fitness) for one in some if one.fitness is not None]
        if known:
            x, y = zip(*known, strict=True)
            axes.scatter(x, y, s=8, color=of, alpha=0.7, lw=0)
            said = "alive" if living else "dead"
            figure.mark(axes, known, [(said, *one) for one in known], colour=of)
    family = [course.everyone[i] for i in line]
    points = [(one.number, one.fitness) for one in family if one.fitness is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color=colour, lw=1.2, marker="o", ms=4)
    everyone = [one.fitness for one in course.everyone if one.fitness is not None]
    if everyone:
        low, high = np.quantile(everyone, [0.1, 1])
        space = (high - low) / 20 or 0.5
        axes.set_ylim(low - space, high + space)
    axes.set_xlabel("born as number")
    axes.set_title("fitness (reward)", loc="left", fontsize=10)
    axes.yaxis.set_major_formatter(Aligned())
    return figure


def grid(values: Array, *, rows: Sequence[str], x: str, title: str) -> Chart:
    """A row a name, a column an epoch; the darker the more.

    Args:
        values: `(rows, columns)`, NaN where there is none.
        rows: Names of the rows, from top to bottom.
        x: What the columns are.
        title: What the values are.
    """
    longest = max(map(len, rows), default=0)
    figure, axes = _axes(
        4.6, 0.8 + 0.13 * max(len(rows), 8), left=0.4 + 0.055 * longest, head=("name", x, "value")
    )
    mesh = axes.pcolormesh(values, cmap="Blues", vmin=0)
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=6)
    axes.set_xlabel(x)
    axes.set_title(title, loc="left", fontsize=10)
    figure.colorbar(mesh)
    figure.rows += [
        (row, column, float(value))
        for row, line in zip(rows, values, strict=True)
        for column, value in enumerate(line)
        if np.isfinite(value)
    ]
    return figure


def histograms(samples: Mapping[str, Sample], colours: Mapping[str, str], *, x: str) -> Chart:
    """A row an arm: how its values are spread, their median as a line.

    The axis holds 98 % of all; each row is scaled to its own largest bar.

    Args:
        samples: Arm -> values, and how often each was drawn.
        colours: Of the arms.
        x: What the values are.
    """
    pooled = np.concatenate([np.repeat(values, counts) for values, counts in samples.values()])
    low, high = np.quantile(pooled, [0.01, 0.99])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, 61)
    head = ("name", "from", "to", "drawn")
    figure, axes = _axes(5.8, 0.8 + 0.6 * len(samples), left=0.1, head=head)
    for row, arm in enumerate(reversed(list(samples))):
        values, counts = samples[arm]
        heights, _ = np.histogram(values, edges, weights=counts)
        drawn, heights = heights, row + 0.7 * heights / max(heights.max(), 1)
        axes.stairs(heights, edges, baseline=row, fill=True, color=colours[arm], alpha=0.75)
        bars = np.flatnonzero(drawn)
        middles = (edges[bars] + edges[bars + 1]) / 2
        figure.mark(
            axes,
            list(zip(middles, (heights[bars] + row) / 2, strict=True)),
            [(arm, float(edges[n]), float(edges[n + 1]), float(drawn[n])) for n in bars],
            colour=colours[arm],
        )
        middle = float(np.median(np.repeat(values, counts)))
        if low <= middle <= high:
            axes.plot([middle, middle], [row, row + 0.75], color="black", lw=1.2)
        axes.text(high, row + 0.76, arm, ha="right", parse_math=False)
    axes.set(xlabel=x, xlim=(low, high), ylim=(-0.05, len(samples)), yticks=[])
    axes.spines["left"].set_visible(False)
    return figure


def shares(
    parts: Mapping[str, Mapping[str, tuple[float, float, float]]],
    colours: Mapping[str, str],
    *,
    x: str,
) -> Chart:
    """Bars of a difference's parts, an arm beside the other, with their intervals.

    Args:
        parts: Part -> arm -> mean, lower and upper end.
        colours: Of the arms.
        x: What the bars measure.
    """
    arms = list(dict.fromkeys(arm for by_arm in parts.values() for arm in by_arm))
    head = ("name", "part", "mean", "from", "to")
    left = 0.3 + 0.09 * max(map(len, parts))
    height = 0.9 + len(parts) * max(0.4, 0.22 * len(arms))
    figure, axes = _axes(4.3 + left, height, left=left, head=head)
    names = list(reversed(list(parts)))
    thick = 0.8 / len(arms)
    for place, part in enumerate(names):
        for number, arm in enumerate(arms):
            if arm not in parts[part]:
                continue
            mean, low, high = parts[part][arm]
            y = place + 0.4 - thick * (number + 0.5)
            axes.barh(y, mean, thick * 0.9, color=colours[arm], alpha=0.85)
            axes.plot([low, high], [y, y], color="black", lw=1.2)
            figure.mark(axes, [(mean, y)], [(arm, part, mean, low, high)], colour=colours[arm])
    axes.axvline(0, color="black", lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks(range(len(names)), names)
    axes.tick_params("y", length=0)
    axes.set_xlabel(x)
    axes.spines["left"].set_visible(False)
    return figure


class Aligned(Formatter):
    """Numbers on an axis, all with the same digits after the point, and each of them whole."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """One number."""
        return as_it_is(x, 0)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """All of an axis."""
        if any(abs(value) >= 1e6 for value in values):  # there is no room for all their digits
            return [as_it_is(value, 0) for value in values]
        return aligned([float(value) for value in values], digits=6)


def as_it_is(value: float, _: float) -> str:
    """A number on an axis, whole: what all had in common would stand where the title is."""
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.6g}")


def _axes(width: float, height: float, *, left: float, head: Sequence[str]) -> tuple[Chart, Axes]:
    """Axes in a figure, sizes in inches; margins are fixed, for fitting them takes most time."""
    figure = Chart(width, height, head)
    figure.subplots_adjust(
        left=left / width, right=1 - 0.25 / width, bottom=0.5 / height, top=1 - 0.3 / height
    )
    axes = figure.add_subplot()
    axes.grid(color="#808080", alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
