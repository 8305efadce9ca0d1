"""The contract of a search space: `SearchSpace`, of decisions (`decision.py`).

An architecture is an int64 vector `(T,)`: entry t is the number of the option chosen at decision t.
Everything else (readable text, a drawing, a network) is derived from it, so that what is stored
never holds code.
"""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nas_lightning.search_spaces.completions import COUNTABLE, CompletionTree
from nas_lightning.search_spaces.decision import Decision
from nas_lightning.search_spaces.groups import Groups, groups_of
from nas_lightning.search_spaces.mutation import mutated

if TYPE_CHECKING:
    import networkx as nx

EXACT = 2**53
"""Up to here float64 holds every whole number."""


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

        Similarity is counted on it: nodes of the same place in the network have the same name. By
        default it is the chain of the decisions, of any form of a growing space.
        """
        import networkx as nx  # takes a quarter of a second, which a search need not wait for

        labels = {"start": "start", **self.describe(architecture)}
        graph = nx.path_graph(labels, create_using=nx.DiGraph)
        nx.set_node_attributes(graph, labels, "label")
        return graph

    def possible_edges(self) -> list[tuple[object, object]]:
        """The edges among which decisions choose, of the graphs of all architectures.

        A drawing shows those that were not chosen beside those that were. None of a chain.
        """
        return []

    @cached_property
    def num_choices(self) -> tuple[int, ...]:
        """How many options each of the T decisions has."""
        return tuple(len(decision.choices) for decision in self.decisions)

    @property
    def size(self) -> int:
        """How many architectures there are, exactly; raises ValueError as `completions` does."""
        if not self.masked:
            return math.prod(self.num_choices)
        size = float(self.completions(torch.empty((1, 0), dtype=torch.int64)).sum())
        if size > EXACT:
            raise ValueError(
                f"it has {size:.3g} architectures, more than float64 can count exactly; give its "
                "class a property `size`"
            )
        return int(size)

    @property
    def largest(self) -> SearchSpace:
        """The space at its full growth; controllers allocate their parameters for it."""
        return self

    @property
    def groups(self) -> Groups:
        """What is normalised together where decisions are relaxed: the options of each."""
        return groups_of(self.largest.decisions)

    @property
    def stages(self) -> tuple[SearchSpace, ...]:
        """The forms that the space goes through as it grows, this one first, the largest last."""
        grows = len(self.largest.decisions) > len(self.decisions)
        return (self, self.largest) if grows else (self,)

    @property
    def blocks(self) -> tuple[int, ...]:
        """After how many decisions a further part is whole (a layer, a node); the last after all.

        By these a search in order of complexity goes. Of a space that grows they are its stages;
        of others every decision, unless a class says better.
        """
        if len(self.stages) > 1:
            return tuple(len(stage.decisions) for stage in self.stages)
        return tuple(range(1, len(self.decisions) + 1))

    def at(self, architectures_judged: int) -> SearchSpace:
        """The space after so many architectures were judged. A growing space overrides this."""
        return self

    def mask(self, prefix: Tensor) -> Tensor | None:
        """Which options of decision t are open after the decisions `prefix`.

        After whatever it leaves open, something must be open at every later decision.

        Args:
            prefix: Decisions made so far, `(M, t)`.

        Returns:
            Booleans `(M, choices of decision t)`, or None where all are open.
        """
        return None

    @property
    def masked(self) -> bool:
        """Whether some decisions may close options of later ones: whether it has a `mask`."""
        return type(self).mask is not SearchSpace.mask

    def completions(self, prefix: Tensor) -> Tensor:
        """How many architectures begin with the decisions `prefix` and each option after them.

        A masked space of more than a million architectures has to override this: they are counted
        one by one only up to there.

        Args:
            prefix: Decisions made so far, `(M, t)`.

        Returns:
            Whole numbers, float64 `(M, choices of decision t)`, on the CPU: 0 for closed options,
            and for those only.

        Raises:
            ValueError: If the space is masked and cannot count them.
        """
        if self.masked:
            return self._tree.counts(prefix)
        choices, *later = self.num_choices[prefix.shape[1] :]
        return torch.full((len(prefix), choices), float(math.prod(later)), dtype=torch.float64)

    def uniform(self, prefix: Tensor) -> Tensor:
        """The distribution of decision t after `prefix` when all architectures are equally likely.

        Args:
            prefix: Decisions made so far, `(M, t)`.

        Returns:
            Probabilities, float32 `(M, choices of decision t)`; all 0 after closed options.
        """
        weights = self.weights(prefix)
        return (weights / weights.sum(dim=1, keepdim=True).clamp_min(1)).float().to(prefix.device)

    def open_options(self, prefix: Tensor) -> Tensor:
        """Which options are open after `prefix`, as `mask` has it: always booleans."""
        open_ = self.mask(prefix)
        if open_ is not None:
            return open_
        shape = len(prefix), self.num_choices[prefix.shape[1]]
        return torch.ones(shape, dtype=torch.bool, device=prefix.device)

    def extensions(self, prefixes: Tensor) -> Tensor:
        """All ways to make the next decision.

        Args:
            prefixes: Decisions made so far, `(M, t)`.

        Returns:
            int64 `(M', t + 1)`: prefix by prefix, option by option.
        """
        row, option = self.open_options(prefixes).nonzero(as_tuple=True)
        return torch.cat([prefixes[row], option.unsqueeze(1)], dim=1)

    def architectures(self) -> Tensor:
        """All architectures, int64 `(size, T)`, the last decision varying fastest.

        Raises ValueError if there are more than a million.
        """
        if self.size > COUNTABLE:
            raise ValueError(f"it has {self.size:,} architectures, too many to list them")
        found = torch.empty((1, 0), dtype=torch.int64)
        for _ in self.decisions:
            found = self.extensions(found)
        return found

    def rank(self, architectures: Tensor) -> Tensor:
        """The place of each architecture `(M, T)` in `architectures()`: int64 `(M,)`, on the CPU.

        Exact in spaces of up to 2^53 architectures.
        """
        place = torch.zeros(len(architectures), dtype=torch.int64)
        for t, action in enumerate(architectures.cpu().unbind(dim=1)):
            if not self.masked:
                place = place * self.num_choices[t] + action
                continue
            counts = self.completions(architectures[:, :t])
            before = counts.cumsum(dim=1) - counts
            place += before.gather(1, action.unsqueeze(1)).squeeze(1).long()
        return place

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n` architectures, all of them equally likely: int64 `(n, T)` on the CPU."""
        return self.complete(torch.empty((n, 0), dtype=torch.int64), generator)

    def complete(self, prefixes: Tensor, generator: torch.Generator) -> Tensor:
        """Draw an architecture for each beginning `(M, t)`: int64 `(M, T)` on the CPU.

        All that begin so are equally likely.
        """
        architectures = prefixes.cpu()
        for _ in self.decisions[prefixes.shape[1] :]:
            weights = self.weights(architectures)
            choice = torch.multinomial(weights, 1, generator=generator)
            architectures = torch.cat([architectures, choice], dim=1)
        return architectures

    def mutate(self, architectures: Tensor, generator: torch.Generator) -> Tensor:
        """Change one decision of each architecture, as in regularised evolution.

        Real et al. 2019: a decision, drawn uniformly from those that have another open option, gets
        one of its other options. Where that closes what a later decision has chosen, the later one
        is drawn anew, uniformly over the architectures that go on from there; the rest stays.

        Args:
            architectures: int64 `(M, T)`.
            generator: A generator on the CPU.

        Returns:
            int64 `(M, T)` on the same device; each row differs from the one given.

        Raises:
            ValueError: If the space has one architecture only, which has no neighbour.
        """
        return mutated(self, architectures, generator)

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
        found = self.first_closed(architectures)
        if found is not None:
            row, t, open_ = found
            raise ValueError(
                f"architecture {row}: {self.decisions[t].name}={int(architectures[row, t])} is not "
                f"allowed: must be {self._allowed(t, open_)}"
            )

    def first_closed(self, architectures: Tensor) -> tuple[int, int, list[int]] | None:
        """Where a row first chooses what is no open option.

        Args:
            architectures: int64 `(M, T)`, of any values.

        Returns:
            The row, the decision, and the options that are open there; None if all is well.
        """
        found = None
        for t, choices in enumerate(self.num_choices):
            open_, chosen = self.open_options(architectures[:, :t]), architectures[:, t : t + 1]
            good = (chosen >= 0) & (chosen < choices)
            good &= open_.gather(1, chosen.clamp(0, choices - 1))
            if not bool(good.all()):
                row = int((~good).nonzero()[0, 0])
                found = row, t, open_[row].nonzero().flatten().tolist()
                architectures = architectures[:row]  # from here on only earlier rows come first
        return found

    def check(self, actions: object) -> None:
        """Check what a file holds for an architecture; it may be of any stage of the space.

        Raises:
            ValueError: Names the position, counted from 0, the value, and what is allowed.
        """
        stages = {len(stage.decisions): stage for stage in self.stages}
        if not isinstance(actions, list) or len(actions) not in stages:
            lengths = " or ".join(map(str, stages))
            raise ValueError(
                f"actions={reprlib.repr(actions)} is not allowed: must be a list of {lengths} "
                "whole numbers"
            )
        whole = [a if type(a) is int and 0 <= a < 2**31 else -1 for a in actions]
        stage = stages[len(actions)]
        found = stage.first_closed(torch.tensor([whole]))
        if found is not None:
            _, t, open_ = found
            raise ValueError(
                f"actions[{t}]={reprlib.repr(actions[t])} is not allowed: "
                f"{stage.decisions[t].name} must be {stage._allowed(t, open_)}"
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

    def word(self, architecture: Sequence[int]) -> str:
        """The architecture as one word, by which a table may name it; no two share one."""
        return "|".join(map(str, self.describe(architecture).values()))

    @cached_property
    def _tree(self) -> CompletionTree:
        return CompletionTree(self)

    def weights(self, prefix: Tensor) -> Tensor:
        """What the options of decision t are drawn by for uniform architectures, on the CPU."""
        if self.masked:
            return self.completions(prefix)
        return torch.ones(len(prefix), self.num_choices[prefix.shape[1]])

    def _allowed(self, t: int, open_: Sequence[int]) -> str:
        """The open options of decision t, in words."""
        some = f"{' or '.join(map(str, open_))} after the decisions before it"
        return f"0 to {len(open_) - 1}" if len(open_) == self.num_choices[t] else some
