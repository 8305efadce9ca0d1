"""The parts that a user puts into a model of their own: a choice among modules, and a depth.

What is chosen is never stored in them: it comes as context, from `deciding`. One model can
therefore serve many architectures, one after the other, and every copy of it stands for all.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from nas_lightning.errors import require, require_whole


class Part(nn.Module, ABC):
    """A place in a model where one of several options is computed.

    Attributes:
        kind: What sort of decision it is; see `Decision`.
        choices: The options.
    """

    kind: str
    choices: tuple[str | int, ...]

    def forward(self, *inputs: Any) -> Any:
        """What the option that is chosen computes, or the mixture of all by their weights."""
        weights = _WEIGHTS.get()
        if weights is not None and self in weights:
            return self.mixed(*weights[self], *inputs)
        chosen = _CHOSEN.get()
        if chosen is None:
            raise RuntimeError(
                f"a {type(self).__name__} is called, and nothing is chosen: a model with choices "
                "computes within `with deciding(model, architecture):`"
            )
        if self not in chosen:
            raise RuntimeError(
                f"a {type(self).__name__} is called that is no submodule of the model: keep "
                "modules in nn.ModuleList or nn.ModuleDict, not in lists or dicts of Python"
            )
        return self.compute(chosen[self], *inputs)

    @abstractmethod
    def compute(self, option: int, *inputs: Any) -> Any:
        """What an option makes of the inputs."""

    def mixed(self, weights: Tensor, values: Sequence[float], *inputs: Any) -> Any:
        """The sum of what the options make of the inputs, each times its weight.

        An option of weight 0 is not computed.

        Args:
            weights: `(options,)`.
            values: The same, as numbers.
            inputs: What the part is called with.
        """
        used = [option for option, value in enumerate(values) if value != 0] or [0]
        made = [self.compute(option, *inputs) for option in used]
        factors = [weights.unbind()[option] for option in used]
        if len({one.shape for one in made}) == 1:  # in two operations, whose backward takes two
            return torch.tensordot(torch.stack(factors), torch.stack(made), dims=1)
        return sum(factor * one for factor, one in zip(factors, made, strict=True))

    @abstractmethod
    def branches(self) -> Iterator[tuple[str, nn.Module, range]]:
        """The modules that the options compute with.

        Yields:
            What tells it from the others, the module, and the numbers of the options that use it.
        """

    @abstractmethod
    def only(self, option: int) -> nn.Module:
        """The module that computes this option, without the choice."""


class Choice(Part):
    """One of several modules; which one is a decision of the search.

    Args:
        options: Name -> module, at least one. Any names will do.

    Raises:
        ValueError: If that is not what is given.
    """

    def __init__(self, options: Mapping[str, nn.Module]) -> None:
        super().__init__()
        good = isinstance(options, Mapping) and len(options) > 0
        good = good and all(isinstance(name, str) and name for name in options)
        good = good and all(isinstance(module, nn.Module) for module in options.values())
        require(good, "options", options, "one or more modules by name: {'3x3': nn.Conv2d(…), …}")
        self.choices = tuple(options)
        self.kind = " | ".join(options)
        # A list: names of a ModuleDict must neither hold a dot nor be those of its methods.
        self.options = nn.ModuleList(options.values())

    def compute(self, option: int, *inputs: Any) -> Any:
        """What one of the modules makes of the inputs."""
        return self.options[option](*inputs)

    def branches(self) -> Iterator[tuple[str, nn.Module, range]]:
        """Each module with its own option."""
        for number, (name, module) in enumerate(zip(self.choices, self.options, strict=True)):
            yield str(name), module, range(number, number + 1)

    def only(self, option: int) -> nn.Module:
        """One of the modules."""
        return self.options[option]


class Repeat(Part):
    """Blocks one after the other; how many is a decision of the search.

    Each block has weights and choices of its own.

    Args:
        block: Makes a block, or is one, of which each gets a copy.
        at_most: The largest number of blocks.
        at_least: The smallest.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self, block: Callable[[], nn.Module] | nn.Module, *, at_most: int, at_least: int = 1
    ) -> None:
        super().__init__()
        require_whole("at_least", at_least, at_least=0)
        require_whole("at_most", at_most, at_least=max(at_least, 1))
        made = [
            copy.deepcopy(block) if isinstance(block, nn.Module) else block()
            for _ in range(at_most)
        ]
        good = all(isinstance(one, nn.Module) for one in made) and len(set(made)) == at_most
        require(good, "block", block, "a module, or a function that makes a new one at every call")
        self.choices = tuple(range(at_least, at_most + 1))
        self.kind = "depth" if at_least == 1 else f"depth from {at_least}"
        self.blocks = nn.ModuleList(made)

    def compute(self, option: int, *inputs: Any) -> Any:
        """What the first blocks make of one input."""
        (x,) = inputs
        for block in list(self.blocks)[: int(self.choices[option])]:
            x = block(x)
        return x

    def mixed(self, weights: Tensor, values: Sequence[float], *inputs: Any) -> Any:
        """The sum over depths, which have their blocks in common."""
        (x,) = inputs
        depths = list(map(int, self.choices))
        by_depth = dict(zip(depths, weights.unbind(), strict=True))
        deepest = max((d for d, v in zip(depths, values, strict=True) if v != 0), default=0)
        total = by_depth[0] * x if 0 in by_depth else None
        for depth, block in enumerate(list(self.blocks)[:deepest], start=1):
            x = block(x)
            if depth in by_depth:
                term = by_depth[depth] * x
                total = term if total is None else total + term
        return 0 * x if total is None else total

    def branches(self) -> Iterator[tuple[str, nn.Module, range]]:
        """Each block with the depths that reach it."""
        for number, block in enumerate(self.blocks):
            first = max(number + 1 - int(self.choices[0]), 0)
            yield str(number), block, range(first, len(self.choices))

    def only(self, option: int) -> nn.Module:
        """The first blocks."""
        return nn.Sequential(*list(self.blocks)[: int(self.choices[option])])


_CHOSEN: ContextVar[Mapping[Part, int] | None] = ContextVar("chosen", default=None)


_WEIGHTS: ContextVar[Mapping[Part, tuple[Tensor, list[float]]] | None] = ContextVar(
    "weights", default=None
)


@contextmanager
def weighing(weights: Mapping[Part, Tensor]) -> Iterator[None]:
    """Within it the parts compute the mixture of their options by these weights."""
    # Read at once: on a GPU each reading waits until all that was launched before has ended.
    read = torch.cat([of.detach() for of in weights.values()]).cpu()
    values = [of.tolist() for of in read.split([len(of) for of in weights.values()])]
    token = _WEIGHTS.set(
        {part: (of, value) for (part, of), value in zip(weights.items(), values, strict=True)}
    )
    try:
        yield
    finally:
        _WEIGHTS.reset(token)


@contextmanager
def choosing(chosen: Mapping[Part, int]) -> Iterator[None]:
    """Within it the parts compute these options."""
    token = _CHOSEN.set(chosen)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


@contextmanager
def deciding(model: nn.Module, architecture: Sequence[int] | Tensor) -> Iterator[None]:
    """Within it the model computes one architecture.

    Args:
        model: A model with choices.
        architecture: An option for each of its decisions, in their order `(T,)`.
    """
    from nas_lightning.search_spaces.choices.outline import outline

    parts = [decision.part for decision in outline(model).places]
    with choosing(dict(zip(parts, map(int, architecture), strict=True))):
        yield
