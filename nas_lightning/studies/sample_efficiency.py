"""How soon ways of learning get to the answer: their curves, and what follows from them.

A curve is the gain of one controller while it learns: mean reward of what it proposes minus that
of uniform architectures, after so many evaluations.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from nas_lightning.analysis.statistics import geometric_interval
from nas_lightning.errors import UserError
from nas_lightning.files import write as write_text

POINTS = (0, 100, 250, 500, 750, 1000, 1500, 2000, 3000, 4000)
"""After how many evaluations a policy is measured."""

PUBLISHED = "moving average, 1"
"""The published way (Pham et al. 2018): one architecture a step. Others are compared with it."""

SHARE = 0.95
"""Of the published way's gain, which has to be reached."""

HEADER = ["study", "way", "rate", "rows", "seed", "evaluations", "gain"]


class Curve(NamedTuple):
    """Whose curve it is.

    Attributes:
        study: Whose shared weights stand still.
        way: Of learning.
        rate: Learning rate.
        rows: Of its minibatches.
        seed: Of the study's run, and of the controller.
    """

    study: str
    way: str
    rate: float
    rows: int
    seed: int


Curves = Mapping[Curve, Sequence[float]]
"""Gains at `POINTS`."""


class Answer(NamedTuple):
    """How soon a way reaches the target, a value for each seed.

    Attributes:
        rates: The learning rate, chosen on the other seeds.
        gains: At the end.
        evaluations: Until the target is reached; infinite where it is not.
        ratios: The published way's evaluations over its own: 0 where it does not get there. Where
            only the published way does not, all the evaluations there were stand for its own, and
            the ratio is a lower bound; NaN where neither does, or the target is no gain.
    """

    rates: Sequence[float]
    gains: Sequence[float]
    evaluations: Sequence[float]
    ratios: Sequence[float]


def reached(gains: Sequence[float], target: float) -> float:
    """Evaluations until a curve reaches a target; infinite where it does not.

    The curve is made monotone first (isotonic regression), so that one lucky point does not count,
    and is straight between its points.
    """
    smooth = isotonic_regression(gains).x
    above = np.flatnonzero(smooth >= target)
    if len(above) == 0:
        return math.inf
    return float(np.interp(target, smooth[: above[0] + 1], POINTS[: above[0] + 1]))


def answers(curves: Curves) -> dict[str, Answer]:
    """What the curves come to, for each way, the published one first.

    Every seed is its own experiment: its target is `SHARE` of what the published way has gained
    with this seed at the end. Rates are chosen on the other seeds, by their mean curves, or the
    luck of a rate would be counted as merit: for the target that at which the published way gains
    most, for each way that at which it reaches the target soonest. A single seed chooses for
    itself.

    Args:
        curves: All ways at all rates with all seeds, of one study and size of minibatches.
    """
    ((study, rows),) = {(curve.study, curve.rows) for curve in curves}
    seeds = sorted({curve.seed for curve in curves})
    rates = sorted({curve.rate for curve in curves})
    ways = sorted({curve.way for curve in curves}, key=lambda way: (way != PUBLISHED, way))

    def averaged(way: str, rate: float, some: Sequence[int]) -> list[float]:
        of_seeds = [curves[Curve(study, way, rate, rows, seed)] for seed in some]
        return [float(value) for value in np.mean(of_seeds, axis=0)]

    def chosen(seed: int) -> tuple[float, dict[str, float]]:
        """The target of a seed, and the rate of each way."""
        others = [other for other in seeds if other != seed] or seeds
        best = max(rates, key=lambda rate: averaged(PUBLISHED, rate, others)[-1])
        theirs = SHARE * averaged(PUBLISHED, best, others)[-1]

        def order(way: str, rate: float) -> tuple[float, float]:
            curve = averaged(way, rate, others)
            return reached(curve, theirs), -curve[-1]

        soonest = {way: min(rates, key=lambda rate: order(way, rate)) for way in ways}
        return SHARE * averaged(PUBLISHED, best, [seed])[-1], soonest

    choices = [chosen(seed) for seed in seeds]
    found: dict[str, Answer] = {}
    for way in ways:
        used = [soonest[way] for _, soonest in choices]
        own = [averaged(way, rate, [seed]) for rate, seed in zip(used, seeds, strict=True)]
        until = [reached(c, target) for c, (target, _) in zip(own, choices, strict=True)]
        published = found[PUBLISHED].evaluations if found else until
        targets = [target for target, _ in choices]
        ratios = [_ratio(*three) for three in zip(published, until, targets, strict=True)]
        found[way] = Answer(used, [curve[-1] for curve in own], until, ratios)
    return found


def _ratio(published: float, own: float, target: float) -> float:
    """How many times fewer evaluations; see `Answer`."""
    if target <= 0 or math.isinf(min(published, own)):
        return math.nan
    return max(min(published, POINTS[-1]), 1) / max(own, 1)


def table(found: Mapping[str, Answer]) -> str:
    """A Markdown table of the answers."""
    lines = [
        "| way | learning rate | gain: mean, median | evaluations: median | times fewer than the "
        "published way: by seed | median | geometric mean, 95 % interval |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    censored = [math.isinf(evaluations) for evaluations in found[PUBLISHED].evaluations]
    for way, (rates, gains, evaluations, ratios) in found.items():
        cells = [
            ", ".join(f"{rate:g}" for rate in sorted(set(rates))),
            f"{mean(gains):.3f}, {median(gains):.3f}",
            _count(median(evaluations)),
        ]
        if way == PUBLISHED:
            cells += [""] * 3
        else:
            by_seed = [_times(r, least) for r, least in zip(ratios, censored, strict=True)]
            middle = float(np.median(ratios))
            cells += [", ".join(by_seed), _times(middle, False), _geometric(ratios)]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _count(evaluations: float) -> str:
    return "not reached" if math.isinf(evaluations) else f"{evaluations:,.0f}"


def _times(ratio: float, at_least: bool) -> str:
    if not ratio > 0:
        return "undefined" if math.isnan(ratio) else "not reached"
    return f"{'≥ ' if at_least else ''}{ratio:.1f}"


def _geometric(ratios: Sequence[float]) -> str:
    """The geometric mean of the ratios, if all seeds have one."""
    missing = sum(not ratio > 0 for ratio in ratios)
    if missing:
        return f"none: no ratio with {missing} of {len(ratios)} seeds"
    if len(ratios) < 2:
        return f"{ratios[0]:.1f} (1 seed: no interval)"
    value, low, high = astuple(geometric_interval(ratios))
    return f"{value:.1f} ({low:.1f} to {high:.1f}, {len(ratios)} seeds)"


def read(path: Path) -> dict[Curve, list[float]]:
    """The curves of a file; none if it is not there.

    Raises:
        UserError: If it is another file.
    """
    if not path.exists():
        return {}
    curves: dict[Curve, list[float]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            if lines.fieldnames != HEADER:
                raise ValueError("other columns")
            for row in lines:
                study, way, rate, rows, seed, evaluations, gain = (row[name] for name in HEADER)
                gains = curves[Curve(study, way, float(rate), int(rows), int(seed))]
                if int(evaluations) != POINTS[len(gains)]:
                    raise ValueError(f"{evaluations} evaluations where another number is due")
                gains.append(float(gain))
        if any(len(gains) < len(POINTS) for gains in curves.values()):
            raise ValueError("a curve lacks its last points")
    except (ValueError, TypeError, IndexError, csv.Error) as error:
        reason = f"cannot be read ({error}); give another file, or put the old one back"
        raise UserError(f"output={path}: {reason}") from error
    return dict(curves)


def write(path: Path, curves: Curves) -> None:
    """Write curves, a row for each point; the file is whole at any time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for curve, gains in curves.items():
        writer.writerows([*curve, n, f"{gain:.6f}"] for n, gain in zip(POINTS, gains, strict=True))
    write_text(path, text.getvalue())
