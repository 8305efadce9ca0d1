"""Pictures of many arms at once: a row an arm, the best first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nas_lightning.analysis.statistics import Interval
from nas_lightning.report.charts import Aligned, Band, Chart, mark_band, of_bands

ROW = 0.3
"""Height of an arm's row, inches."""

GREY = "#808080"
COLUMNS = 4
"""Panels beside each other."""

LONGEST = 34
"""Characters of an arm's name beside an axis; the rest is in the tables."""


def ranked(
    values: Mapping[str, Sequence[float]],
    groups: Sequence[Sequence[str]],
    colours: Mapping[str, str],
    *,
    x: str,
) -> Chart:
    """Every seed of every arm as a dot, the mean as a line; who cannot be told apart is joined.

    Args:
        values: Arm -> a number a seed, the best arm first.
        groups: Arms no two of which can be told apart; a line each, beside them.
        colours: Of the arms.
        x: What the numbers are.
    """
    several = [group for group in groups if len(group) > 1]
    figure, axes = _rows(list(values), ("name", x), right=0.25 + 0.16 * len(several))
    places = {arm: -row for row, arm in enumerate(values)}
    for arm, numbers in values.items():
        y = places[arm]
        axes.plot(numbers, [y] * len(numbers), "o", color=colours[arm], ms=4.5, alpha=0.75, mew=0)
        rows = [(arm, value) for value in numbers]
        figure.mark(axes, [(value, y) for value in numbers], rows, colour=colours[arm])
        middle = sum(numbers) / len(numbers)
        axes.plot([middle, middle], [y - 0.3, y + 0.3], color="black", lw=1.6)
    across = axes.get_yaxis_transform()
    inch = 1 / (figure.get_figwidth() * axes.get_position().width)
    for number, group in enumerate(several, start=1):
        at = 1 + 0.16 * number * inch
        ends = [places[group[0]], places[group[-1]]]
        axes.plot([at, at], ends, color=GREY, lw=1.6, transform=across, clip_on=False)
        dots = [places[arm] for arm in group]
        axes.plot([at] * len(dots), dots, "o", color=GREY, ms=4, transform=across, clip_on=False)
    axes.set_xlabel(x)
    return figure


def intervals(found: Mapping[str, Interval], colours: Mapping[str, str], *, x: str) -> Chart:
    """Every arm's difference from another one and its interval; the line is no difference.

    Args:
        found: Arm -> difference, the best arm first.
        colours: Of the arms.
        x: What the differences are.
    """
    figure, axes = _rows(list(found), ("name", "difference", "from", "to"), right=0.25)
    for row, (arm, difference) in enumerate(found.items()):
        ends = [difference.low, difference.high]
        axes.plot(ends, [-row, -row], color=colours[arm], lw=2.2, solid_capstyle="butt")
        axes.plot([difference.value], [-row], "o", color=colours[arm], ms=5.5)
        numbers = (arm, difference.value, difference.low, difference.high)
        figure.mark(axes, [(difference.value, -row)], [numbers], colour=colours[arm])
    axes.axvline(0, color="black", lw=0.9)
    axes.set_xlabel(x)
    return figure


def panels(
    bands: Mapping[str, Band], colours: Mapping[str, str], *, beside: str, x: str, title: str
) -> Chart:
    """A panel an arm, of more arms than can be told from each other in one.

    Args:
        bands: Arm -> its values, the first one at the top left.
        colours: Of the arms.
        beside: The arm whose line stands in every panel, grey.
        x: What the steps are.
        title: What the values are.
    """
    lines = math.ceil(len(bands) / COLUMNS)
    width, height = 7.6, 0.7 + 1.45 * lines
    figure = Chart(width, height, of_bands(x))
    grid = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.5 / height,
        hspace=0.35, wspace=0.12,
    )  # fmt: skip
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(bands))
        axes.grid(color=GREY, alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(Aligned())
        axes.yaxis.set_major_formatter(Aligned())
        axes.tick_params(labelsize=8, labelbottom=place + COLUMNS >= len(bands))
    for axes, (arm, found) in zip(grid.flat, bands.items(), strict=False):
        if beside in bands and arm != beside:
            axes.plot(bands[beside].x, bands[beside].mean, color=GREY, lw=1.2, ls="--")
        axes.fill_between(found.x, found.low, found.high, color=colours[arm], alpha=0.25, lw=0)
        axes.plot(found.x, found.mean, color=colours[arm], lw=1.6)
        mark_band(figure, axes, arm, found, colour=colours[arm])
        axes.set_title(_short(arm, 20), loc="left", fontsize=9, parse_math=False)
    figure.text(0.7 / width, 1 - 0.18 / height, title, fontsize=10)
    figure.text(0.5, 0.1 / height, x, fontsize=10, ha="center")
    return figure


def _short(arm: str, longest: int) -> str:
    return arm if len(arm) <= longest else arm[: longest - 1] + "…"


def _rows(arms: Sequence[str], head: Sequence[str], *, right: float) -> tuple[Chart, Axes]:
    """Axes with a row an arm, sizes in inches; margins are fixed, as in `charts`."""
    names = [_short(arm, LONGEST) for arm in arms]
    left = 0.3 + 0.085 * max(map(len, names))
    width, height = left + 4.2 + right, 0.75 + ROW * len(arms)
    figure = Chart(width, height, head)
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=0.5 / height, top=1 - 0.1 / height
    )
    axes = figure.add_subplot()
    axes.grid(axis="x", color=GREY, alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_yticks([-row for row in range(len(arms))], names, parse_math=False)
    axes.tick_params("y", length=0)
    axes.set_ylim(-len(arms) + 0.4, 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    return figure, axes
