"""How costs grow: with nodes, architectures, what a memory holds, and the length of a ledger.

A cost that is c * size^e is a straight line of slope e where both axes are logarithmic. e <= 1 is
linear or better, 0 is independent of the size.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.numbers import Number, over_rounds
from benchmarks.timing import repeats, seconds

Work = Callable[[], object]


@dataclass(frozen=True)
class Curve:
    """A cost as a function of a size.

    Attributes:
        panel: The size, by the name of the panel in which the curve is drawn.
        name: The cost.
        sizes: Where it is measured.
        work: What is timed at a size.
        at_most: The exponent that is aimed at.
        repeats: Calls that are timed together, where one is too short.
    """

    panel: str
    name: str
    sizes: Sequence[int]
    work: Callable[[int], Work]
    at_most: float = 1.0
    repeats: int = 1

    def seconds(self, rounds: int) -> list[list[float]]:
        """Of a call at every size, round by round; the first round warms up and does not count."""
        works = [self.work(size) for size in self.sizes]
        return [[self._timed(work) for work in works] for _ in repeats(rounds + 1)][1:]

    def _timed(self, work: Work) -> float:
        return seconds(lambda: [work() for _ in range(self.repeats)]) / self.repeats


def growth(curves: Sequence[Curve], rounds: int, figure: Path) -> list[Number]:
    """The exponents of curves, which are drawn.

    Args:
        curves: What is measured.
        rounds: How often each is.
        figure: Where the drawing goes.
    """
    drawn = [(c, c.seconds(rounds)) for c in curves]
    draw([(c, medians(seconds)) for c, seconds in drawn], figure)
    return [number(c, seconds) for c, seconds in drawn]


def number(curve: Curve, seconds: Sequence[Sequence[float]]) -> Number:
    """The exponent of a curve.

    Args:
        curve: What was measured.
        seconds: Round by round, of every size.
    """
    found = [exponent(curve.sizes, times) for times in seconds]
    return over_rounds(
        f"{curve.panel}, {curve.name}: exponent",
        found,
        at_most=curve.at_most,
        beside={
            f"ms at {size:,}": 1000 * value
            for size, value in zip(curve.sizes, medians(seconds), strict=True)
        },
    )


def medians(seconds: Sequence[Sequence[float]]) -> list[float]:
    """Over the rounds, of every size."""
    return [statistics.median(times) for times in zip(*seconds, strict=True)]


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of the line of least squares through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def draw(points: Sequence[tuple[Curve, Sequence[float]]], path: Path) -> None:
    """A panel for every size, both axes logarithmic, grey where a cost is linear.

    Args:
        points: Curves, and their seconds at every size.
        path: The file.
    """
    sizes = {curve.panel: curve.sizes for curve, _ in points}
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    grid = figure.subplots(2, -(-len(sizes) // 2), squeeze=False).flatten().tolist()
    for axes, panel in zip(grid, sizes, strict=False):
        for curve, times in points:
            if curve.panel != panel:
                continue
            milliseconds = [1000 * s for s in times]
            axes.loglog(curve.sizes, milliseconds, marker="o", label=curve.name)
            ends = np.array([curve.sizes[0], curve.sizes[-1]])
            axes.loglog(ends, milliseconds[0] * ends / ends[0], color="0.8", zorder=0)
        axes.set(xlabel=panel, ylabel="ms", xticks=sizes[panel])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize="small")
    for axes in grid[len(sizes) :]:
        axes.remove()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "growth"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
