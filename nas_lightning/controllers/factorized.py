"""The policy without recurrence: for every decision a distribution, independent of all others.

It has no state and cannot condition a decision on those before it. What a recurrent controller
does better than this one is what conditioning is good for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas_lightning.controllers.policy import SequentialPolicy, State
from nas_lightning.search_spaces.base import SearchSpace


class FactorizedPolicy(SequentialPolicy):
    """Independent logits for every decision.

    Where options are closed by earlier decisions, the rest of the distribution is scaled up to one:
    that is the only influence of one decision on another.

    Args:
        space: What is searched; logits are allocated for its largest form.
        init_range: The logits start uniform in plus or minus this.
        temperature: Divides the logits; None for 1.
        tanh_constant: Squashes the logits into plus or minus this; None for no squashing.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        init_range: float,
        temperature: float | None,
        tanh_constant: float | None,
    ) -> None:
        super().__init__(
            space=space,
            init_range=init_range,
            temperature=temperature,
            tanh_constant=tanh_constant,
        )
        self.logits = nn.ParameterList(
            torch.zeros(choices) for choices in space.largest.num_choices
        )

    def _start(self, n: int) -> State:
        return []

    def _logits(self, t: int, state: State) -> Tensor:
        logits: Tensor = self.logits[t]
        return logits.unsqueeze(0)

    def _advance(self, t: int, action: Tensor, state: State) -> State:
        return []
