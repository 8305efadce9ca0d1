"""A model with choices, read: its decisions, in which order, and what depends on what."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.choices.parts import Part

Under = tuple[int, range] | None
"""The decision within whose options something lies, and which of them; None at the top."""


@dataclass(frozen=True)
class Place:
    """A part of a model.

    Attributes:
        name: Its path in the model.
        part: The module.
        under: The decision that it depends on.
    """

    name: str
    part: Part
    under: Under


@dataclass(frozen=True)
class Outline:
    """All parts of a model in module order, and which parameters the options have.

    Attributes:
        places: The parts; whatever lies within an option of another comes after that one.
        parameters: Every module's own parameters, with what they depend on.
    """

    places: tuple[Place, ...]
    parameters: tuple[tuple[Under, nn.Parameter], ...]

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """A decision for each part."""
        return tuple(Decision(p.name, p.part.kind, p.part.choices) for p in self.places)

    @property
    def under(self) -> tuple[Under, ...]:
        """What each decision depends on."""
        return tuple(place.under for place in self.places)

    def chosen(self, architecture: Sequence[int]) -> dict[Part, int]:
        """The option of each part."""
        parts = [place.part for place in self.places]
        return dict(zip(parts, map(int, architecture), strict=True))

    def is_used(self, under: Under, architecture: Sequence[int]) -> bool:
        """Whether an architecture computes what lies there."""
        while under is not None:
            decision, options = under
            if architecture[decision] not in options:
                return False
            under = self.places[decision].under
        return True

    def count(self, architecture: Sequence[int]) -> int:
        """How many parameters an architecture has, each counted once."""
        found = {id(p): p.numel() for u, p in self.parameters if self.is_used(u, architecture)}
        return sum(found.values())

    def smallest(self) -> list[int]:
        """The architecture of the fewest parameters."""
        return self._extreme(-1)

    def largest(self) -> list[int]:
        """The architecture of the most parameters."""
        return self._extreme(1)

    @cached_property
    def _own(self) -> list[list[int]]:
        """Of each option of each decision its parameters, without those of decisions within it."""
        own = [[0] * len(place.part.choices) for place in self.places]
        for under, parameter in self.parameters:
            if under is not None:
                for option in under[1]:
                    own[under[0]][option] += parameter.numel()
        return own

    def _extreme(self, sign: int) -> list[int]:
        """The architecture of the most parameters, or with sign -1 of the fewest."""
        worth = [list(options) for options in self._own]
        best = [0] * len(self.places)
        for t in reversed(range(len(self.places))):  # what lies within comes first
            best[t] = max(range(len(worth[t])), key=lambda option: sign * worth[t][option])
            under = self.places[t].under
            if under is not None:
                for option in under[1]:
                    worth[under[0]][option] += worth[t][best[t]]
        return [
            option if self.is_used(place.under, best) else 0
            for option, place in zip(best, self.places, strict=True)
        ]


def outline(model: nn.Module) -> Outline:
    """Read a model.

    Raises:
        ValueError: If a part stands in two places, or two would have one name.
    """
    places: list[Place] = []
    parameters: list[tuple[Under, nn.Parameter]] = []
    for name, module, under in walk(model, places):
        if isinstance(module, Part):
            if earlier := [place.name for place in places if place.part is module]:
                raise ValueError(
                    f"{earlier[0] or 'the model'} and {name} are one and the same "
                    f"{type(module).__name__}; make one for each place"
                )
            if any(place.name == name for place in places):
                raise ValueError(f"two choices would be called {name}; rename an option")
            places.append(Place(name or "model", module, under))
        parameters += [(under, parameter) for parameter in module.parameters(recurse=False)]
    return Outline(tuple(places), tuple(parameters))


def walk(model: nn.Module, places: Sequence[Place]) -> Iterator[tuple[str, nn.Module, Under]]:
    """All modules in module order, with their names and what they depend on.

    Args:
        model: A model with choices.
        places: What the caller has made of the modules so far; each part is the last of them
            before the modules within it come.
    """

    def below(name: str, module: nn.Module, under: Under) -> Iterator[tuple[str, nn.Module, Under]]:
        yield name, module, under
        if isinstance(module, Part):
            number = len(places) - 1
            for label, branch, options in module.branches():
                yield from below(f"{name}[{label}]", branch, (number, options))
        else:
            for label, child in module._modules.items():
                if child is not None:
                    yield from below(f"{name}.{label}".strip("."), child, under)

    return below("", model, None)


def without_choices(model: nn.Module, chosen: Mapping[Part, int]) -> nn.Module:
    """The model with each part replaced by what it computes; changes the model itself."""
    while isinstance(model, Part):
        model = model.only(chosen[model])
    for label, child in model._modules.items():
        if child is not None:
            model._modules[label] = without_choices(child, chosen)
    return model


def count_all(sizes: Sequence[int], under: Sequence[Under]) -> list[int]:
    """How many ways there are to make each decision and all that depend on it.

    Args:
        sizes: How many options each decision has.
        under: What each depends on; decisions come before those that depend on them.
    """
    ways = [[1] * size for size in sizes]
    total = [0] * len(sizes)
    for t in reversed(range(len(sizes))):
        total[t] = sum(ways[t])
        above = under[t]
        if above is not None:
            for option in above[1]:
                ways[above[0]][option] *= total[t]
    return total


def size_of(sizes: Sequence[int], under: Sequence[Under]) -> int:
    """How many architectures there are, exactly."""
    total = count_all(sizes, under)
    return math.prod(total[t] for t in range(len(sizes)) if under[t] is None)


def extent(decisions: Sequence[Decision], size: int) -> str:
    """How large a space is: `5 decisions, 78 architectures`."""
    many = f"{size:,}" if size < 10**9 else f"{size:.3g}"
    return f"{len(decisions)} decision{'s' * (len(decisions) != 1)}, {many} architectures"
