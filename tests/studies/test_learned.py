"""Learned or noise: how far a policy moves when its rewards say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from nas_lightning.studies.learned import PERMUTED, has_moved, moved


def test_the_largest_of_nineteen_is_a_test_at_five_per_cent() -> None:
    permuted = list(np.linspace(0.01, 0.19, 19))
    assert moved([0.2], permuted) == pytest.approx(1 / 20)
    assert has_moved([0.2], permuted)
    assert not has_moved([0.185], permuted)
    assert not has_moved([0.2], permuted[:18])
    assert not has_moved([], permuted)


@pytest.mark.parametrize(("arms", "permuted"), [(1, 19), (3, 3), (10, 3), (10, 10)])
def test_noise_is_called_learning_in_at_most_five_of_a_hundred(arms: int, permuted: int) -> None:
    """KLs of runs that learned nothing, skewed as those that were measured are."""
    generator = np.random.default_rng(0)
    drawn = generator.lognormal(-2, 1.5, size=(1000, arms + permuted))
    called = np.mean([has_moved(row[:arms], row[arms:]) for row in drawn.tolist()])
    assert called <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_what_it_stands_on() -> None:
    """Nineteen runs of the default search; .1 nats, the threshold of before, is no threshold."""
    assert len(PERMUTED) == 19
    assert sum(kl > 0.1 for kl in PERMUTED) >= 5
    assert has_moved([1.01 * max(PERMUTED)], PERMUTED)
    assert not has_moved([0.99 * max(PERMUTED)], PERMUTED)
