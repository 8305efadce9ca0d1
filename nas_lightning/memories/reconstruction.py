"""Reconstruction: every decision can be read off the final state.

Replay asks for the next decision, which nearly independent decisions make answerable without any
memory. Here all T decisions are asked for at the end, so the state has to carry them there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.controllers.base import Policy
from nas_lightning.memories.states import StateMemory


class Reconstruction(StateMemory):
    """Cross-entropy of all decisions, decoded linearly from the final state."""

    def _allocate(self, policy: Policy) -> None:
        self.num_choices = policy.space.largest.num_choices
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
