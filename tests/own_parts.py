"""A model and data of one's own, small enough to be searched in a second."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import nas_lightning as nl

SMALL: dict[str, Any] = {
    **{"logger": "csv", "threads": 1, "trainer.max_epochs": 1, "search.candidates": 3},
    **{"search.architectures_per_step": 3, "search.uniform_candidates": 2},
    **{"data.validation_size": 30, "data.test_size": 30, "data.batch_size": 20},
}
"""Overrides of a search of a second."""


class Net(nn.Module):
    """Three choices, and a norm that keeps averages."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.first = nl.Choice({"linear": nn.Linear(4, 8), "twice": Twice(4, 8)})
        self.norm = nn.BatchNorm1d(8)
        self.between = nl.Choice({"relu": nn.ReLU(), "tanh": nn.Tanh(), "none": nn.Identity()})
        self.blocks = nl.Repeat(nn.Linear(8, 8), at_most=2, at_least=0)
        self.head = nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.between(self.norm(self.first(x)))))
        return logits


class Twice(nn.Sequential):
    """Two layers."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.Linear(outputs, outputs))


def points(n: int = 150) -> TensorDataset:
    """Three clouds in four dimensions, and of which each point is."""
    classes = torch.arange(n) % 3
    noise = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(noise + 2.0 * classes.unsqueeze(1), classes)


def numbers(n: int = 150) -> TensorDataset:
    """The same points, and a number of each."""
    inputs, _ = points(n).tensors
    return TensorDataset(inputs, inputs.square().mean(dim=1))
