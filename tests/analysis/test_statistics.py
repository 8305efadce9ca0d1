"""Statistics against simulated studies whose truth is known, and against enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nas_lightning.analysis.statistics import (
    expected_best,
    geometric_interval,
    mean_interval,
    paired_difference,
    probability_of_exceeding,
    rank_agreement,
    rank_ceiling,
    two_sample_difference,
)
from nas_lightning.estimators.table_file import SHIPPED


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


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("difference", [0.0, 0.1, 1.0])
def test_equal_differences_have_no_interval(seeds: int, difference: float) -> None:
    """A verdict needs a spread; 4.1 - 4.0 and 5.1 - 5.0 differ by rounding alone."""
    other = [4.0 + seed for seed in range(seeds)]
    found = paired_difference([value + difference for value in other], other)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert (found.sign, found.p, found.deviation, found.spread) == (0, 1, 0, False)
    assert found.mean == pytest.approx(difference)


def differences(law: str, count: int, n: int) -> NDArray[np.float64]:
    """Differences whose mean and median are 0; those with heavy tails have no fourth moment."""
    generator = np.random.default_rng(0)
    drawn: NDArray[np.float64] = (
        generator.normal(size=(count, n))
        if law == "normal"
        else generator.standard_t(2, size=(count, n))
    )
    return drawn


@pytest.mark.parametrize(("law", "most"), [("normal", 0.957), ("heavy", 0.985)])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage_of_the_mean(law: str, most: float, n: int) -> None:
    """At least 95 %: exact for normal differences, and on the safe side for heavy tails."""
    drawn = differences(law, 40_000, n)
    half = stats.t.ppf(0.975, n - 1) * stats.sem(drawn, axis=1)
    held = float((np.abs(drawn.mean(axis=1)) <= half).mean())
    assert 0.945 < held < most
    some = [mean_interval(row.tolist()) for row in drawn[:50]]
    ours = [found.low <= 0 <= found.high for found in some]
    assert ours == (np.abs(drawn.mean(axis=1)) <= half)[:50].tolist(), "the intervals simulated"


@pytest.mark.parametrize(("law", "most"), [("normal", 0.97), ("heavy", 0.985)])
@pytest.mark.parametrize("ratio", [1.0, 3.0, 10.0], ids=lambda ratio: f"spread x {ratio:g}")
@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage_of_two_samples(law: str, most: float, ratio: float, n: int) -> None:
    """Welch's interval is an approximation: at least 94 %, whatever the two spread by."""
    drawn = differences(law, 40_000, 2 * n)
    one, other = drawn[:, :n], ratio * drawn[:, n:]
    found = stats.ttest_ind(one, other, axis=1, equal_var=False)
    held = found.pvalue > 0.05
    assert 0.94 < held.mean() < most
    pairs = zip(one[:50].tolist(), other[:50].tolist(), strict=True)
    some = [two_sample_difference(*pair) for pair in pairs]
    ours = [difference.low <= 0 <= difference.high for difference in some]
    assert ours == held[:50].tolist(), "the intervals simulated"


def test_ratios() -> None:
    """Speed-ups of five seeds, whose mean of 8.6 two of them carry."""
    ratios = [1.6, 17.5, 3.2, 1.8, 19.0]
    found = geometric_interval(ratios)
    assert found.value == pytest.approx(stats.gmean(ratios))
    logs = mean_interval(np.log(ratios).tolist())
    assert (found.low, found.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))
    assert 1.1 < found.low < 1.2
    assert 20 < found.high < 23


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
    last = [math.inf, math.inf, *sorted(truth)]
    assert rank_agreement(last, last, resamples=20, seed=0).low == pytest.approx(1)
    with pytest.raises(ValueError, match="values='NaN'"):
        rank_agreement([math.nan, *truth], [0.0, *other], resamples=20, seed=0)


@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_the_ceiling_of_rank_agreement_is_what_the_truth_itself_reaches(spread: float) -> None:
    """With one noisy judgement, and with the mean of two; by simulation, 150 architectures."""
    generator = np.random.default_rng(0)
    found, reached = [], []
    for _ in range(40):
        truth = spread * generator.normal(size=150)
        table = truth[:, None] + generator.normal(size=(150, 2))
        found.append([rank_ceiling(table.tolist(), seeds) for seeds in (1, 2)])
        judged = table[:, 0], table.mean(axis=1)
        reached.append([stats.kendalltau(truth, of).statistic for of in judged])
    assert np.mean(found, axis=0) == pytest.approx(np.mean(reached, axis=0), abs=0.01)
    assert rank_ceiling([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], 1) == 1


def test_the_ceiling_of_the_table_that_comes_with_the_package() -> None:
    """Another seed reaches .820; by another script, simulating, .866 and .897 +- .001."""
    rows = np.loadtxt(SHIPPED["enas_rnn_3"], delimiter=",", skiprows=1, usecols=(-2, -1)).tolist()
    assert rank_ceiling(rows, 1) == pytest.approx(0.866, abs=0.002)
    assert rank_ceiling(rows, 2) == pytest.approx(0.897, abs=0.002)


@pytest.mark.parametrize(("rho", "degrees"), [(0.3, None), (0.9, 3)])
def test_the_interval_of_an_agreement_holds_the_true_one(rho: float, degrees: int | None) -> None:
    """Of elliptical laws tau is 2 / pi * arcsin(rho), heavy tails or not."""
    generator = np.random.default_rng(0)
    true, held = 2 / math.pi * math.asin(rho), 0
    for study in range(60):
        drawn = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=30)
        if degrees is not None:
            drawn /= np.sqrt(generator.chisquare(degrees, size=(30, 1)) / degrees)
        found = rank_agreement(*drawn.T.tolist(), resamples=100, seed=study)
        held += found.low <= true <= found.high
    assert held >= 0.85 * 60
