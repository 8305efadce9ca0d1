"""The policy without recurrence: for every decision a distribution, independent of all others.

It has no state and cannot condition a decision on those before it. What a recurrent controller
does better than this one is what conditioning is good for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas_lightning.controllers.policy import SequentialPolicy, State


class FactorizedPolicy(SequentialPolicy):
    """Independent logits for every decision.

    Where options are closed by earlier decisions, the rest of the distribution is scaled up to one:
    that is the only influence of one decision on another.
    """

    def _allocate(self) -> None:
        self.logits = nn.ParameterList(
            torch.zeros(choices) for choices in self.space.largest.num_choices
        )

    def _start(self, n: int) -> State:
        return []

    def _logits(self, t: int, state: State) -> Tensor:
        logits: Tensor = self.logits[t]
        return logits.unsqueeze(0)

    def _advance(self, t: int, action: Tensor, state: State) -> State:
        return []
