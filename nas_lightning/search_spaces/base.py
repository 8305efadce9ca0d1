"""The contracts of a search space: `Decision` and `SearchSpace`; `child.py` has its networks'.

An architecture is an int64 vector `(T,)`: entry t is the number of the option chosen at decision t.
Everything else (readable text, a drawing, a network) is derived from it, so that what is stored
never holds code.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx  # type: ignore[import-untyped]
import torch
from torch import Tensor


@dataclass(frozen=True)
class Decision:
    """One categorical choice.

    Attributes:
        name: Unique within the space and readable, for example `"node 3 activation"`.
        kind: What sort of decision it is. Decisions of one kind share their list of options as far
            as it goes: option i of a short list means the same as option i of a longer one.
        choices: The options.
    """

    name: str
    kind: str
    choices: tuple[str | int, ...]


class SearchSpace(ABC):
    """An ordered list of decisions. Knows no network, and never changes."""

    @property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """The T decisions, in the order in which a controller makes them."""

    @abstractmethod
    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        """A hashable key that two architectures share if they are the same network.

        The same up to renaming of parts, when each is trained from scratch. Under shared weights
        renamed parts own different weights, so there architectures are told apart by their actions.
        """

    @abstractmethod
    def draw(self, architecture: Sequence[int]) -> str:
        """The architecture as a small drawing in text, lines separated by newlines."""

    def graph(self, architecture: Sequence[int]) -> nx.DiGraph:
        """The architecture as a directed graph whose nodes carry a `label`: what they compute.

        Nodes of two architectures that have the same place in the network have the same name.
        Similarity is counted on this graph. Unless a space knows better it is the chain of the
        decisions, each labelled with the option chosen. The architecture may be of any form of a
        growing space.
        """
        graph = nx.DiGraph()
        graph.add_node("start", label="start")
        chosen = self.describe(architecture)
        for name, option in chosen.items():
            graph.add_node(name, label=option)
        nx.add_path(graph, ["start", *chosen])
        return graph

    def possible_edges(self) -> list[tuple[object, object]]:
        """The edges among which decisions choose, of the graphs of all architectures.

        A drawing shows those that were not chosen beside those that were. None of a chain.
        """
        return []

    @property
    def num_choices(self) -> tuple[int, ...]:
        """How many options each of the T decisions has."""
        return tuple(len(decision.choices) for decision in self.decisions)

    @property
    def size(self) -> int:
        """How many different vectors of decisions there are."""
        return math.prod(self.num_choices)

    @property
    def largest(self) -> SearchSpace:
        """The space at its full growth; controllers allocate their parameters for it."""
        return self

    def at(self, architectures_judged: int) -> SearchSpace:
        """The space after so many architectures were judged. A growing space overrides this."""
        return self

    def mask(self, prefix: Tensor) -> Tensor | None:
        """Which options of decision t are open after the decisions `prefix`.

        Args:
            prefix: Decisions made so far, `(M, t)`.

        Returns:
            Booleans `(M, choices of decision t)`, or None where all are open.
        """
        return None

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n` architectures uniformly: int64 `(n, T)` on the CPU."""
        architectures = torch.empty((n, 0), dtype=torch.int64)
        for choices in self.num_choices:
            open_ = self.mask(architectures)
            weights = torch.ones(n, choices) if open_ is None else open_.float()
            choice = torch.multinomial(weights, 1, generator=generator)
            architectures = torch.cat([architectures, choice], dim=1)
        return architectures

    def validate(self, architectures: Tensor) -> None:
        """Check that every row is an architecture of this space.

        Args:
            architectures: Integers `(M, T)`.

        Raises:
            ValueError: If the shape, the type or an option is wrong; names the first offender.
        """
        if architectures.dtype != torch.int64:
            raise ValueError(f"architectures must be int64, not {architectures.dtype}")
        if architectures.ndim != 2 or architectures.shape[1] != len(self.decisions):
            shape = tuple(architectures.shape)
            raise ValueError(
                f"architectures of shape {shape} given, (M, {len(self.decisions)}) needed"
            )
        limits = torch.tensor(self.num_choices, device=architectures.device)
        wrong = (architectures < 0) | (architectures >= limits)
        if bool(wrong.any()):
            row, t = (int(i) for i in wrong.nonzero()[0])
            raise ValueError(
                f"architecture {row}: {self.decisions[t].name}={int(architectures[row, t])} is not "
                f"allowed: must be 0 to {self.num_choices[t] - 1}"
            )

    def describe(self, architecture: Sequence[int]) -> dict[str, str | int]:
        """The architecture in words: decision name -> the option chosen.

        It may be of any form of a growing space.
        """
        decisions = self.largest.decisions[: len(architecture)]
        return {
            decision.name: decision.choices[action]
            for decision, action in zip(decisions, architecture, strict=True)
        }
