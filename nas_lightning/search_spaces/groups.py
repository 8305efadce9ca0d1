"""Which options of a space are mixed where its decisions are relaxed to weights.

A relaxed network (Liu et al. 2019, "DARTS") computes all options of a place at once and adds them
up, each times its weight. The weights of one place are a group: they are normalised together. They
may hold more than the decisions can choose: `none` takes weight and adds nothing. All groups
together are one vector, so that gradients and Hessians are those of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nas_lightning.search_spaces.decision import Decision


@dataclass(frozen=True)
class Groups:
    """Groups of options that are normalised together, G of them, with N options in all.

    Attributes:
        names: Of the groups.
        options: Names of the options of each group.
        places: For every decision of the largest form of the space, for every option that it can
            choose: the place in the vector `(N,)` of the weight that stands for it.
    """

    names: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]
    places: tuple[tuple[int, ...], ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many options each group has."""
        return tuple(map(len, self.options))

    def softmax(self, logits: Tensor) -> Tensor:
        """Logits `(N,)` as weights `(N,)` that sum to one in each group."""
        if len(set(self.sizes)) == 1:
            return logits.view(len(self.sizes), -1).softmax(dim=1).flatten()
        return torch.cat([group.softmax(dim=0) for group in logits.split(self.sizes)])

    def normalised(self, values: Tensor) -> Tensor:
        """Positive values `(N,)` as weights `(N,)` that sum to one in each group."""
        return torch.cat([group / group.sum() for group in values.split(self.sizes)])

    def entropies(self, weights: Tensor) -> Tensor:
        """Entropy of each group's weights `(G,)`, nats."""
        parts = weights.split(self.sizes)
        return torch.stack([torch.special.entr(group).sum() for group in parts])

    def shares(self, weights: Tensor) -> dict[str, float]:
        """The mean weight of each option over the groups that have it, by its name."""
        found: dict[str, list[float]] = {}
        for names, group in zip(self.options, weights.split(self.sizes), strict=True):
            for name, weight in zip(names, group.tolist(), strict=True):
                found.setdefault(name, []).append(weight)
        return {name: sum(values) / len(values) for name, values in found.items()}

    def one_hot(self, architecture: Sequence[int]) -> Tensor:
        """The weights `(N,)` under which the relaxed network is the architecture's: 0 and 1."""
        weights = torch.zeros(sum(self.sizes))
        for places, option in zip(self.places, architecture, strict=False):  # of a smaller form
            weights[places[option]] = 1
        return weights

    def chosen(self, architecture: Sequence[int]) -> list[str]:
        """The names of the options that an architecture takes, decision by decision."""
        names = [name for group in self.options for name in group]
        return [names[p[a]] for p, a in zip(self.places, architecture, strict=False)]


def groups_of(decisions: Sequence[Decision]) -> Groups:
    """A group for each decision, of its own options."""
    places, first = [], 0
    for decision in decisions:
        places.append(tuple(range(first, first + len(decision.choices))))
        first += len(decision.choices)
    return Groups(
        names=tuple(decision.name for decision in decisions),
        options=tuple(tuple(map(str, decision.choices)) for decision in decisions),
        places=tuple(places),
    )
