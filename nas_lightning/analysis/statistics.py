"""Is one arm of a study better than another? Differences between runs paired by their seed.

Runs of one seed share initial weights and data order, so their difference is freer of noise than
the two are. Everything is said with an interval and with how many pairs it stands on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from nas_lightning.errors import require

LEVEL = 0.95
"""Of all intervals."""

FEWEST = 10
"""Pairs below which a study is a pilot: its interval holds if differences are normal, which so few
cannot show."""

FEWEST_FOR_RANKS = 6
"""Pairs below which Wilcoxon's test cannot reach 5 %: its smallest p-value is 2 / 2^n."""


ROUNDING = 1e-9
"""Share of the numbers' size below which differences between them are rounding."""

FEWEST_FOR_TAU = 100
"""Architectures below which a rank agreement is called inconclusive: tau's standard error without
any agreement is then 0.07 (its variance is 2 (2n + 5) / (9n (n - 1)), Kendall 1938)."""


@dataclass(frozen=True)
class Interval:
    """An estimate and where the truth lies with a stated confidence.

    Attributes:
        value: The estimate.
        low: Lower end; minus infinity where the numbers bound nothing.
        high: Upper end; infinity likewise.
    """

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 if the interval excludes zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def has_spread(values: Sequence[float]) -> bool:
    """Whether numbers differ by more than the rounding of what they were computed from."""
    found = np.asarray(values, np.float64)
    return bool(np.ptp(found) > ROUNDING * max(1.0, float(np.abs(found).max())))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The t interval of a mean: exact for normal numbers, wider than need be for heavy tails.

    Without any spread there is nothing to make an interval of: its ends are infinite.

    Args:
        values: n >= 2 numbers, one a seed.
        level: Of confidence.
    """
    require(len(values) >= 2, "values", len(values), "2 or more")
    found, n = np.asarray(values, np.float64), len(values)
    mean, half = float(found.mean()), math.inf
    if has_spread(values):
        half = float(_standard_error(found) * special.stdtrit(n - 1, (1 + level) / 2))
    return Interval(mean, mean - half, mean + half)


def _standard_error(values: NDArray[np.float64]) -> float:
    """Of the mean of n >= 2 numbers."""
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _p_of_zero(values: NDArray[np.float64]) -> float:
    """Of the two-sided t test that the mean is zero; as `stats.ttest_1samp`, a tenth of its time.

    A page of eight arms asks for some hundreds.
    """
    t = abs(float(values.mean())) / _standard_error(values)
    return float(2 * special.stdtr(len(values) - 1, -t))


def geometric_interval(ratios: Sequence[float], level: float = LEVEL) -> Interval:
    """The geometric mean of positive ratios, with the t interval of their logarithms."""
    require(all(ratio > 0 for ratio in ratios), "ratios", tuple(ratios), "above 0")
    logs = mean_interval([math.log(ratio) for ratio in ratios], level)
    high = math.exp(logs.high) if logs.high < math.inf else math.inf
    return Interval(math.exp(logs.value), math.exp(logs.low), high)


@dataclass(frozen=True)
class PairedDifference:
    """By how much a quantity of one arm exceeds that of another, over n seeds.

    Attributes:
        n: Pairs.
        mean: Of the differences.
        low: Lower end of the t interval of the mean; minus infinity where there is no spread.
        high: Its upper end.
        p: Two-sided p-value of the paired t test; 1 where there is no spread.
        median: Of the differences.
        deviation: Their standard deviation.
        wilcoxon: p-value of Wilcoxon's signed-rank test, or None where n < 6.
        exceeds: Probability that a run of the one exceeds a run of the other, ties half (the
            probability of improvement of Agarwal et al. 2021, section 4.1, where more is better).
    """

    n: int
    mean: float
    low: float
    high: float
    p: float
    median: float
    deviation: float
    wilcoxon: float | None
    exceeds: float

    @property
    def sign(self) -> int:
        """1 or -1 if the interval excludes zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def spread(self) -> bool:
        """Whether the differences differ; without that nothing says how sure their mean is."""
        return math.isfinite(self.low)

    @property
    def pilot(self) -> bool:
        """Whether there are too few pairs for more than a first impression."""
        return self.n < FEWEST


def paired_difference(
    one: Sequence[float], other: Sequence[float], level: float = LEVEL
) -> PairedDifference:
    """The difference `one - other` of values paired by their place.

    Args:
        one: A value for each of n >= 2 seeds.
        other: Likewise, of the same seeds.
        level: Of the interval.

    Raises:
        ValueError: If the two do not pair up, or there are fewer than two pairs.
    """
    require(len(one) == len(other) >= 2, "pairs", (len(one), len(other)), "equally many, 2 or more")
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    differences = first - second
    scale = max(1.0, float(np.abs(first).max()), float(np.abs(second).max()))
    if np.ptp(differences) <= ROUNDING * scale:  # the same for every seed, up to rounding
        differences = np.full(len(first), differences.mean())
    interval = mean_interval(differences.tolist(), level)
    spread = math.isfinite(interval.low)
    return PairedDifference(
        n=len(differences),
        mean=interval.value,
        low=interval.low,
        high=interval.high,
        p=_p_of_zero(differences) if spread else 1.0,
        median=float(np.median(differences)),
        deviation=float(differences.std(ddof=1)) if spread else 0.0,
        wilcoxon=_wilcoxon(differences),
        exceeds=probability_of_exceeding(one, other),
    )


def two_sample_difference(
    one: Sequence[float], other: Sequence[float], level: float = LEVEL
) -> PairedDifference:
    """The difference of means of two samples that share nothing, by Welch's t.

    It has the form of a paired difference. Its deviation is what the differences of as many
    independent pairs would have; its median is that of all differences; there is no signed-rank
    test.

    Args:
        one: Two values or more.
        other: Likewise.
        level: Of the interval.
    """
    require(min(len(one), len(other)) >= 2, "sample", (len(one), len(other)), "2 or more each")
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    difference, n = float(first.mean() - second.mean()), min(len(first), len(second))
    low, high, p, deviation = -math.inf, math.inf, 1.0, 0.0
    if has_spread(one) or has_spread(other):
        with warnings.catch_warnings():  # that one of both has no spread
            warnings.simplefilter("ignore", RuntimeWarning)
            test = stats.ttest_ind(first, second, equal_var=False)
        low, high = map(float, test.confidence_interval(level))
        p = float(test.pvalue)
        deviation = math.sqrt(
            n * (first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
        )
    return PairedDifference(
        n=n,
        mean=difference,
        low=low,
        high=high,
        p=p,
        median=float(np.median(first[:, None] - second[None, :])),
        deviation=deviation,
        wilcoxon=None,
        exceeds=probability_of_exceeding(one, other),
    )


def probability_of_exceeding(one: Sequence[float], other: Sequence[float]) -> float:
    """The share of all pairs (x of one, y of the other) with x > y, ties half."""
    first, second = np.asarray(one, np.float64)[:, None], np.asarray(other, np.float64)[None, :]
    return float(((first > second) + 0.5 * (first == second)).mean())


def expected_best(values: Sequence[float], draws: Sequence[int]) -> NDArray[np.float64]:
    """The mean of the smallest of k values drawn from a population without replacement.

    With the N values in ascending order the i-th is the smallest of k with probability
    `C(N - i, k - 1) / C(N, k)`, i from 1. This is what uniform random search comes to after k
    evaluations on a space all of whose values are known.

    Args:
        values: The population, N values.
        draws: The numbers k, between 1 and N.

    Returns:
        One mean for each k.

    Raises:
        ValueError: If a k is outside 1 to N.
    """
    ascending, size = np.sort(np.asarray(values, np.float64)), len(values)
    for k in draws:
        require(1 <= k <= size, "draws", k, f"1 to {size}")
    larger = size - np.arange(1, size + 1)
    means = []
    for k in draws:
        possible = larger >= k - 1
        chance = np.exp(_log_choose(larger[possible], k - 1) - _log_choose(np.array(size), k))
        means.append(float(ascending[possible] @ chance))
    return np.array(means)


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's tau-b between two judgements of the same architectures.

    Attributes:
        n: Architectures.
        value: Tau.
        low: Lower end of its 95 % bootstrap interval over architectures.
        high: Its upper end.
    """

    n: int
    value: float
    low: float
    high: float

    @property
    def conclusive(self) -> bool:
        """Whether there are architectures enough, and the sign is certain."""
        return self.n >= FEWEST_FOR_TAU and (self.low > 0 or self.high < 0)


def rank_agreement(
    one: Sequence[float], other: Sequence[float], *, resamples: int, seed: int
) -> RankAgreement:
    """Kendall's tau-b with a percentile bootstrap interval.

    Args:
        one: A value for each architecture; infinity where it ranks last.
        other: Likewise.
        resamples: Of the bootstrap.
        seed: Of its draws.

    Raises:
        ValueError: If the two are not equally many, or fewer than two, or one is constant or holds
            a NaN, which has no rank.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    require(not np.isnan([*first, *second]).any(), "values", "NaN", "numbers or infinity")
    sizes, varied = (len(first), len(second)), len(set(one)) > 1 and len(set(other)) > 1
    require(sizes[0] == sizes[1] and varied, "values", sizes, "equally many, and not all the same")
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(first), size=(resamples, len(first)))
    taus = np.array([_tau(first[i], second[i]) for i in drawn])
    low, high = np.nanquantile(taus, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return RankAgreement(len(first), _tau(first, second), float(low), float(high))


def rank_ceiling(values: Sequence[Sequence[float]], seeds: int) -> float:
    """The tau that a predictor without any noise would have with a noisy judgement, on average.

    What two judgements agree on is less, since both are noisy. The noise is taken as normal and
    alike for all architectures, and the means as they are, drawn together by as much as noise has
    spread them: the expected sign of every pair's difference is then known.

    Args:
        values: For each architecture K >= 2 judgements that differ by noise alone.
        seeds: Whose mean is predicted, of so many judgements.
    """
    table = np.asarray(values, np.float64)
    noise = float(table.var(axis=1, ddof=1).mean())
    means = table.mean(axis=1)
    spread = float(means.var(ddof=1))
    shrunk = means * max(0.0, 1 - noise / table.shape[1] / spread) ** 0.5 if spread else means
    one, other = np.triu_indices(len(shrunk), k=1)
    apart = np.abs(shrunk[one] - shrunk[other])
    if noise == 0:
        return float((apart > 0).mean())
    return float((2 * stats.norm.cdf(apart / (2 * noise / seeds) ** 0.5) - 1).mean())


def _tau(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(stats.kendalltau(one, other).statistic)


def _wilcoxon(differences: NDArray[np.float64]) -> float | None:
    if len(differences) < FEWEST_FOR_RANKS or not differences.any():
        return None
    return float(stats.wilcoxon(differences).pvalue)


def _log_choose(n: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The logarithm of the binomial coefficient C(n, k)."""
    result: NDArray[np.float64] = -special.betaln(n - k + 1, k + 1) - np.log(n + 1)
    return result
