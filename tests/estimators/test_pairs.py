"""The task on which only pairs of decisions pay: what is counted, and its best policy."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from nas_lightning.estimators.pairs import Pairs
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace


def cells(num_nodes: int, activations: tuple[str, ...] = tuple(ACTIVATIONS)) -> RecurrentCellSpace:
    return RecurrentCellSpace(num_nodes=num_nodes, activations=list(activations))


def task(space: RecurrentCellSpace | ConvolutionalSpace) -> Pairs:
    return Pairs(space=space, controller_steps=1, objective="accuracy")


def test_activations_far_apart_are_paired() -> None:
    space = cells(5)  # decision 0 and then every second one is an activation
    assert task(space).pairs == [(0, 4), (2, 6)]
    equal, half, none = [0, 0, 1, 0, 0, 0, 1, 0, 3], [0, 0, 1, 0, 0, 0, 2, 0, 3], [0] * 9
    none[4], none[6] = 1, 1
    found = task(space).evaluate(torch.tensor([equal, half, none]), [])
    assert found.metrics["accuracy"].tolist() == [1, 0.5, 0]
    assert found.status == ["ok"] * 3
    assert found.ranking().tolist() == [0, 1, 2]


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_the_best_policy_is_as_stated(weight: float) -> None:
    """Reward + weight * entropy is largest for p proportional to exp(reward / weight)."""
    space = cells(4, ("tanh", "relu", "sigmoid"))
    pairs = task(space)
    every = torch.tensor(list(itertools.product(*(range(n) for n in space.num_choices))))
    accuracy = pairs.evaluate(every, []).metrics["accuracy"].double()
    best = torch.softmax(accuracy / weight, dim=0) @ accuracy
    e = math.exp(1 / (len(pairs.pairs) * weight))
    assert float(best) == pytest.approx(e / (e + 2))


def test_a_space_that_has_not_grown_yet() -> None:
    """One of four layers is there, then three: what is not reached counts as missed."""
    space = ConvolutionalSpace(
        num_layers=1,
        grow_by=1,
        grow_every=10,
        max_layers=4,
        heights=[1, 3],
        widths=[1, 3],
        filters=[4, 8],
        strides=[1],
    )
    heights, widths, filters = ([(t, t + 8), (t + 4, t + 12)] for t in range(3))
    assert task(space).pairs == [*heights, *widths, *filters]
    one_layer, three_layers = torch.zeros(1, 4).long(), torch.zeros(1, 12).long()
    assert task(space).evaluate(one_layer, []).metrics["accuracy"].tolist() == [0]
    found = task(space).evaluate(three_layers, [])
    assert found.metrics["accuracy"].tolist() == pytest.approx([3 / 6])


def test_a_space_without_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="no two decisions"):
        task(cells(1))
