"""Agreement of embeddings with similarity: SciPy as the oracle, for intervals on real resamples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from nas_lightning.analysis.embedding import (
    Agreement,
    agreement,
    embeddings,
    state_spread,
)
from nas_lightning.analysis.similarity import hamming_distance, one_hot, similarities
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace

CELLS = RecurrentCellSpace(num_nodes=5, activations=ACTIVATIONS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def agree(embedding: Tensor, similarity: Tensor, resamples: int = 20, seed: int = 0) -> Agreement:
    found = agreement(
        {"e": embedding}, {"s": similarity}, resamples=resamples, generator=seeded(seed)
    )
    return found["e"]["s"]


def on_pairs(rows: list[int], embedding: Tensor, similarity: Tensor) -> float:
    """Spearman's correlation over the pairs of different architectures among `rows`, by SciPy."""
    pairs = [(i, j) for k, i in enumerate(rows) for j in rows[:k] if i != j]
    far = [(embedding[i] - embedding[j]).double().norm().item() for i, j in pairs]
    alike = [similarity[i, j].item() for i, j in pairs]
    finite = np.isfinite(alike)
    return float(stats.spearmanr(np.array(far)[finite], np.array(alike)[finite]).statistic)


def test_values_are_scipys() -> None:
    sample = CELLS.sample(15, seeded())
    performance = torch.rand(15, generator=seeded(1))
    states = {
        "random": torch.rand(15, 7, generator=seeded(2)),
        "coarse": torch.randint(2, (15, 3), generator=seeded(3)),
        "one_hot": one_hot(sample),
    }
    alike = similarities(CELLS, sample, performance)
    found = agreement(states, alike, resamples=1, generator=seeded())
    for name, states_ in states.items():
        for of, matrix in alike.items():
            expected = on_pairs(list(range(15)), states_, matrix)
            assert found[name][of].value == pytest.approx(expected, abs=1e-12)


def test_intervals_are_those_of_real_resamples() -> None:
    size, resamples = 9, 40
    sample = CELLS.sample(size, seeded())
    states, matrix = torch.rand(size, 3, generator=seeded(1)), hamming_distance(sample)
    drawn = torch.randint(size, (resamples, size), generator=seeded(5))
    again = [on_pairs(row.tolist(), states, matrix) for row in drawn]
    expected = np.quantile(again, [0.025, 0.975])
    found = agree(states, matrix, resamples, seed=5)
    assert [found.low, found.high] == pytest.approx(expected.tolist(), abs=1e-12)


def test_pairs_that_are_not_known_are_left_out() -> None:
    sample = CELLS.sample(8, seeded())
    states = torch.rand(8, 3, generator=seeded(1))
    matrix = hamming_distance(sample).double()
    matrix[2, :] = matrix[:, 2] = math.nan
    matrix[0, 1] = matrix[1, 0] = math.inf
    found = agreement(
        {"e": states}, {"s": matrix, "t": hamming_distance(sample)}, resamples=5, generator=seeded()
    )["e"]
    assert found["s"].value == pytest.approx(on_pairs(list(range(8)), states, matrix), abs=1e-12)
    assert found["t"] == found["s"]  # both on the pairs that both know


def test_perfect_agreement() -> None:
    """On a line, distance is distance."""
    line = torch.tensor([0.0, 1.0, 3.0, 7.0, 15.0]).unsqueeze(1)
    matrix = (line - line.T).abs()
    assert agree(line, matrix).value == pytest.approx(1)
    assert agree(line, -matrix).value == pytest.approx(-1)
    assert agree(line, matrix).low == pytest.approx(1)


def test_what_is_constant_is_undefined() -> None:
    matrix = hamming_distance(CELLS.sample(6, seeded()))
    states = torch.rand(6, 3, generator=seeded(1))
    for found in (
        agree(torch.full((6, 3), 0.3), matrix),
        agree(states, torch.full((6, 6), 2)),
        agree(states[:2], matrix[:2, :2]),  # a single pair
        agree(states[:1], matrix[:1, :1]),  # none
        agree(states, torch.full((6, 6), torch.nan)),
    ):
        assert [found.value, found.low, found.high] == pytest.approx([math.nan] * 3, nan_ok=True)


def test_resamples_without_a_value_are_left_out() -> None:
    """Of three architectures most resamples have one or two distances only."""
    line = torch.tensor([[0.0], [1.0], [3.0]])
    found = agree(line, (line - line.T).abs(), resamples=100)
    assert [found.low, found.high] == pytest.approx([1, 1])


def test_it_follows_its_generator_alone() -> None:
    matrix = hamming_distance(CELLS.sample(8, seeded()))
    states = torch.rand(8, 3, generator=seeded(1))
    before = torch.get_rng_state()
    first, again = agree(states, matrix), agree(states, matrix)
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again
    other = agree(states, matrix, seed=1)
    assert other.value == first.value
    assert (other.low, other.high) != (first.low, first.high)


def test_no_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples=-1"):
        agree(torch.rand(3, 2), torch.rand(3, 3), resamples=-1)


def test_embeddings() -> None:
    states = torch.arange(24.0).reshape(2, 4, 3)  # two architectures, three decisions
    architectures = torch.tensor([[0, 1, 0], [0, 0, 0]])
    found = embeddings(states, architectures)
    assert found["before_last"].tolist() == [[6, 7, 8], [18, 19, 20]]
    assert found["final"].tolist() == [[9, 10, 11], [21, 22, 23]]
    assert found["mean"].tolist() == [[4.5, 5.5, 6.5], [16.5, 17.5, 18.5]]
    assert found["all"].tolist() == [list(range(12)), list(range(12, 24))]
    assert torch.equal(found["one_hot"], one_hot(architectures))
    assert embeddings(None, architectures).keys() == {"one_hot"}


def test_state_spread() -> None:
    """Variances 4, 0 and 0.16; of six entries four are beyond 0.9."""
    found = state_spread(torch.tensor([[-2.0, 0.95, 0.0], [2.0, 0.95, -0.8]]))
    assert found.std == pytest.approx(math.sqrt((4 + 0.16) / 3))
    assert found.saturated == pytest.approx(4 / 6)
    assert state_spread(torch.full((5, 3), 0.7)).std == 0
