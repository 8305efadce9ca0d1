"""The decomposition recovers what was planted, and its parts add up."""

from __future__ import annotations

import pytest
import torch

from nas_lightning.analysis.decomposition import decompose, weighted_mean, weighted_median


def test_planted_effects_are_recovered() -> None:
    """Architectures are worth 0.3, weights 0.5, and at home 0.1 more is gained."""
    y = [
        [4 - 0.3 - 0.5 - 0.1, 4 - 0.3],
        [4 - 0.5, 4 - 0.1],
    ]
    found = decompose(y)
    assert found.architectures == pytest.approx(-0.3)
    assert found.weights == pytest.approx(-0.5)
    assert found.interaction == pytest.approx(-0.1)


def test_the_shares_add_up() -> None:
    for seed in range(20):
        y = torch.rand(2, 2, generator=torch.Generator().manual_seed(seed)).tolist()
        found = decompose(y)
        assert found.architectures + found.weights == pytest.approx(found.total)
        assert found.total == pytest.approx(y[0][0] - y[1][1])
        assert found.abroad == pytest.approx(y[0][1] - y[1][1])
        assert found.at_home == pytest.approx(y[0][0] - y[0][1])


def test_duplicates_count_as_often_as_they_were_drawn() -> None:
    losses, counts = torch.tensor([1.0, 5.0, 3.0]), torch.tensor([3, 1, 1])
    assert weighted_mean(losses, counts) == pytest.approx((3 * 1 + 5 + 3) / 5)
    assert weighted_median(losses, counts) == 1
