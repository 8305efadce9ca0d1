"""Statistics against simulated studies whose truth is known, and against enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from nas_lightning.analysis.statistics import (
    expected_best,
    paired_difference,
    probability_of_exceeding,
    rank_agreement,
)


def studies(n: int, difference: float, count: int) -> list[tuple[list[float], list[float]]]:
    """Studies of n seeds: both arms share what the seed does, and differ by noise of sd 0.1."""
    generator = np.random.default_rng(0)
    of_seed = generator.normal(4, 0.5, size=(count, n))
    one = of_seed + difference + generator.normal(0, 0.1 / math.sqrt(2), size=(count, n))
    other = of_seed + generator.normal(0, 0.1 / math.sqrt(2), size=(count, n))
    return list(zip(one.tolist(), other.tolist(), strict=True))


def test_equal_arms_differ_in_five_studies_of_a_hundred() -> None:
    found = sum(paired_difference(*study).sign != 0 for study in studies(10, 0.0, 2000))
    assert 0.035 < found / 2000 < 0.065  # three standard errors


def test_a_planted_difference_is_found() -> None:
    """Of a tenth of what seeds differ by, since they cancel."""
    found = [paired_difference(*study) for study in studies(10, -0.2, 100)]
    assert sum(difference.sign == -1 for difference in found) >= 99
    assert np.mean([difference.mean for difference in found]) == pytest.approx(-0.2, abs=0.01)


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    one, other = studies(7, 0.1, 1)[0]
    ours, reference = paired_difference(one, other), stats.ttest_rel(one, other)
    interval = reference.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.wilcoxon == pytest.approx(stats.wilcoxon(one, other).pvalue)
    assert (ours.n, ours.pilot) == (7, True)


def test_few_pairs_have_no_rank_test() -> None:
    assert paired_difference([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).wilcoxon is None
    assert paired_difference([1, 2, 3, 4, 5, 6], [0] * 6).wilcoxon == pytest.approx(2 / 2**6)


def test_a_constant_difference_is_certain() -> None:
    found = paired_difference([2.0, 3.0], [1.0, 2.0])
    assert (found.low, found.mean, found.high, found.sign) == (1, 1, 1, 1)
    assert paired_difference([1.0, 1.0], [1.0, 1.0]).sign == 0


@pytest.mark.parametrize(("one", "other"), [([1.0], [2.0]), ([1.0, 2.0], [1.0])])
def test_what_does_not_pair_is_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs=.*equally many, 2 or more"):
        paired_difference(one, other)


def test_probability_of_exceeding() -> None:
    assert probability_of_exceeding([1, 2, 3], [0, 0]) == 1
    assert probability_of_exceeding([1, 2], [1, 2]) == 0.5
    assert probability_of_exceeding([0, 2], [1]) == 0.5


def test_expected_best_of_k_by_enumeration() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    found = expected_best(values, range(1, 7))
    for k, mean in enumerate(found, start=1):
        every = [min(some) for some in itertools.combinations(values, k)]
        assert mean == pytest.approx(sum(every) / len(every))


def test_expected_best_of_many() -> None:
    """All 10,000 values, whose binomial coefficients no float holds."""
    values = np.linspace(0, 1, 10_000).tolist()
    assert expected_best(values, [1, 10_000]) == pytest.approx([0.5, 0.0])
    with pytest.raises(ValueError, match=r"draws=0 .*1 to 10000"):
        expected_best(values, [0])


def test_rank_agreement() -> None:
    generator = np.random.default_rng(1)
    truth, noise, other = generator.normal(size=(3, 150)).tolist()
    noisy = [t + n for t, n in zip(truth, noise, strict=True)]
    alike = rank_agreement(truth, noisy, resamples=200, seed=0)
    assert alike.value == pytest.approx(0.5, abs=0.1)
    assert alike.low < alike.value < alike.high
    assert alike.conclusive
    unlike = rank_agreement(truth, other, resamples=200, seed=0)
    assert unlike.low < 0 < unlike.high
    assert not unlike.conclusive
    assert not rank_agreement(truth[:50], truth[:50], resamples=20, seed=0).conclusive
