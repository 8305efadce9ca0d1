"""Agreement of embeddings with similarity: SciPy as the oracle, simulation for the intervals."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from nas_lightning.analysis.embedding import (
    Agreement,
    _influence,
    _Ranks,
    agreement,
    embeddings,
    state_spread,
)
from nas_lightning.analysis.similarity import hamming_distance, one_hot, similarities
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace

CELLS = RecurrentCellSpace(num_nodes=5, activations=ACTIVATIONS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def agree(embedding: Tensor, similarity: Tensor) -> Agreement:
    return agreement({"e": embedding}, {"s": similarity})["e"]["s"]


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
    found = agreement(states, alike)
    for name, states_ in states.items():
        for of, matrix in alike.items():
            expected = on_pairs(list(range(15)), states_, matrix)
            assert found[name][of].value == pytest.approx(expected, abs=1e-12)


def test_pairs_without_a_common_architecture_have_the_classical_interval() -> None:
    """Fisher's, with variance 1 / m where m independent pairs know nothing of each other."""
    pairs = 500
    states = torch.rand(2 * pairs, 3, generator=seeded(1))
    matrix = torch.full((2 * pairs, 2 * pairs), math.nan)
    even = torch.arange(0, 2 * pairs, 2)
    matrix[even, even + 1] = matrix[even + 1, even] = torch.rand(pairs, generator=seeded(2))
    found = agree(states, matrix)
    half = (math.atanh(found.high) - math.atanh(found.low)) / 2
    assert half == pytest.approx(1.96 / math.sqrt(pairs), rel=0.05)


def test_the_influence_of_a_pair_is_the_derivative_by_its_weight() -> None:
    """The same pair once more moves the correlation by influence / N, ties and all."""
    draw = np.random.default_rng(0)
    first = draw.integers(9, size=2000)
    second = first + draw.integers(9, size=2000)
    x, y = _Ranks.of(first.astype(float)), _Ranks.of(second.astype(float))
    value = stats.spearmanr(first, second).statistic
    found = _influence(x, y, float(value))
    assert found.mean() == pytest.approx(0, abs=1e-9)
    for n in range(5):
        again = stats.spearmanr(np.append(first, first[n]), np.append(second, second[n])).statistic
        assert (again - value) * 2000 == pytest.approx(found[n], abs=0.01)


@pytest.mark.parametrize("knows", [True, False])
def test_intervals_hold_the_true_value(knows: bool) -> None:
    """Of 200 samples of 100 architectures, with states that know all of them or nothing."""
    found = []
    for seed in range(200):
        sample = CELLS.sample(100, seeded(seed))
        states = one_hot(sample) if knows else torch.rand(100, 5, generator=seeded(seed + 1000))
        found.append(astuple(agree(states, similarities(CELLS, sample, None)["same_activation"])))
    values, low, high = np.array(found).T
    true = values.mean()
    assert 0.915 < ((low <= true) & (true <= high)).mean() < 0.985  # 2.2 standard errors
    assert (high - low).mean() == pytest.approx(2 * 1.96 * values.std(), rel=0.12)


def test_pairs_that_are_not_known_are_left_out() -> None:
    sample = CELLS.sample(8, seeded())
    states = torch.rand(8, 3, generator=seeded(1))
    matrix = hamming_distance(sample).double()
    matrix[2, :] = matrix[:, 2] = math.nan
    matrix[0, 1] = matrix[1, 0] = math.inf
    found = agreement({"e": states}, {"s": matrix, "t": hamming_distance(sample)})["e"]
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
