"""What memories share that ask something of the controller's final states.

The final state is what is left when the last decision has been fed (`Policy.final_states`). The
architectures are drawn uniformly and forced upon the controller, so nothing has to be stored: a
buffer of its own samples would soon hold one architecture only, for which any state will do.

Judging architectures is what a search spends its time on; a step on such a loss takes some 20
milliseconds. So the controller learns to remember before it learns to choose: once the policy
gradient has saturated its units it hardly can. In a growing space it learns the decisions that
there are at the onset; later ones only by the loss that is added to the controller's.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, Policy
from nas_lightning.errors import require_number, require_optimizer, require_whole
from nas_lightning.estimators.base import OptimizerFactory
from nas_lightning.memories.base import (
    Memory,
    require_onset,
    require_states,
    trained_policy,
)


class StateMemory(Memory):
    """A loss on the final states of uniform architectures.

    Args:
        controller: What shall remember.
        max_epochs: Epochs of the run.
        recall_from: From this epoch on the loss is added.
        warmup: Steps on this loss alone before it is first added to the controller's.
        optimizer: Of these steps; the controller's own does not see them.
        batch_size: Architectures drawn at each step.
        weight: Of the loss, beside the controller's.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        controller: Controller,
        max_epochs: int,
        recall_from: int,
        warmup: int,
        optimizer: OptimizerFactory,
        batch_size: int,
        weight: float,
    ) -> None:
        super().__init__()
        policy = trained_policy(controller)
        self.state_size = require_states(policy)
        require_whole("batch_size", batch_size, at_least=2)
        require_number("weight", weight, at_least=0)
        require_onset(recall_from, max_epochs)
        require_whole("warmup", warmup, at_least=0)
        require_optimizer("optimizer", optimizer)
        self.recall_from = recall_from
        self.warmup = warmup
        self.make_optimizer = optimizer
        self.batch_size = batch_size
        self.weight = weight
        self._allocate(policy)

    def _allocate(self, policy: Policy) -> None:
        """Make parameters of its own, if it has any."""

    def begin_epoch(self, controller: Controller, epoch: int, generator: torch.Generator) -> None:
        """In the epoch of the onset: learn the loss alone for `warmup` steps."""
        if epoch != self.recall_from:
            return
        optimizer = self.make_optimizer([*controller.parameters(), *self.parameters()])
        for _ in range(self.warmup):
            loss = self.loss(controller, epoch, generator)
            assert loss is not None
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

    def loss(self, controller: Controller, epoch: int, generator: torch.Generator) -> Tensor | None:
        """The loss of the final states of `batch_size` uniform architectures."""
        if epoch < self.recall_from:
            return None
        device = next(controller.parameters()).device
        architectures = controller.space.sample(self.batch_size, generator).to(device)
        states = trained_policy(controller).final_states(architectures)
        assert states is not None
        return self.state_loss(states, architectures)

    @abstractmethod
    def state_loss(self, states: Tensor, architectures: Tensor) -> Tensor:
        """A scalar.

        Args:
            states: Final states `(M, H)`, with their gradient.
            architectures: What they are the states of, `(M, T)`.
        """
