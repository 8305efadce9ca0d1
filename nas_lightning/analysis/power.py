"""What a number of seeds can show: power, seeds to plan, and when two arms count as equal.

All for the mean of paired differences and the two-sided t test; normal differences are assumed.
"""

from __future__ import annotations

import math

from scipy import optimize, stats

from nas_lightning.analysis.statistics import LEVEL, PairedDifference
from nas_lightning.errors import require

POWER = 0.8
"""With which probability a difference shall be shown that is there."""

MOST_SEEDS = 10_000
"""More than anyone will run: beyond it the answer is that seeds do not help."""


def power(difference: float, deviation: float, n: int, level: float = LEVEL) -> float:
    """The probability that n seeds show a difference that is there.

    Args:
        difference: True mean of the differences.
        deviation: Their standard deviation over seeds.
        n: Seeds, 2 or more.
        level: Of the interval that must exclude zero.
    """
    require(n >= 2, "n", n, "2 or more")
    require(deviation > 0, "deviation", deviation, "above 0")
    shift = abs(difference) / deviation * math.sqrt(n)
    critical = stats.t.ppf((1 + level) / 2, n - 1)
    # The other tail is P(|t| ...) of the wrong sign, which nobody calls shown.
    return float(stats.nct.sf(critical, n - 1, shift))


def smallest_difference(
    deviation: float, n: int, level: float = LEVEL, wanted: float = POWER
) -> float:
    """The smallest difference that n seeds show with probability `wanted`."""
    require(n >= 2, "n", n, "2 or more")
    if deviation == 0:
        return 0.0
    high = 1.0
    while power(high * deviation, deviation, n, level) < wanted:
        high *= 2
    found = optimize.brentq(
        lambda size: power(size * deviation, deviation, n, level) - wanted, 1e-6, high
    )
    return float(found) * deviation


def seeds_for(
    difference: float, deviation: float, level: float = LEVEL, wanted: float = POWER
) -> int | None:
    """How many seeds show a difference with probability `wanted`; None beyond `MOST_SEEDS`."""
    if deviation == 0 or difference == 0:
        return 2 if difference else None
    if power(difference, deviation, MOST_SEEDS, level) < wanted:
        return None
    low, high = 2, MOST_SEEDS
    while low < high:  # power rises with n
        middle = (low + high) // 2
        if power(difference, deviation, middle, level) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low


def equivalence(difference: PairedDifference, margin: float) -> float:
    """The p-value of two one-sided t tests that a difference is outside a margin (Schuirmann 1987).

    At most 5 %: the two are equal, within the margin. 1 where there is no spread to tell by.

    Args:
        difference: Over n seeds.
        margin: Above 0: within it two arms count as equal.
    """
    require(margin > 0, "margin", margin, "above 0")
    if not difference.spread:
        return 1.0
    error = difference.deviation / math.sqrt(difference.n)
    nearest = margin - abs(difference.mean)
    return float(stats.t.sf(nearest / error, difference.n - 1))
