"""Small spaces whose decisions close options of later ones, and one too large to be counted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace


class Masked(SearchSpace):
    """What the spaces here share: an architecture is its own name and drawing."""

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(int(action) for action in architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        return " ".join(map(str, self.describe(architecture).values()))


class Branch(Masked):
    """After `a` three options, after `b` one: 4 architectures, of 6 vectors."""

    decisions = (Decision("first", "letter", ("a", "b")), Decision("second", "number", (1, 2, 3)))

    def mask(self, prefix: Tensor) -> Tensor | None:
        if prefix.shape[1] == 0:
            return None
        return (prefix == 0) | (torch.arange(3, device=prefix.device) == 0)


class Fewer(Masked):
    """Each number at most one above the one before, the last one none of those before."""

    decisions = tuple(
        Decision(name, "number", tuple(range(n)))
        for name, n in (("first", 2), ("second", 3), ("third", 4), ("last", 4))
    )

    def mask(self, prefix: Tensor) -> Tensor | None:
        t = prefix.shape[1]
        if t == 0:
            return None
        options = torch.arange(len(self.decisions[t].choices), device=prefix.device)
        if t == 3:
            return (prefix.unsqueeze(2) != options).all(dim=1)
        return options <= prefix[:, -1:] + 1


class GrowingBranch(Masked):
    """The first decision of `Branch` alone, and all of it after ten architectures."""

    decisions = Branch.decisions[:1]

    @property
    def largest(self) -> SearchSpace:
        return Branch()

    def at(self, architectures_judged: int) -> SearchSpace:
        return self if architectures_judged < 10 else Branch()

    def mask(self, prefix: Tensor) -> Tensor | None:
        return None


class Alone(Masked):
    """Two decisions, of which the mask leaves one option each."""

    decisions = Branch.decisions

    def mask(self, prefix: Tensor) -> Tensor:
        choices = len(self.decisions[prefix.shape[1]].choices)
        return (torch.arange(choices) == 1).expand(len(prefix), choices)


class DeadEnd(Branch):
    """After `b` nothing is open."""

    def mask(self, prefix: Tensor) -> Tensor | None:
        return None if prefix.shape[1] == 0 else (prefix == 0).expand(len(prefix), 3)


class Switches(Masked):
    """Forty switches, of which at most eight are on: too large to be counted."""

    switches: ClassVar[int] = 40
    most: ClassVar[int] = 8
    decisions = tuple(Decision(f"switch {t}", "switch", ("off", "on")) for t in range(switches))

    def mask(self, prefix: Tensor) -> Tensor:
        on = prefix.sum(dim=1, keepdim=True)
        return (torch.arange(2, device=prefix.device) == 0) | (on < self.most)


class CountedSwitches(Switches):
    """The same, which knows how many there are."""

    def completions(self, prefix: Tensor) -> Tensor:
        later, left = self.switches - prefix.shape[1] - 1, self.most - prefix.sum(dim=1)
        known = torch.tensor(
            [sum(math.comb(later, k) for k in range(n)) for n in range(self.most + 2)],
            dtype=torch.float64,
        )
        return torch.stack([known[left + 1], known[left]], dim=1)


SMALL: tuple[type[Masked], ...] = (Branch, Fewer)


def vectors(space: SearchSpace) -> list[tuple[int, ...]]:
    """All vectors of decisions, whatever the mask."""
    return list(itertools.product(*(range(n) for n in space.num_choices)))


def is_open(space: SearchSpace, actions: Sequence[int]) -> bool:
    """Whether a vector keeps to the mask, decision by decision."""
    for t, action in enumerate(actions):
        open_ = space.mask(torch.tensor([actions[:t]], dtype=torch.int64))
        if open_ is not None and not bool(open_[0, action]):
            return False
    return True


def every(space: SearchSpace) -> list[tuple[int, ...]]:
    """All architectures, by trying all vectors."""
    return [actions for actions in vectors(space) if is_open(space, actions)]
