"""The networks of cells: as published, and what an architecture is under shared weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import ChildNetwork
from nas_lightning.search_spaces.nas_bench_201 import CellChild, CellSpace
from nas_lightning.search_spaces.nas_bench_201.plain import Cell, CellNetwork
from nas_lightning.search_spaces.nas_bench_201.space import OPERATIONS

SPACE = CellSpace(operations=OPERATIONS)
PUBLISHED: dict[str, Any] = {
    "num_classes": 10,
    "channels": 3,
    "image_size": 32,
    "filters": 16,
    "cells": 5,
}
SMALL: dict[str, Any] = {"num_classes": 3, "channels": 2, "image_size": 7, "filters": 2, "cells": 2}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(*, affine: bool = True, **sizes: Any) -> CellChild:
    child = CellChild(space=SPACE, affine=affine, **(SMALL | sizes))
    child.reset_parameters(seeded(1))
    return child


def batch(seed: int, images: int = 6) -> Batch:
    generator = seeded(seed)
    pictures = torch.rand(images, 2, 7, 7, generator=generator)
    return Batch(pictures, torch.randint(3, (images,), generator=generator), continues=False)


@pytest.mark.parametrize(
    ("operation", "parameters", "multiply_adds"),
    [("skip_connect", 73_306, 7_783_040), ("nor_conv_3x3", 1_531_546, 220_119_680)],
)
def test_costs_are_the_published_ones(operation: str, parameters: int, multiply_adds: int) -> None:
    """0.0733 and 1.5315 million parameters, 7.78 and 220.12 million multiply-adds."""
    found = made(**PUBLISHED).costs([OPERATIONS.index(operation)] * 6)
    assert found == {"parameters": parameters, "multiply_adds": multiply_adds}


@pytest.mark.parametrize("affine", [True, False])
def test_a_cell_is_counted_as_it_is_built(affine: bool) -> None:
    child = made(affine=affine)
    for row in SPACE.sample(20, seeded(0)).tolist():
        network = child.network(row)
        counted = sum(parameter.numel() for parameter in network.parameters())
        assert child.costs(row)["parameters"] == counted


def test_a_cell_sums_what_its_edges_give() -> None:
    """Against the three sums written out, with edges that multiply."""

    class Times(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Tensor) -> Tensor:
            return self.factor * x

    cell = Cell([Times(f) for f in (2, 3, 5, 7, 11, 13)])
    x = torch.rand(1, 1, 2, 2)
    one = 2 * x
    two = 3 * x + 5 * one
    torch.testing.assert_close(cell(x), 7 * x + 11 * one + 13 * two)


def train(child: ChildNetwork, architectures: Tensor) -> None:
    """Leave averages of normalisation and weights that are not those of the start."""
    child.train()
    for seed in range(3):
        child.score(batch(seed), architectures)
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=seeded(6)))
    child.eval()


@pytest.mark.parametrize("weights", ["shared", "fresh", "recalibrated"])
def test_the_plain_module_is_what_is_judged(weights: str) -> None:
    architectures = SPACE.sample(5, seeded(2))
    child: ChildNetwork = made(affine=False)
    if weights == "fresh":
        child = child.fresh(architectures, [seeded(m) for m in range(5)])
    train(child, architectures)
    if weights == "recalibrated":
        child = child.recalibrated(architectures, [batch(7), batch(8)])
    found = batch(9)
    with torch.no_grad():
        expected = child.score(found, architectures).loss_sum
        for m, row in enumerate(architectures.tolist()):
            network = child.network(row, m)
            assert isinstance(network, CellNetwork)
            loss = F.cross_entropy(network(found.inputs), found.targets, reduction="sum")
            torch.testing.assert_close(loss, expected[m])


def test_recalibrated_statistics_are_each_cells_own() -> None:
    """Those of its own minibatches: judged on these it is as in training mode; weights stay."""
    architectures = SPACE.sample(4, seeded(3))
    child = made(affine=False)
    train(child, architectures)
    before = {name: value.clone() for name, value in child.state_dict().items()}
    many = batch(5, images=200)
    recalibrated = child.recalibrated(architectures, [many])
    assert all(torch.equal(before[name], value) for name, value in child.state_dict().items())
    with torch.no_grad():
        own = recalibrated.score(many, architectures).loss_sum
        child.train()
        wanted = child.score(many, architectures).loss_sum
    torch.testing.assert_close(own, wanted, rtol=2e-2, atol=0)
    assert not torch.equal(own, child.eval().score(many, architectures).loss_sum)


def test_the_same_edge_of_all_cells_is_one_decision() -> None:
    child = made()
    assert child.model is not None
    chosen = child.model.chosen([0, 1, 2, 3, 4, 0])
    cells = list(child.model.cells())
    assert len(cells) == 6
    assert len(chosen) == 36
    for cell in cells:
        assert [chosen[edge] for edge in cell.edges] == [0, 1, 2, 3, 4, 0]  # type: ignore[index]
