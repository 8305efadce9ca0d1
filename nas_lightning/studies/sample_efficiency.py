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
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from nas_lightning.errors import UserError
from nas_lightning.runs.folder import write as write_text

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
    """How soon a way reaches the target, at the rate at which it does so soonest.

    Attributes:
        rate: The learning rate.
        gain: At the end, mean over seeds.
        evaluations: Until the target is reached; infinite where it is not.
        ratio: The published way's evaluations, at most all there were, over its own; 0 where it
            does not get there.
        low: Of the ratio, over resampled seeds, the 2.5 % quantile.
        high: The 97.5 % quantile.
    """

    rate: float
    gain: float
    evaluations: float
    ratio: float
    low: float
    high: float


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


def answers(curves: Curves, *, resamples: int = 2000) -> dict[str, Answer]:
    """What the curves come to, for each way, the published one first.

    The target is `SHARE` of what the published way has gained at the end at its best rate. The
    intervals are of the bootstrap over seeds, with the rates as they are.

    Args:
        curves: All ways at all rates with all seeds, of one study and size of minibatches.
        resamples: Of the bootstrap.
    """
    ((study, rows),) = {(curve.study, curve.rows) for curve in curves}
    seeds = sorted({curve.seed for curve in curves})
    rates = sorted({curve.rate for curve in curves})
    ways = sorted({curve.way for curve in curves}, key=lambda way: (way != PUBLISHED, way))

    def averaged(way: str, rate: float, some: Sequence[int] = seeds) -> list[float]:
        of_seeds = [curves[Curve(study, way, rate, rows, seed)] for seed in some]
        return [float(value) for value in np.mean(of_seeds, axis=0)]

    best = max(rates, key=lambda rate: averaged(PUBLISHED, rate)[-1])

    def until(way: str, rate: float, some: Sequence[int] = seeds) -> float:
        target = SHARE * averaged(PUBLISHED, best, some)[-1]
        return reached(averaged(way, rate, some), target)

    soonest = {
        way: min(rates, key=lambda rate: (until(way, rate), -averaged(way, rate)[-1]))
        for way in ways
    }

    def ratio(way: str, some: Sequence[int] = seeds) -> float:
        published = min(until(PUBLISHED, soonest[PUBLISHED], some), POINTS[-1])
        # A target that is no gain is reached before the first evaluation.
        return published / max(until(way, soonest[way], some), 1)

    draw = np.random.default_rng(0)
    resampled = [draw.choice(seeds, len(seeds)).tolist() for _ in range(resamples)]
    found = {}
    for way, rate in soonest.items():
        ratios = [ratio(way, some) for some in resampled]
        low, high = np.quantile(ratios, [0.025, 0.975])
        gain = averaged(way, rate)[-1]
        found[way] = Answer(rate, gain, until(way, rate), ratio(way), float(low), float(high))
    return found


def table(found: Mapping[str, Answer]) -> str:
    """A Markdown table of the answers."""
    lines = [
        "| way | learning rate | gain | evaluations | times fewer than the published way |",
        "|---|---:|---:|---:|---:|",
    ]
    for way, (rate, gain, evaluations, ratio, low, high) in found.items():
        until = "not reached" if math.isinf(evaluations) else f"{evaluations:,.0f}"
        fewer = "" if way == PUBLISHED else f"{ratio:.1f} ({low:.1f} to {high:.1f})"
        lines.append(f"| {way} | {rate:g} | {gain:.3f} | {until} | {fewer} |")
    return "\n".join(lines)


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
