"""Many arms at once, by simulation: few false verdicts, whatever the number of arms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nas_lightning.analysis.several import groups, holm, simultaneous


def p_values(arms: int, law: str, studies: int, n: int) -> NDArray[np.float64]:
    """Of studies `(studies, arms)` without effect, whose arms all share random's numbers."""
    generator = np.random.default_rng(0)
    shape = (studies, arms + 1, n)
    drawn = generator.normal(size=shape) if law == "normal" else generator.standard_t(2, size=shape)
    differences = drawn[:, 1:] - drawn[:, :1]
    found = stats.ttest_1samp(differences, 0, axis=2)
    p: NDArray[np.float64] = np.where(found.statistic < 0, found.pvalue, 1 - found.pvalue / 2)
    return p


def test_by_hand() -> None:
    """Holm: 3 x .01, then 2 x .03, then at least as much."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []
    assert simultaneous(8) == pytest.approx(1 - 0.05 / 8)
    assert simultaneous(0) == simultaneous(1) == 0.95


@pytest.mark.parametrize("law", ["normal", "heavy"])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_eight_arms_without_effect(law: str, n: int) -> None:
    """A false "yes" somewhere: in one study of ten without correction, in at most 5 % with it.

    Holm's first step decides whether there is any, so that the least p-value tells.
    """
    least = p_values(8, law, 4000, n).min(axis=1)
    corrected = float((8 * least <= 0.05).mean())
    assert corrected <= 0.05
    if law == "normal":
        assert 0.08 < float((least <= 0.05).mean()) < 0.2, "what correction is for"
    some = p_values(8, law, 200, n)
    assert [min(holm(row)) for row in some] == pytest.approx(np.minimum(8 * some.min(1), 1))


def test_simultaneous_intervals_all_hold() -> None:
    drawn = np.random.default_rng(1).normal(size=(4000, 9, 10))
    differences = drawn[:, 1:] - drawn[:, :1]
    half = stats.t.ppf((1 + simultaneous(8)) / 2, 9) * stats.sem(differences, axis=2)
    held = (np.abs(differences.mean(axis=2)) <= half).all(axis=1).mean()
    assert 0.95 < held < 0.975


def test_groups() -> None:
    """Two arms share a group exactly if they cannot be told apart."""
    arms = ["a", "b", "c", "d"]
    apart = {("a", "c"), ("d", "a"), ("b", "d")}
    assert groups(arms, apart) == [["a", "b"], ["b", "c"], ["c", "d"]]
    assert groups(arms, set()) == [arms]
    assert groups(["a", "b"], {("b", "a")}) == [["a"], ["b"]]
    # The first and the last cannot be told apart, though what lies between can be told from both.
    assert groups(["a", "b", "c"], {("a", "b"), ("b", "c")}) == [["a", "c"], ["b"]]
