"""The networks of NAS-Bench-201: cells whose edges are choices, or ordinary modules of their own.

Under shared weights each edge of each cell is a `Choice`, and a decision is the option of the same
edge of all cells. A cell is judged by its own statistics of normalisation (`recalibrated`): those
that training has averaged are over all cells that it sampled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.errors import require_bool, require_whole
from nas_lightning.search_spaces import Relaxable, RelaxedLoss
from nas_lightning.search_spaces.child import MULTIPLY_ADDS, PARAMETERS, ChildScore
from nas_lightning.search_spaces.choices.networks import OwnNetworks
from nas_lightning.search_spaces.choices.parts import Choice, Part, choosing
from nas_lightning.search_spaces.nas_bench_201.plain import (
    MAKES,
    STAGES,
    CellNetwork,
)
from nas_lightning.search_spaces.nas_bench_201.space import CellSpace

T = TypeVar("T")


class SharedCells(CellNetwork):
    """The network of all architectures at once: every edge is a `Choice` of its operations."""

    def edge(self, number: int, filters: int) -> Choice:
        """Of one edge all that it may compute; `operations` are now the options."""
        return Choice({name: MAKES[name](filters, self.affine) for name in self.operations})

    def chosen(self, architecture: Sequence[int]) -> dict[Part, int]:
        """The option of every choice: the same at the same edge of all cells."""
        return {edge: int(option) for edge, option in self.of_edges(architecture)}

    def of_edges(self, values: Sequence[T]) -> Iterator[tuple[Part, T]]:
        """Every choice with the value of its edge."""
        for cell in self.cells():
            for edge, value in zip(cell.edges, values, strict=True):
                assert isinstance(edge, Part)
                yield edge, value


class CellChild(OwnNetworks, Relaxable):
    """The networks of a `CellSpace`, under shared weights or from scratch.

    Args:
        space: What an action means.
        num_classes: Classes of images.
        channels: Channels of an image.
        image_size: Height and width of an image, pixels.
        filters: Filters of the first stage; the others have twice and four times as many.
        cells: Cells in each of the three stages.
        affine: Whether norms within cells have a scale and a shift.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    shares_weights = True
    cost_metrics = (PARAMETERS, MULTIPLY_ADDS)
    counts = "images"
    space: CellSpace

    def __init__(
        self,
        *,
        space: CellSpace,
        num_classes: int,
        channels: int,
        image_size: int,
        filters: int,
        cells: int,
        affine: bool,
    ) -> None:
        super().__init__(space=space, num_classes=num_classes, loss=None, metrics=None)
        require_whole("filters", filters, at_least=1)
        require_whole("cells", cells, at_least=1)
        require_bool("affine", affine)
        self.sizes = {
            "num_classes": num_classes,
            "channels": channels,
            "image_size": image_size,
            "filters": filters,
            "cells": cells,
        }
        self.affine = affine
        self.model: SharedCells | None = SharedCells(
            operations=space.operations, affine=affine, **self.sizes
        )
        self.reset_parameters(torch.Generator().manual_seed(0))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the shared weights anew."""
        if self.model is None:
            raise TypeError("CellChild has no shared weights: these are each architecture's own")
        self.model.reset_parameters(generator)

    def without_weights(self) -> CellChild:
        """One of the same settings that has no weights yet."""
        child = CellChild(space=self.space, affine=self.affine, **self.sizes)
        child.model = None
        return child

    def built(self, architecture: Sequence[int], seed: int) -> CellNetwork:
        """The network of one architecture; its weights follow from a seed."""
        network = self._plain(architecture)
        network.reset_parameters(torch.Generator().manual_seed(seed))
        return network

    def recalibrated(self, architectures: Tensor, batches: Sequence[Batch]) -> CellChild:
        """Networks with the shared weights and statistics over these minibatches alone."""
        if self.model is None:
            return self
        child = self.without_weights()
        for actions in architectures.tolist():
            network = self._with_shared_weights(actions).train()
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.reset_running_stats()
                    module.momentum = None  # the average of all minibatches
            with torch.no_grad():
                for batch in batches:
                    network(batch.inputs)
            child.networks.append(network)
        return child.eval()

    def network(self, architecture: Sequence[int], place: int = 0) -> nn.Module:
        """A `CellNetwork`, which stands alone; see the base class."""
        if self.model is None:
            return super().network(architecture, place)
        return self._with_shared_weights(architecture).eval()

    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        """Score images; nothing is drawn in training. See the base class."""
        return super().score(batch, architectures)

    def relaxed_loss(
        self,
        batch: Batch,
        weights: Tensor,
        state: Tensor | None,
        generator: torch.Generator | None,
    ) -> RelaxedLoss:
        """The loss of the network whose edges, alike in all cells, are mixtures; see the base."""
        if self.model is None:
            raise TypeError("networks with weights of their own cannot be mixed")
        groups = weights.split(self.space.groups.sizes)
        # Nothing is drawn in training.
        return self.mixed_loss(self.model, batch, dict(self.model.of_edges(groups)), None)

    @contextmanager
    def as_one(self, number: int, actions: Sequence[int]) -> Iterator[nn.Module]:
        """Within it, what computes one of the architectures."""
        if self.model is None:
            yield self.networks[number]
            return
        with choosing(self.model.chosen(actions)):
            yield self.model

    def clip_gradients(self, limit: float) -> None:
        """Scale the gradient of the shared weights, or of each network, down to norm `limit`."""
        super().clip_gradients(limit)
        if self.model is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), limit)

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Parameters, and multiply-adds of scoring one image, dead edges included."""
        return self._costs([self.space.operations[int(a)] for a in architecture])

    def relaxed_multiply_adds(self, weights: Tensor) -> int:
        """Of all operations whose weight is not 0; see the base class."""
        names = [name for group in self.space.groups.options for name in group]
        used = [name for name, w in zip(names, weights.tolist(), strict=True) if w != 0]
        return self._costs(used)["multiply_adds"]

    def _costs(self, operations: Sequence[str]) -> dict[str, int]:
        """Of a network each of whose cells computes these operations."""
        weights_of = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
        kernels = [weights_of.get(name, 0) for name in operations]
        size, width, cells = self.sizes["image_size"], self.sizes["filters"], self.sizes["cells"]
        weights = 9 * self.sizes["channels"] * width
        parameters, multiply_adds = weights + 2 * width, weights * size**2
        for stage in range(STAGES):
            if stage > 0:
                size, width = (size + 1) // 2, 2 * width
                weights = (9 + 1) * (width // 2) * width + 9 * width**2
                parameters += weights + 2 * 2 * width
                multiply_adds += weights * size**2
            weights = cells * sum(kernels) * width**2
            norms = cells * sum(k > 0 for k in kernels) * 2 * width
            parameters += weights + (norms if self.affine else 0)
            multiply_adds += weights * size**2
        classes = self.sizes["num_classes"]
        return {
            "parameters": parameters + 2 * width + (width + 1) * classes,
            "multiply_adds": multiply_adds + width * classes,
        }

    def _plain(self, architecture: Sequence[int]) -> CellNetwork:
        names = [self.space.operations[int(action)] for action in architecture]
        return CellNetwork(operations=names, affine=self.affine, **self.sizes)

    def _with_shared_weights(self, architecture: Sequence[int]) -> CellNetwork:
        """An ordinary module with copies of those shared weights that an architecture uses."""
        assert self.model is not None
        network, shared = self._plain(architecture), self.model.state_dict()

        def in_choice(edge: re.Match[str]) -> str:
            return f"{edge[0]}.options.{int(architecture[int(edge[1])])}"

        own = {n: shared[re.sub(r"edges\.(\d)", in_choice, n)] for n in network.state_dict()}
        network.load_state_dict(own)
        return network.to(self.model.classifier.weight.device)
