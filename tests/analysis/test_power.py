"""Power by simulation, and its inverses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nas_lightning.analysis.power import (
    equivalence,
    power,
    seeds_for,
    smallest_difference,
)
from nas_lightning.analysis.statistics import paired_difference


@pytest.mark.parametrize("n", [3, 5, 10])
def test_power_is_how_often_it_is_shown(n: int) -> None:
    size = smallest_difference(0.1, n)
    drawn = np.random.default_rng(0).normal(size, 0.1, size=(20_000, n))
    found = stats.ttest_1samp(drawn, 0, axis=1)
    shown = ((found.pvalue <= 0.05) & (found.statistic > 0)).mean()
    assert shown == pytest.approx(0.8, abs=0.01)
    assert power(size, 0.1, n) == pytest.approx(0.8)


def test_seeds_to_plan() -> None:
    """Half a standard deviation takes 34 pairs (Cohen 1988), and one fewer does not do."""
    assert seeds_for(0.5, 1.0) == 34
    assert power(0.5, 1.0, 34) >= 0.8 > power(0.5, 1.0, 33)
    more = seeds_for(0.5, 1.0, level=1 - 0.05 / 8)
    assert more is not None
    assert more > 34, "eight arms take more"
    assert seeds_for(1e-5, 1.0) is None
    assert seeds_for(0.0, 1.0) is None
    assert smallest_difference(0.0, 5) == 0


@pytest.mark.parametrize("n", [3, 5, 10])
def test_equality_is_rarely_claimed_of_what_differs(n: int) -> None:
    """At the margin's edge, where it is hardest: 5 %."""
    drawn = np.random.default_rng(0).normal(0.1, 0.05, size=(1000, n))
    claimed = np.mean([equivalence(paired_difference(d, [0.0] * n), 0.1) <= 0.05 for d in drawn])
    assert claimed == pytest.approx(0.05, abs=0.02)


def test_equality_takes_a_margin_and_a_spread() -> None:
    near = paired_difference([0.01, -0.01, 0.0, 0.02, -0.02], [0.0] * 5)
    assert equivalence(near, 0.1) < 0.01
    assert equivalence(near, 0.005) > 0.05
    assert equivalence(paired_difference([1.0, 1.0], [1.0, 1.0]), 0.1) == 1
    with pytest.raises(ValueError, match=r"margin=0 .*above 0"):
        equivalence(near, 0)
