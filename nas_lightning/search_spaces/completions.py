"""How many architectures begin in a given way, counted where some options close others.

What makes sampling uniform over architectures: an option is drawn in proportion to the number of
architectures that it leads to, not to the number of options beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from nas_lightning.search_spaces.base import SearchSpace

COUNTABLE = 1_000_000
"""Up to so many architectures they are counted one by one: about a second, and 10 to 100 MB."""


class CompletionTree:
    """The tree of all beginnings of architectures; a level a decision, a node a beginning.

    Args:
        space: Whose architectures are counted, by its mask.

    Raises:
        ValueError: If there are more than `COUNTABLE`, or a beginning that cannot be completed.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._next: list[Tensor] = []
        """Of each level: which node of the next one an option leads to, `(nodes, choices)`."""
        beginnings = torch.empty((1, 0), dtype=torch.int64)
        for _ in space.num_choices:
            beginnings, node = self._grow(space, beginnings)
            self._next.append(node)
        below = torch.ones(len(beginnings), dtype=torch.int32)
        self._counts: list[Tensor] = []
        """Of each level: how many architectures an option leads to, `(nodes, choices)`."""
        for node in reversed(self._next):
            counts = below[node.clamp_min(0)].masked_fill(node < 0, 0)
            self._counts.insert(0, counts)
            below = counts.sum(dim=1, dtype=torch.int32)

    def counts(self, prefix: Tensor) -> Tensor:
        """How many architectures go on from each of M beginnings with each option.

        Args:
            prefix: Decisions made so far, `(M, t)`.

        Returns:
            Whole numbers, float64 `(M, choices of decision t)`, on the CPU; 0 after decisions that
            no architecture begins with.
        """
        prefix = prefix.cpu()
        node = torch.zeros(len(prefix), dtype=torch.int64)
        good = torch.ones(len(prefix), 1, dtype=torch.bool)
        for t, action in enumerate(prefix.unbind(dim=1)):
            node = self._next[t][node, action].long()
            good &= (node >= 0).unsqueeze(1)
            node = node.clamp_min(0)
        return self._counts[prefix.shape[1]][node].double() * good

    @staticmethod
    def _grow(space: SearchSpace, beginnings: Tensor) -> tuple[Tensor, Tensor]:
        """The next level: its beginnings `(N, t + 1)`, and what leads there, -1 if closed."""
        open_ = space.open_options(beginnings)
        stuck = ~open_.any(dim=1)
        if bool(stuck.any()):
            before = beginnings[stuck][0].tolist()
            raise ValueError(
                f"the mask closes all options of decision {len(before)} after the decisions "
                f"{before}; it must leave one open after whatever else it leaves open"
            )
        if int(open_.sum()) > COUNTABLE:
            raise ValueError(
                "some of its decisions close options of others, and it has more than "
                f"{COUNTABLE:,} architectures: up to there they are counted; give its class a "
                "method `completions` that knows how many there are, or choose a smaller space"
            )
        node = (open_.flatten().cumsum(dim=0) - 1).reshape(open_.shape).int()
        return space.extensions(beginnings), node.masked_fill(~open_, -1)
