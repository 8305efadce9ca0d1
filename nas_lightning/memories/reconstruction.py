"""Reconstruction: every decision can be read off the final state.

Replay asks for the next decision, which nearly independent decisions make answerable without any
memory. Here all T decisions are asked for at the end, so the state has to carry them there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.controllers.base import Controller
from nas_lightning.estimators.base import OptimizerFactory
from nas_lightning.memories.states import StateMemory
from nas_lightning.search_spaces.base import SearchSpace


class Reconstruction(StateMemory):
    """Cross-entropy of all decisions, decoded linearly from the final state.

    Args:
        space: What is searched; the decoder is allocated for its largest form.
        controller: What shall remember.
        max_epochs: Epochs of the run.
        recall_from: From this epoch on the loss is added.
        warmup: Steps on this loss alone before it is first added to the controller's.
        optimizer: Of these steps.
        batch_size: Architectures drawn at each step.
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
        recall_from: int,
        warmup: int,
        optimizer: OptimizerFactory,
        batch_size: int,
        weight: float,
    ) -> None:
        super().__init__(
            controller=controller,
            max_epochs=max_epochs,
            recall_from=recall_from,
            warmup=warmup,
            optimizer=optimizer,
            batch_size=batch_size,
            weight=weight,
        )
        self.num_choices = space.largest.num_choices
        self.decoder = nn.Linear(self.state_size, sum(self.num_choices))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the decoder anew, uniform in plus or minus 1 / sqrt(H), PyTorch's own default."""
        bound = self.state_size**-0.5
        with torch.no_grad():
            for parameter in self.decoder.parameters():
                parameter.uniform_(-bound, bound, generator=generator)

    def state_loss(self, states: Tensor, architectures: Tensor) -> Tensor:
        """Mean cross-entropy of a decision, nats: log(choices) if the state knows nothing of it."""
        decoded = self.decoder(states).split(self.num_choices, dim=1)
        decisions = architectures.unbind(dim=1)
        terms = [
            F.cross_entropy(logits, actions)
            for logits, actions in zip(decoded, decisions, strict=False)
        ]
        return torch.stack(terms).mean()
