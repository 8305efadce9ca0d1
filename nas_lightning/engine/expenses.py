"""What a search under shared weights has computed: minibatches, and multiply-adds of networks.

By these its cost can be compared with that of a search which mixes all options: there one minibatch
passes over all weights. What looks on, such as analyses and eigenvalues, is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import MULTIPLY_ADDS, ChildNetwork, Relaxable

FORWARD, TRAINING = 1, 3
"""What a pass costs, in forward passes: a backward pass takes two."""


class Expenses:
    """Counts.

    Args:
        child: The network with the shared weights; None where there are none, and nothing is
            counted.
    """

    def __init__(self, child: ChildNetwork | None) -> None:
        self.child = child
        self.minibatches = 0
        """Passes of one network over one minibatch."""
        self.multiply_adds: float | None = 0.0
        """A forward pass counts 1, a training pass 3; None where the network does not know."""
        self._of_all: list[int | None] = []

    def of_networks(self, architectures: Tensor, batches: Sequence[Batch], passes: int) -> None:
        """Add M architectures `(M, T)` on minibatches, each pass costing so many forward ones."""
        if self.child is None:
            return
        self.minibatches += len(architectures) * len(batches)
        inputs = sum(batch.targets.numel() for batch in batches)
        for actions in architectures.tolist() if self.multiply_adds is not None else ():
            self._add(self.child.costs(actions).get(MULTIPLY_ADDS.name), inputs * passes)

    def of_mixture(self, weights: Tensor, batch: Batch, *, dense: bool) -> None:
        """Add a training pass of a relaxed network.

        Args:
            weights: Of all options `(N,)`.
            batch: The minibatch.
            dense: Whether no weight is ever 0. Then every pass costs the same, and weights, for
                which a GPU would have to be waited for, are read once.
        """
        if isinstance(self.child, Relaxable):
            self.minibatches += 1
            if not dense or not self._of_all:
                self._of_all = [self.child.relaxed_multiply_adds(weights.detach())]
            self._add(self._of_all[0], TRAINING * batch.targets.numel())

    def numbers(self) -> dict[str, float]:
        """What is recorded; nothing where nothing was counted."""
        found = {"derive/minibatches_spent": float(self.minibatches)} if self.minibatches else {}
        if found and self.multiply_adds is not None:
            found["derive/multiply_adds_spent"] = self.multiply_adds
        return found

    def _add(self, forward: int | None, inputs: int) -> None:
        known = forward is not None and self.multiply_adds is not None
        self.multiply_adds = self.multiply_adds + forward * inputs if known else None  # type: ignore[operator]

    def state_dict(self) -> dict[str, float | None]:
        """The counts."""
        return {"minibatches": self.minibatches, "multiply_adds": self.multiply_adds}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Go on from there."""
        self.minibatches = int(state["minibatches"] or 0)
        self.multiply_adds = state["multiply_adds"]
