"""All arms of a study compared by one question: what is different, and how sure that is.

Every arm is compared with random search, paired by seed, and with every other. P-values are Holm's
over all arms, intervals hold for all arms at once (Bonferroni), so that a study of many arms finds
no more false winners than one of two.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from nas_lightning.analysis.power import equivalence, seeds_for, smallest_difference
from nas_lightning.analysis.several import groups, holm, simultaneous
from nas_lightning.analysis.statistics import LEVEL, PairedDifference
from nas_lightning.studies.differences import AGAINST, Values, paired
from nas_lightning.studies.questions import Question

ALPHA = 1 - LEVEL

Answer = Literal["better", "worse", "the same", "not shown", "no spread", "too much lost"]


@dataclass(frozen=True)
class Comparison:
    """One arm against another, by one question.

    Attributes:
        arm: The one.
        against: The other.
        arms: How many comparisons are made, and corrected for.
        difference: Arm minus other, its interval for this comparison alone.
        at_once: The same, its interval for all comparisons at once.
        medians: The difference of the samples' medians, where there are any, likewise at once.
        p: Holm's p-value.
        answer: What can be said.
        within: Whether it is certain that they differ by less than the margin.
        why_not: Why nothing can be, if too much was lost.
        better: Probability that a run of the arm is better than one of the other, ties half.
    """

    arm: str
    against: str
    arms: int
    difference: PairedDifference
    at_once: PairedDifference
    medians: PairedDifference | None
    p: float
    answer: Answer
    within: bool
    why_not: str
    better: float

    @property
    def level(self) -> float:
        """Of each interval, that all hold at once."""
        return simultaneous(self.arms)

    @property
    def smallest(self) -> float | None:
        """The smallest difference that these seeds would have shown with 80 % probability."""
        if not self.difference.spread:
            return None
        return smallest_difference(self.difference.deviation, self.difference.n, self.level)

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds would show, with 80 %, a difference of the size that was seen."""
        if not self.difference.spread:
            return None
        return seeds_for(self.difference.mean, self.difference.deviation, self.level)


@dataclass(frozen=True)
class Ranking:
    """All arms by one question, the best first.

    Attributes:
        question: Which.
        means: Arm -> mean over seeds, best first; see `_mean`.
        against: Arm -> its comparison with random search.
        with_best: Arm -> its comparison with the best one.
        groups: The largest sets of arms that cannot be told apart.
        margin: Within which two arms count as equal; None if none was named beforehand.
    """

    question: Question
    means: dict[str, float]
    against: dict[str, Comparison]
    with_best: dict[str, Comparison]
    groups: list[list[str]]
    margin: float | None


def ranking(question: Question, arms: Sequence[str], margin: float | None = None) -> Ranking:
    """Compare all arms by a question.

    Two families of comparisons, each corrected for itself: the verdicts, of every arm against
    random search, and all pairs of arms, which say who can be told apart from whom. So an arm may
    be better than random search by its verdict and yet share a group with it, for all pairs are
    more, and ask for more.

    Args:
        question: By which.
        arms: Those of which a verdict is due; corrections count these.
        margin: Within which two arms count as equal, if that was named before the first run.
    """
    sign = question.metric.sign
    means = {arm: _mean(question.values, arm) for arm in question.values}
    order = sorted(means, key=lambda arm: -sign * means[arm])
    due = [(arm, AGAINST) for arm in arms if paired(question.values, arm) is not None]
    every = [
        (worse, better)
        for better, worse in itertools.combinations(order, 2)
        if paired(question.values, worse, better) is not None
    ]
    pairs = compare(question, every, None)
    apart = {(c.arm, c.against) for c in pairs if c.answer in ("better", "worse")}
    return Ranking(
        question,
        {arm: means[arm] for arm in order},
        {c.arm: c for c in compare(question, due, margin)},
        {c.arm: c for c in pairs if c.against == order[0]},
        groups(order, apart) if len(order) > 1 else [order],
        margin,
    )


def _mean(values: Values, arm: str) -> float:
    """An arm's mean over the seeds of random search.

    Seeds differ more than arms do. So an arm with fewer of them counts by its difference from
    random's over those that both have.
    """
    difference = paired(values, arm)
    if difference is None:
        return mean(values[arm].values())
    return mean(values[AGAINST].values()) + difference.mean


def compare(
    question: Question, pairs: Sequence[tuple[str, str]], margin: float | None
) -> list[Comparison]:
    """Compare pairs of arms, all of them at once."""
    level = simultaneous(len(pairs))
    alone = [_paired(question, *pair, LEVEL) for pair in pairs]
    adjusted = holm([difference.p for difference in alone])
    found = []
    for (arm, against), difference, p in zip(pairs, alone, adjusted, strict=True):
        why_not = question.why_not(arm, against)
        within = margin is not None and len(pairs) * equivalence(difference, margin) <= ALPHA
        better = difference.exceeds if question.metric.sign > 0 else 1 - difference.exceeds
        found.append(
            Comparison(
                arm=arm,
                against=against,
                arms=len(pairs),
                difference=difference,
                at_once=_paired(question, arm, against, level),
                medians=paired(question.medians, arm, against, level),
                p=p,
                answer=_answer(question, difference, p, why_not, within),
                within=within,
                why_not=why_not,
                better=better,
            )
        )
    return found


def _paired(question: Question, arm: str, against: str, level: float) -> PairedDifference:
    difference = paired(question.values, arm, against, level)
    assert difference is not None
    return difference


def _answer(
    question: Question,
    difference: PairedDifference,
    p: float,
    why_not: str,
    within: bool,
) -> Answer:
    if why_not:
        return "too much lost"
    if not difference.spread:
        return "no spread"
    if p <= ALPHA:
        return "better" if difference.mean * question.metric.sign > 0 else "worse"
    return "the same" if within else "not shown"
