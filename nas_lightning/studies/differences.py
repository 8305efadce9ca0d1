"""Numbers of a study by arm and seed, their differences, and how a difference is said."""

from __future__ import annotations

from collections.abc import Sequence

from nas_lightning.analysis.statistics import (
    LEVEL,
    PairedDifference,
    paired_difference,
    two_sample_difference,
)
from nas_lightning.runs.records import finite
from nas_lightning.runs.run import Run

AGAINST = "random"
"""The arm that every other one has to beat."""

CONTROLS = ("random", "permuted", "untrained")
"""Arms, and beginnings of arms' names, that nobody expects to learn."""

Values = dict[str, dict[int, float]]
"""Arm -> seed -> value."""


class TwoSamples(Values):
    """Values of runs that share nothing, so that arms are compared as two samples."""


def contenders(runs: Sequence[Run]) -> list[str]:
    """The arms that may be better than random, the plain LSTM first."""
    arms = dict.fromkeys(run.arm for run in runs)
    found = [arm for arm in arms if not arm.startswith(CONTROLS)]
    return sorted(found, key=lambda arm: arm != "lstm")


def values(runs: Sequence[Run], name: str) -> Values:
    """The value of a metric in a run's last epoch, where it is there and finite."""
    found: Values = {}
    for run in runs:
        value = finite(run.at_end.get(name))
        if value is not None:
            found.setdefault(run.arm, {})[run.seed] = value
    return found


def paired(
    of: Values, arm: str, against: str = AGAINST, level: float = LEVEL
) -> PairedDifference | None:
    """The difference `arm - against` over their common seeds; None with fewer than two.

    Of `TwoSamples` that of all seeds of each.
    """
    one, other = of.get(arm, {}), of.get(against, {})
    if isinstance(of, TwoSamples):
        if min(len(one), len(other)) < 2:
            return None
        return two_sample_difference(list(one.values()), list(other.values()), level)
    seeds = sorted(one.keys() & other.keys())
    if len(seeds) < 2:
        return None
    return paired_difference([one[s] for s in seeds], [other[s] for s in seeds], level)


def over_seeds(numbers: Sequence[float], level: float = LEVEL) -> PairedDifference | None:
    """The mean of numbers that are differences already, a number a seed."""
    if len(numbers) < 2:
        return None
    return paired_difference(numbers, [0.0] * len(numbers), level)


def spoken(difference: PairedDifference, *more: str) -> str:
    """An interval and what it stands on, in brackets, with the median that stands beside a mean.

    Args:
        difference: Whose interval, at `LEVEL`.
        more: What else is said, such as the kind of the numbers.
    """
    interval = f"{LEVEL:.0%} interval {difference.low:+.3g} to {difference.high:+.3g}"
    if not difference.spread:
        interval = "no interval: the difference is the same for every seed"
    return _bracketed(interval, difference, *more)


def spoken_at_once(difference: PairedDifference, arms: int, *more: str) -> str:
    """The same of an interval that holds for several arms at once."""
    if arms < 2 or not difference.spread:
        return spoken(difference, *more)
    interval = (
        f"{LEVEL:.0%} interval for {arms} arms at once {difference.low:+.3g} to "
        f"{difference.high:+.3g}"
    )
    return _bracketed(interval, difference, *more)


def _bracketed(interval: str, difference: PairedDifference, *more: str) -> str:
    median = [f"median {difference.median:+.3g}"] if difference.spread else []
    pilot = ["a pilot"] if difference.pilot else []
    parts = [interval, *median, f"{difference.n} seeds", *pilot, *filter(None, more)]
    return f"({', '.join(parts)})"
