"""Replay: the controller learns to predict past architectures (Adam & Lorraine 2019, section 4).

The loss is the cross-entropy of each decision of a stored architecture, given those before it, as
in language modelling. It goes through the same unroll as sampling.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, Policy
from nas_lightning.errors import require_number, require_whole
from nas_lightning.memories.base import Memory, require_onset, trained_policy
from nas_lightning.memories.buffer import Buffer
from nas_lightning.search_spaces.base import SearchSpace


class Replay(Memory):
    """A buffer of sampled architectures, and their cross-entropy under the present controller.

    Args:
        space: What is searched.
        controller: What shall remember.
        max_epochs: Epochs of the run.
        store_from: From this epoch on architectures are stored, sampled from the controller for
            that purpose and not judged.
        store_per_epoch: How many an epoch, until the buffer is full.
        capacity: How many the buffer holds.
        replace_per_epoch: How many randomly chosen ones are replaced an epoch once it is full.
        recall_from: From this epoch on the loss is added.
        batch_size: Architectures drawn from the buffer at each controller step.
        weight: Of the loss.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        controller: Controller,
        max_epochs: int,
        store_from: int,
        store_per_epoch: int,
        capacity: int,
        replace_per_epoch: int,
        recall_from: int,
        batch_size: int,
        weight: float,
    ) -> None:
        super().__init__()
        trained_policy(controller)
        require_whole("store_from", store_from, at_least=0)
        require_whole("store_per_epoch", store_per_epoch, at_least=1)
        require_whole("capacity", capacity, at_least=1)
        require_whole("replace_per_epoch", replace_per_epoch, at_least=0)
        require_whole("batch_size", batch_size, at_least=1)
        require_number("weight", weight, at_least=0)
        require_onset(recall_from, max_epochs)
        if replace_per_epoch > capacity:
            raise ValueError(
                f"replace_per_epoch={replace_per_epoch} is not allowed: must be at most "
                f"capacity={capacity}"
            )
        held = min(capacity, store_per_epoch * (recall_from - store_from + 1))
        if batch_size > held:
            raise ValueError(
                f"batch_size={batch_size} is not allowed: the buffer holds {max(0, held)} "
                f"architectures when they are first recalled, in epoch {recall_from}; must be at "
                "most that, or raise capacity, store_per_epoch or recall_from"
            )
        self.store_from = store_from
        self.store_per_epoch = store_per_epoch
        self.replace_per_epoch = replace_per_epoch
        self.recall_from = recall_from
        self.batch_size = batch_size
        self.weight = weight
        self.buffer = Buffer(capacity=capacity, longest=len(space.largest.decisions))

    @property
    def stored(self) -> int:  # noqa: D102 (see the base class)
        return len(self.buffer)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Forget all; nothing is random."""
        self.buffer.clear()

    @torch.no_grad()
    def begin_epoch(self, controller: Controller, epoch: int, generator: torch.Generator) -> None:
        """Fill the buffer, or replace some of it once it is full."""
        if epoch < self.store_from:
            return
        room = self.buffer.room
        if room > 0:
            n = min(room, self.store_per_epoch)
            self.buffer.add(controller.ask(n, generator).architectures)
        elif self.replace_per_epoch > 0:
            architectures = controller.ask(self.replace_per_epoch, generator).architectures
            self.buffer.replace(self.slots(len(architectures), generator), architectures)

    def slots(self, n: int, generator: torch.Generator) -> Tensor:
        """Which `n` places of the full buffer are overwritten, `(n,)`: random ones."""
        return torch.randperm(len(self.buffer), generator=generator)[:n]

    def loss(self, controller: Controller, epoch: int, generator: torch.Generator) -> Tensor | None:
        """Mean cross-entropy of a decision, nats, over the architectures drawn."""
        if epoch < self.recall_from:
            return None
        drawn = self.buffer.draw(self.batch_size, generator)
        policy = trained_policy(controller)
        terms = torch.cat([self.cross_entropies(policy, group).flatten() for group in drawn])
        return terms.mean()

    def cross_entropies(self, policy: Policy, architectures: Tensor) -> Tensor:
        """Of each decision of architectures `(M, T)`, nats, `(M, T)`."""
        return -policy.evaluate(architectures).log_probs
