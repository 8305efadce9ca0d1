"""Convolutional networks as Zoph & Le 2017 trained them: each from random weights, none shared.

Every layer is a convolution with `same` padding, batch normalisation and ReLU; then the mean over
all positions and a linear classifier.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import astuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import (
    ACCURACY,
    LOSS,
    MULTIPLY_ADDS,
    PARAMETERS,
    ChildNetwork,
    ChildScore,
)
from nas_lightning.search_spaces.nas_cnn.plain import ConvolutionalNetwork
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace


class ConvolutionalChild(ChildNetwork):
    """The networks of a `ConvolutionalSpace`. It has weights only after `fresh`.

    Args:
        space: What an action means.
        num_classes: Classes of images.
        channels: Channels of an image.
        image_size: Height and width of an image, pixels.
    """

    shares_weights = False
    capturable = True
    metrics = (LOSS, ACCURACY)
    cost_metrics = (PARAMETERS, MULTIPLY_ADDS)
    counts = "images"

    def __init__(
        self, *, space: ConvolutionalSpace, num_classes: int, channels: int, image_size: int
    ) -> None:
        super().__init__()
        self.space = space
        self.num_classes = num_classes
        self.channels = channels
        self.image_size = image_size
        self.networks = nn.ModuleList()

    def fresh(
        self, architectures: Tensor, generators: Sequence[torch.Generator]
    ) -> ConvolutionalChild:
        """One network for each architecture, initialised by He et al. 2015; see the base class."""
        child = type(self)(
            space=self.space,
            num_classes=self.num_classes,
            channels=self.channels,
            image_size=self.image_size,
        )
        for actions, generator in zip(architectures.tolist(), generators, strict=True):
            network = ConvolutionalNetwork(
                layers=[astuple(layer) for layer in self.space.layers(actions)],
                channels=self.channels,
                image_size=self.image_size,
                num_classes=self.num_classes,
            )
            network.reset_parameters(generator)
            child.networks.append(network)
        # Channels last saves the convolutions on a CPU their reordering: a quarter of the time.
        return child.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        """Score images; network m of `fresh` belongs to architecture m. See the base class."""
        losses, correct = [], []
        for network in self.networks:
            logits = network(batch.inputs)
            losses.append(F.cross_entropy(logits, batch.targets, reduction="sum"))
            correct.append((logits.argmax(dim=1) == batch.targets).sum())
        return ChildScore(torch.stack(losses), len(batch.targets), torch.stack(correct), None)

    def network(self, architecture: Sequence[int], place: int = 0) -> nn.Module:
        """A `ConvolutionalNetwork`, which stands alone; see the base class."""
        return copy.deepcopy(self.networks[place]).eval()

    def clip_gradients(self, limit: float) -> None:
        """Scale each network's gradient down to norm `limit`."""
        for network in self.networks:
            nn.utils.clip_grad_norm_(network.parameters(), limit)

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Parameters, and multiply-adds of scoring one image."""
        parameters = multiply_adds = 0
        size, channels = self.image_size, self.channels
        for layer in self.space.layers(architecture):
            size = math.ceil(size / layer.stride)
            weights = layer.height * layer.width * channels * layer.filters
            parameters += weights + 2 * layer.filters  # batch normalisation's scale and shift
            multiply_adds += weights * size**2
            channels = layer.filters
        parameters += (channels + 1) * self.num_classes
        return {
            "parameters": parameters,
            "multiply_adds": multiply_adds + channels * self.num_classes,
        }
