"""The mixture of cells: at the weights of a cell it is the cell's network."""

from __future__ import annotations

import pytest
import torch

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.nas_bench_201 import CellChild, CellSpace

OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def child_of(space: CellSpace) -> CellChild:
    sizes = {"num_classes": 4, "channels": 1, "image_size": 8, "filters": 4, "cells": 1}
    child = CellChild(space=space, affine=False, **sizes)
    child.reset_parameters(seeded(0))
    return child


@pytest.mark.parametrize("training", [True, False])
def test_one_hot_weights_give_the_cell(training: bool) -> None:
    space = CellSpace(operations=OPERATIONS)
    child = child_of(space).train(training)
    images = torch.rand(6, 1, 8, 8, generator=seeded(1))
    batch = Batch(images, torch.randint(4, (6,), generator=seeded(2)), False)
    for row in space.sample(6, seeded(3)):
        one = child.score(batch, row.unsqueeze(0)).loss_sum[0] / 6
        weights = space.groups.one_hot(row.tolist())
        relaxed = child.relaxed_loss(batch, weights, None, seeded(4))
        torch.testing.assert_close(relaxed.loss, one, rtol=1e-6, atol=1e-6)


def test_groups_are_the_edges() -> None:
    space = CellSpace(operations=OPERATIONS)
    assert space.groups.sizes == (5,) * 6
    assert space.groups.chosen([1] * 6) == ["skip_connect"] * 6
    fresh = child_of(space).fresh(torch.tensor([[1] * 6]), [seeded(0)])
    assert isinstance(fresh, CellChild)
    batch = Batch(torch.rand(2, 1, 8, 8), torch.tensor([0, 1]), False)
    with pytest.raises(TypeError, match="cannot be mixed"):
        fresh.relaxed_loss(batch, space.groups.one_hot([1] * 6), None, None)
