"""Diversity: hand-made samples, counting pair by pair, and policies whose entropy is known."""

from __future__ import annotations

import math

import pytest
import torch

from nas_lightning.analysis.diversity import (
    canonical_unique_fraction,
    collapse,
    decision_entropies,
    diversity,
    effective_policy,
    effective_sample,
    mean_hamming_distance,
    nearest_distance,
    novelty,
    revisit_rate,
    unique_fraction,
)
from nas_lightning.analysis.similarity import hamming_distance
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace

CELLS = RecurrentCellSpace(num_nodes=3, activations=ACTIVATIONS)

# A cell twice, the same with nodes 1 and 2 renamed, and another one.
SAMPLE = torch.tensor([[0, 0, 1, 0, 3], [0, 0, 1, 0, 3], [0, 0, 3, 0, 1], [0, 0, 1, 1, 3]])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_unique_fractions() -> None:
    assert unique_fraction(SAMPLE) == 3 / 4
    assert canonical_unique_fraction(CELLS, SAMPLE) == 2 / 4


def test_decision_entropies() -> None:
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    expected = [0, 0, quarter, quarter, quarter]
    assert decision_entropies(SAMPLE).tolist() == pytest.approx(expected)


def test_mean_hamming_distance() -> None:
    """Six pairs: 0, 2, 1, 2, 1, 3."""
    assert mean_hamming_distance(SAMPLE) == pytest.approx(9 / 6)
    assert math.isnan(mean_hamming_distance(SAMPLE[:1]))
    sample = CELLS.sample(30, seeded())
    expected = hamming_distance(sample).sum().item() / (30 * 29)
    assert mean_hamming_distance(sample) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("counts", "number"),
    [([4], 1), ([1, 1, 1], 3), ([5, 5], 2), ([2, 1, 1], math.sqrt(8))],  # 1.5 bits
)
def test_effective_sample(counts: list[int], number: float) -> None:
    rows = [[i, 0] for i, count in enumerate(counts) for _ in range(count)]
    assert effective_sample(torch.tensor(rows)) == pytest.approx(number)


def test_effective_policy_of_a_uniform_policy_is_the_size_of_the_space() -> None:
    each = -torch.tensor(CELLS.num_choices).log()
    assert effective_policy(each.expand(7, -1)) == pytest.approx(CELLS.size)


def test_effective_numbers_estimate_the_same() -> None:
    """A policy of two independent decisions, one of them conditioned, and 20,000 samples."""
    p = torch.tensor([0.9, 0.1])
    entropy = torch.special.entr(p).sum()
    first = torch.multinomial(p, 20_000, replacement=True, generator=seeded())
    flip = torch.multinomial(p, 20_000, replacement=True, generator=seeded(1))
    sample = torch.stack([first, first ^ flip], dim=1)
    log_probs = torch.stack([p[first], p[flip]], dim=1).log()
    expected = math.exp(2 * entropy)
    # The standard deviation of -log p is 0.93: 4 standard errors are 0.027.
    assert effective_policy(log_probs) == pytest.approx(expected, rel=0.027)
    assert effective_sample(sample) == pytest.approx(expected, rel=0.027)


def test_effective_policy_goes_beyond_the_sample_and_any_number() -> None:
    assert effective_policy(torch.full((2, 3), -5.0)) == pytest.approx(math.exp(15))
    assert effective_policy(torch.full((2, 300), -5.0)) == math.inf


def test_revisit_rate() -> None:
    assert revisit_rate(SAMPLE, {(0, 0, 1, 0, 3), (1, 0, 1, 0, 3)}) == 2 / 4
    assert revisit_rate(SAMPLE, {(1, 0, 1, 0, 3)}) == 0
    assert revisit_rate(SAMPLE, set()) == 0


def test_nearest_distance_and_novelty() -> None:
    top = torch.tensor([[0, 0, 1, 0, 3], [3, 0, 3, 1, 2]])
    proposed = torch.tensor([[0, 0, 1, 0, 3], [0, 0, 1, 1, 3], [3, 0, 3, 0, 1], [1, 0, 2, 1, 0]])
    assert nearest_distance(proposed, top).tolist() == [0, 1, 2, 3]
    found = novelty(proposed, top)
    assert (found.recreated, found.slightly_changed, found.nearest) == (1 / 4, 2 / 4, 6 / 4)


def test_a_collapse_is_named_with_the_way_out() -> None:
    sample = torch.tensor([[0, 1]] * 9 + [[1, 1]])
    found = collapse(sample, possible=100, min_unique_fraction=0.5)
    assert found.collapsed
    assert "2 of 10" in found.message
    assert "50%" in found.message
    assert "entropy weight" in found.message
    assert "\n" not in found.message


def test_no_collapse() -> None:
    found = collapse(torch.tensor([[0, 1]] * 9 + [[1, 1]]), possible=100, min_unique_fraction=0.2)
    assert not found.collapsed  # not below, but at it
    assert "2 of 10" in found.message
    assert "controller" not in found.message


def test_all_of_a_small_space_is_no_collapse() -> None:
    found = collapse(torch.tensor([[0], [1]] * 50), possible=2, min_unique_fraction=0.1)
    assert not found.collapsed


def test_a_share_is_a_share() -> None:
    with pytest.raises(ValueError, match=r"min_unique_fraction=1\.5"):
        collapse(SAMPLE, possible=100, min_unique_fraction=1.5)


def test_numbers_by_name() -> None:
    assert diversity(CELLS, SAMPLE) == {
        "unique_fraction": unique_fraction(SAMPLE),
        "canonical_unique_fraction": canonical_unique_fraction(CELLS, SAMPLE),
        "hamming_distance": mean_hamming_distance(SAMPLE),
        "effective_sample": effective_sample(SAMPLE),
    }
