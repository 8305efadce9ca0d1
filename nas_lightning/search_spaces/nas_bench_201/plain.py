"""A stack of cells that classifies images, in plain PyTorch (Dong & Yang 2020, section 2).

A convolution, three stages of like cells with a residual block of stride 2 and twice the filters
before each but the first, then the mean over all positions and a linear classifier.

It needs torch and nothing else: `nas-lightning export` writes this file out, with an architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

EDGES = tuple((earlier, node) for node in (1, 2, 3) for earlier in range(node))
"""The edges of a cell, in the order of the published words."""

STAGES = 3


class CellNetwork(nn.Module):
    """Three stages of cells, all of them alike.

    Args:
        operations: What each of the six edges computes, out of `MAKES`.
        channels: Channels of an image, C.
        image_size: Height and width of an image, pixels, S.
        num_classes: Classes of images, K.
        filters: Filters of the first stage; the second and third have twice and four times as many.
        cells: Cells in a stage.
        affine: Whether the norms within cells have a scale and a shift.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        operations: Sequence[str],
        channels: int,
        image_size: int,
        num_classes: int,
        filters: int,
        cells: int,
        affine: bool,
    ) -> None:
        super().__init__()
        self.arguments = {
            "operations": list(operations),
            "channels": channels,
            "image_size": image_size,
            "num_classes": num_classes,
            "filters": filters,
            "cells": cells,
            "affine": affine,
        }
        self.operations = list(operations)
        self.affine = affine
        self.image_shape = (channels, image_size, image_size)
        self.stem = nn.Sequential(convolution(channels, filters, 3), nn.BatchNorm2d(filters))
        stages: list[nn.Module] = []
        for stage in range(STAGES):
            width = filters * 2**stage
            if stage > 0:
                stages.append(Reduction(width // 2))
            stages += [Cell([self.edge(e, width) for e in range(len(EDGES))]) for _ in range(cells)]
        self.stages = nn.Sequential(*stages)
        self.last_norm = nn.BatchNorm2d(width)
        self.classifier = skip_init(nn.Linear, width, num_classes)
        for name in ("mean", "std"):  # no weights: they are the data's
            values = torch.empty(channels, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.prepare(mean=[0.0] * channels, std=[1.0] * channels)

    def edge(self, number: int, filters: int) -> nn.Module:
        """What one edge of a cell computes."""
        return MAKES[self.operations[number]](filters, self.affine)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew: normal with variance 2 / fan-out, the classifier's uniform."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        bound = self.classifier.in_features**-0.5
        with torch.no_grad():
            self.classifier.weight.uniform_(-bound, bound, generator=generator)
            self.classifier.bias.zero_()

    def prepare(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        """Say how images are normalised: mean and standard deviation of each channel."""
        self.preparation = {"mean": list(mean), "std": list(std)}
        self.mean.copy_(torch.tensor(mean).view(-1, 1, 1))
        self.std.copy_(torch.tensor(std).view(-1, 1, 1))

    def preprocess(self, images: Tensor) -> Tensor:
        """Images as they are stored, `(B, C, S, S)`, bytes or floats, normalised for `forward`."""
        return (images.to(self.mean) - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, K)` of normalised images `(B, C, S, S)`."""
        x = F.relu(self.last_norm(self.stages(self.stem(images))))
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images: what `forward` is traced with."""
        return (torch.zeros(2, *self.image_shape),)

    def cells(self) -> Iterator[Cell]:
        """All cells, from the first to the last."""
        return (module for module in self.stages if isinstance(module, Cell))


class Cell(nn.Module):
    """Four nodes, each the sum of what its edges give; the last one is the output.

    Args:
        edges: A module for each of `EDGES`.
    """

    def __init__(self, edges: Sequence[nn.Module]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)

    def forward(self, x: Tensor) -> Tensor:
        """What the last node makes of the first, of the same shape."""
        nodes = [x]
        given: dict[int, list[Tensor]] = {}
        for (earlier, node), edge in zip(EDGES, self.edges, strict=True):
            given.setdefault(node, []).append(edge(nodes[earlier]))
            if len(given[node]) == node:
                nodes.append(torch.stack(given[node]).sum(dim=0))
        return nodes[-1]


class Reduction(nn.Module):
    """A residual block that halves the pictures and doubles their channels.

    Args:
        filters: Channels of its input.
    """

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            ReluConvolutionNorm(filters, 2 * filters, 3, stride=2),
            ReluConvolutionNorm(2 * filters, 2 * filters, 3),
        )
        # Of a picture of odd size the last row and column stay alone, as in the convolution.
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), convolution(filters, 2 * filters, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """From `(B, F, S, S)` to `(B, 2F, S/2, S/2)`, rounded up."""
        reduced: Tensor = self.convolutions(x) + self.shortcut(x)
        return reduced


class ReluConvolutionNorm(nn.Sequential):
    """ReLU, convolution and batch normalisation."""

    def __init__(
        self, filters: int, after: int, kernel: int, *, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__(
            nn.ReLU(),
            convolution(filters, after, kernel, stride),
            nn.BatchNorm2d(after, affine=affine),
        )


class Nothing(nn.Module):
    """Zeros, whatever comes."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the same shape."""
        return torch.zeros_like(x)


def convolution(before: int, after: int, kernel: int, stride: int = 1) -> nn.Module:
    """A convolution with `same` padding, whose bias a norm makes superfluous."""
    made: nn.Module = skip_init(
        nn.Conv2d, before, after, kernel, stride, padding=kernel // 2, bias=False
    )
    return made


MAKES: dict[str, Callable[[int, bool], nn.Module]] = {
    "none": lambda filters, affine: Nothing(),
    "skip_connect": lambda filters, affine: nn.Identity(),
    "nor_conv_1x1": lambda filters, affine: ReluConvolutionNorm(filters, filters, 1, affine=affine),
    "nor_conv_3x3": lambda filters, affine: ReluConvolutionNorm(filters, filters, 3, affine=affine),
    "avg_pool_3x3": lambda filters, affine: nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
}
"""What an edge may compute, by the names of the published words, made from filters and `affine`."""
