"""The space of plain convolutional networks, whose depth grows as the search goes on.

Zoph & Le 2017, section 4.1: for every layer a filter height, a filter width, a number of filters
and a stride; the search starts with 6 layers and gets 2 more every 1,600 architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nas_lightning.errors import require, require_whole
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Layer:
    """One convolution: filter height and width in pixels, number of filters, stride in pixels."""

    height: int
    width: int
    filters: int
    stride: int

    def __str__(self) -> str:
        """The layer in words."""
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.height}×{self.width} convolution, {self.filters} filters{stride}"


class ConvolutionalSpace(SearchSpace):
    """Stacks of convolutions; four decisions a layer, so T = 4 * layers.

    Args:
        num_layers: Layers at the start.
        grow_by: How many layers the space gets at a time.
        grow_every: After how many judged architectures it gets them; None for never.
        max_layers: Where growth ends.
        heights: The options for a filter's height, pixels.
        widths: The options for a filter's width, pixels.
        filters: The options for the number of filters.
        strides: The options for the stride, pixels, the same in both directions.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        grow_by: int,
        grow_every: int | None,
        max_layers: int,
        heights: Sequence[int],
        widths: Sequence[int],
        filters: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        require_whole("num_layers", num_layers, at_least=1)
        require_whole("grow_by", grow_by, at_least=1)
        if grow_every is not None:
            require_whole("grow_every", grow_every, at_least=1)
        require_whole("max_layers", max_layers, at_least=1)
        require(
            num_layers <= max_layers, "num_layers", num_layers, f"at most max_layers={max_layers}"
        )
        options = {"heights": heights, "widths": widths, "filters": filters, "strides": strides}
        for name, values in options.items():
            listed = isinstance(values, (list, tuple))
            whole = listed and all(isinstance(value, int) and value >= 1 for value in values)
            require(
                whole and len(values) > 0 and len(set(values)) == len(values),
                name,
                list(values) if listed else values,
                "one or more whole numbers >= 1, each once",
            )
        self.num_layers = num_layers
        self.grow_by = grow_by
        self.grow_every = grow_every
        self.max_layers = max_layers
        self.options = {name: tuple(values) for name, values in options.items()}

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # noqa: D102 (see the base class)
        kinds = dict(
            zip(("height", "width", "filters", "stride"), self.options.values(), strict=True)
        )
        return tuple(
            Decision(f"layer {layer} {kind}", kind, choices)
            for layer in range(self.num_layers)
            for kind, choices in kinds.items()
        )

    @cached_property
    def stages(self) -> tuple[ConvolutionalSpace, ...]:
        """From `num_layers` to `max_layers` layers; old decisions stay the first ones."""
        layers = [*range(self.num_layers, self.max_layers, self.grow_by), self.max_layers]
        return (self, *map(self._with_layers, layers[1:]))

    @property
    def largest(self) -> ConvolutionalSpace:
        """The space with `max_layers` layers."""
        return self.stages[-1]

    def at(self, architectures_judged: int) -> ConvolutionalSpace:
        """The space after so many architectures."""
        if self.grow_every is None:
            return self
        return self.stages[min(architectures_judged // self.grow_every, len(self.stages) - 1)]

    def layers(self, architecture: Sequence[int]) -> list[Layer]:
        """The layers of an architecture, the first one next to the image."""
        values = list(self.options.values())
        chosen = [values[t % 4][int(action)] for t, action in enumerate(architecture)]
        return [Layer(*chosen[t : t + 4]) for t in range(0, len(chosen), 4)]

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        """The architecture itself: different stacks are different networks."""
        return tuple(int(action) for action in architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        """One line a layer, the image on top."""
        return "\n".join(
            f"{number:>2} {layer}" for number, layer in enumerate(self.layers(architecture))
        )

    def graph(self, architecture: Sequence[int]) -> nx.DiGraph:
        """A chain from `image` to `output`; a layer's label is the whole `Layer`."""
        import networkx as nx  # as `SearchSpace.graph` does

        graph = nx.DiGraph()
        layers = self.layers(architecture)
        for terminal in ("image", "output"):
            graph.add_node(terminal, label=terminal)
        for number, layer in enumerate(layers):
            graph.add_node(number, label=layer)
        nx.add_path(graph, ["image", *range(len(layers)), "output"])
        return graph

    def _with_layers(self, num_layers: int) -> ConvolutionalSpace:
        return ConvolutionalSpace(
            num_layers=num_layers,
            grow_by=self.grow_by,
            grow_every=None,
            max_layers=self.max_layers,
            **self.options,
        )
