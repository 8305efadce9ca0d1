"""What a retrained convolutional network is measured against: one that a person would draw.

The plain network of He et al. 2016 (section 4.2, after Simonyan & Zisserman 2015): 3 × 3 filters
throughout, three stages, and where a stage begins the resolution halves and the filters double.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import torch
from torch import Tensor

from nas_lightning.search_spaces.child import ChildScore
from nas_lightning.search_spaces.nas_cnn.network import ConvolutionalChild
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace, Layer

STAGES = 3  # He et al. 2016, section 4.2


class PlainSpace(ConvolutionalSpace):
    """A space that reads of an architecture only how many layers it has; they are plain.

    Args:
        space: The space of the architectures.
        quarters: Four times the number of filters in the first stage, so that widths between two
            whole numbers differ in the later stages.
    """

    def __init__(self, *, space: ConvolutionalSpace, quarters: int) -> None:
        super().__init__(
            num_layers=space.num_layers,
            grow_by=space.grow_by,
            grow_every=space.grow_every,
            max_layers=space.max_layers,
            **space.options,
        )
        self.quarters = quarters

    def layers(self, architecture: Sequence[int]) -> list[Layer]:
        """As many plain layers, divided among the stages as evenly as can be."""
        depth = len(architecture) // 4
        stages = [number * STAGES // depth for number in range(depth)]
        return [
            Layer(
                height=3,
                width=3,
                filters=self.quarters * 2**stage // 4,
                stride=1 if stage == before else 2,
            )
            for before, stage in zip([0, *stages], stages, strict=False)
        ]


class PlainReference(ConvolutionalChild):
    """Plain networks as deep as architectures, and as near in multiply-adds as their width allows.

    Architectures shrink the image early and have many filters; a plain network of equal
    multiply-adds has far fewer parameters, and one of equal parameters far more multiply-adds.

    Args:
        child: The architectures' own network, whose image size, classes and costs count.
    """

    cost = "multiply_adds"
    """In which it is equal."""

    def __init__(self, *, child: ConvolutionalChild) -> None:
        super().__init__(
            space=child.space,
            num_classes=child.num_classes,
            channels=child.channels,
            image_size=child.image_size,
        )
        self.metrics = child.metrics
        self._child = (child,)  # in a tuple, so that its weights are not this network's

    def measure(self, score: ChildScore) -> dict[str, Tensor]:
        """What the architectures' network makes of a score."""
        return self._child[0].measure(score)

    def fresh(
        self, architectures: Tensor, generators: Sequence[torch.Generator]
    ) -> ConvolutionalChild:
        """One plain network beside each architecture; see the base class."""
        made = type(self)(child=self)
        for row, generator in zip(architectures, generators, strict=True):
            one = self._beside(row.tolist()).fresh(row.unsqueeze(0), [generator])
            made.networks.extend(one.networks)
        return made

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Parameters and multiply-adds of the plain network beside this architecture."""
        return self._beside(architecture).costs(architecture)

    def describe(self, architecture: Sequence[int]) -> str:
        """What stands beside this architecture, in words."""
        layers = self._beside(architecture).space.layers(architecture)
        filters = "-".join(str(layer.filters) for layer in layers)
        equal = self.cost.replace("_", "-")
        return f"plain 3×3 network of equal {equal}, filters {filters}"

    def _beside(self, architecture: Sequence[int]) -> ConvolutionalChild:
        """The plain networks of the width that comes closest to the architecture's cost."""
        target = super().costs(architecture)[self.cost]

        def cost(quarters: int) -> int:
            return self._plain(quarters).costs(architecture)[self.cost]

        widths = range(
            4, 4 * target + 5
        )  # from one filter to more than the classifier alone allows
        above = bisect.bisect_left(widths, target, key=cost)
        nearest = widths[max(above - 1, 0) : above + 1]
        return self._plain(min(nearest, key=lambda q: abs(cost(q) - target)))

    def _plain(self, quarters: int) -> ConvolutionalChild:
        return ConvolutionalChild(
            space=PlainSpace(space=self.space, quarters=quarters),
            num_classes=self.num_classes,
            channels=self.channels,
            image_size=self.image_size,
        )


class PlainReferenceOfParameters(PlainReference):
    """Plain networks as deep as architectures, and as near in parameters as their width allows."""

    cost = "parameters"
