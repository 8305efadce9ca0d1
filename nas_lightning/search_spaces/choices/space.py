"""The space of a user's own model: its choices, in module order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import networkx as nx
import torch
from torch import Tensor, nn

from nas_lightning.errors import NotAllowedError
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.choices.outline import Under, count_all, extent, outline, size_of
from nas_lightning.search_spaces.choices.recipe import Recipe


class ChoiceSpace(SearchSpace):
    """The decisions of a model some of whose modules are `Choice` or `Repeat`.

    A decision within an option that is not taken is 0, and closed.

    Args:
        model: A class or function that makes the model, itself or its dotted name; or a model.
        arguments: What the class or function is called with; None for nothing.
        pretrained: Whether a model that is made already keeps its weights; see `Recipe`.

    Raises:
        ValueError: If the model cannot be built or copied, or its choices cannot be read.
    """

    def __init__(
        self,
        *,
        model: str | Callable[..., nn.Module] | nn.Module,
        arguments: Mapping[str, Any] | None,
        pretrained: bool,
    ) -> None:
        self.recipe = Recipe(model, arguments, pretrained=pretrained)
        try:
            found = outline(self.recipe.build(seed=0))
        except NotAllowedError:
            raise
        except ValueError as error:
            raise NotAllowedError("model", self.recipe.name, str(error)) from error
        if not found.places:
            raise NotAllowedError(
                "model",
                self.recipe.name,
                "none of its modules is a Choice, so there is nothing to search; put "
                "nas_lightning.Choice({'3x3': …, 'skip': nn.Identity()}) "
                "where an option is to be found",
            )
        self._decisions = found.decisions
        self.under = found.under

    def __repr__(self) -> str:
        """What it is of, and how large."""
        size = extent(self.decisions, self.size)
        return f"<{type(self).__name__} of {self.recipe.name}: {size}>"

    @property
    def decisions(self) -> tuple[Decision, ...]:  # noqa: D102 (see the base class)
        return self._decisions

    @property
    def masked(self) -> bool:
        """Whether choices lie within options of others."""
        return any(under is not None for under in self.under)

    @property
    def size(self) -> int:
        """How many architectures there are, exactly, however many."""
        return size_of(self.num_choices, self.under)

    def mask(self, prefix: Tensor) -> Tensor | None:
        """The first option alone where the decision lies in an option that is not taken."""
        t = prefix.shape[1]
        if self.under[t] is None:
            return None
        first = torch.arange(self.num_choices[t], device=prefix.device) == 0
        return self._taken(self.under[t], prefix).unsqueeze(1) | first

    def completions(self, prefix: Tensor) -> Tensor:
        """How many architectures begin so: the ways of what lies within are multiplied."""
        prefix, t = prefix.cpu(), prefix.shape[1]
        total = count_all(self.num_choices, self.under)
        counts = []
        for option in range(self.num_choices[t]):
            begun = torch.cat([prefix, torch.full((len(prefix), 1), option)], dim=1)
            count = torch.ones(len(prefix), dtype=torch.float64)
            for later in range(t + 1, len(total)):
                under = self.under[later]
                if under is None or under[0] <= t:  # others are counted with what they depend on
                    ways = torch.full_like(count, float(total[later]))
                    count *= torch.where(self._taken(under, begun), ways, 1.0)
            counts.append(count)
        return torch.stack(counts, dim=1) * self.open_options(prefix)

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        """The architecture itself: different options are different modules."""
        return tuple(int(action) for action in architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        """A line for each decision that is not closed, indented below what it depends on."""
        lines = []
        for t, (name, option) in enumerate(self.describe(architecture).items()):
            if self.is_open(t, architecture):
                lines.append(f"{'  ' * self._depths[t]}{name}: {option}")
        return "\n".join(lines)

    def graph(self, architecture: Sequence[int]) -> nx.DiGraph:
        """The chain of the decisions that are not closed, each labelled with its option."""
        graph = nx.DiGraph()
        graph.add_node("start", label="start")
        chosen = {
            name: option
            for t, (name, option) in enumerate(self.describe(architecture).items())
            if self.is_open(t, architecture)
        }
        for name, option in chosen.items():
            graph.add_node(name, label=option)
        nx.add_path(graph, ["start", *chosen])
        return graph

    def is_open(self, t: int, architecture: Sequence[int]) -> bool:
        """Whether an architecture takes all the options that decision t lies in."""
        actions = torch.tensor([[int(action) for action in architecture]])
        return bool(self._taken(self.under[t], actions))

    @cached_property
    def _depths(self) -> list[int]:
        depths: list[int] = []
        for under in self.under:
            depths.append(0 if under is None else depths[under[0]] + 1)
        return depths

    def _taken(self, under: Under, actions: Tensor) -> Tensor:
        """Which rows of decisions `(M, t)` take all the options that something lies in, `(M,)`."""
        taken = torch.ones(len(actions), dtype=torch.bool, device=actions.device)
        while under is not None:
            decision, options = under
            made = actions[:, decision]
            taken &= (made >= options.start) & (made < options.stop)
            under = self.under[decision]
        return taken
