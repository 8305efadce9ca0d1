"""The diagrams of the page. Made without pyplot, and small, for they stand side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from nas_lightning.analysis.population import Course

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
) -> Figure:
    """A line an arm, and a band from its smallest to its largest seed.

    Args:
        bands: Arm -> its values.
        colours: Of the arms.
        x: What the steps are.
        title: What the values are; it stands above, where there is room for it.
        logarithmic: Whether the values, all above 0, may span orders of magnitude.
    """
    figure, axes = _axes(4.6, 2.7, left=0.65)
    opacity = min(0.2, 0.6 / len(bands))  # many bands would hide the lines
    for arm, found in bands.items():
        marker = "o" if len(found.x) <= 12 else None
        axes.fill_between(found.x, found.low, found.high, color=colours[arm], alpha=opacity, lw=0)
        axes.plot(found.x, found.mean, color=colours[arm], lw=1.6, marker=marker, ms=3)
    axes.set_xlabel(x)
    axes.set_title(title, loc="left", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(as_it_is)
    if logarithmic and max(b.high.max() for b in bands.values()) > 10 * min(
        b.low.min() for b in bands.values()
    ):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(as_it_is)
    return figure


def births(course: Course, line: Sequence[int], colour: str) -> Figure:
    """A dot an individual: its fitness by the proposal of its birth, and a line of ancestors.

    The axis leaves out the worst tenth, which would hide how the others differ.

    Args:
        course: What became of a population.
        line: The places of the ancestors, from the first on.
        colour: Of those who are alive, and of the line.
    """
    figure, axes = _axes(5.8, 2.7, left=0.65)
    alive = set(course.alive)
    for living, of in ((False, "#999999"), (True, colour)):
        some = [one for i, one in enumerate(course.everyone) if (i in alive) is living]
        known = [(one.number, one.fitness) for one in some if one.fitness is not None]
        if known:
            x, y = zip(*known, strict=True)
            axes.scatter(x, y, s=8, color=of, alpha=0.7, lw=0)
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
    axes.yaxis.set_major_formatter(as_it_is)
    return figure


def grid(values: Array, *, rows: Sequence[str], x: str, title: str) -> Figure:
    """A row a name, a column an epoch; the darker the more.

    Args:
        values: `(rows, columns)`, NaN where there is none.
        rows: Names of the rows, from top to bottom.
        x: What the columns are.
        title: What the values are.
    """
    figure, axes = _axes(4.6, 0.8 + 0.13 * max(len(rows), 8), left=1.3)
    mesh = axes.pcolormesh(values, cmap="Blues", vmin=0)
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=6)
    axes.set_xlabel(x)
    axes.set_title(title, loc="left", fontsize=10)
    figure.colorbar(mesh)
    return figure


def histograms(samples: Mapping[str, Sample], colours: Mapping[str, str], *, x: str) -> Figure:
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
    figure, axes = _axes(5.8, 0.8 + 0.6 * len(samples), left=0.1)
    for row, arm in enumerate(reversed(list(samples))):
        values, counts = samples[arm]
        heights, _ = np.histogram(values, edges, weights=counts)
        heights = row + 0.7 * heights / max(heights.max(), 1)
        axes.stairs(heights, edges, baseline=row, fill=True, color=colours[arm], alpha=0.75)
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
) -> Figure:
    """Bars of a difference's parts, an arm beside the other, with their intervals.

    Args:
        parts: Part -> arm -> mean, lower and upper end.
        colours: Of the arms.
        x: What the bars measure.
    """
    arms = list(dict.fromkeys(arm for by_arm in parts.values() for arm in by_arm))
    figure, axes = _axes(5.8, 0.9 + len(parts) * max(0.4, 0.22 * len(arms)), left=1.7)
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
    axes.axvline(0, color="black", lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks(range(len(names)), names)
    axes.tick_params("y", length=0)
    axes.set_xlabel(x)
    axes.spines["left"].set_visible(False)
    return figure


def as_it_is(value: float, _: float) -> str:
    """A number on an axis, whole: what all had in common would stand where the title is."""
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.6g}")


def _axes(width: float, height: float, *, left: float) -> tuple[Figure, Axes]:
    """Axes in a figure, sizes in inches; margins are fixed, for fitting them takes most time."""
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width, right=1 - 0.25 / width, bottom=0.5 / height, top=1 - 0.3 / height
    )
    axes = figure.add_subplot()
    axes.grid(color="#808080", alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
