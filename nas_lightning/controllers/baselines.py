"""Baselines: what rewards are compared with before they weigh log-probabilities (Williams 1992).

A baseline turns rewards into advantages. It may use anything but the very decision it is subtracted
for, or the gradient is biased.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from nas_lightning.errors import require_number, require_one_of, require_whole


class Baseline(nn.Module, ABC):
    """Turns rewards into advantages."""

    min_architectures: int = 1
    """How many architectures a step must judge for the baseline to work."""

    @abstractmethod
    def forward(self, rewards: Tensor) -> Tensor:
        """Advantages `(M,)` of rewards `(M,)` that were measured together."""

    def reset(self) -> None:
        """Forget the past: the rewards to come are of another kind."""


class LeaveOneOut(Baseline):
    """A_m = R_m - mean of the others' rewards on the same minibatch (Kool et al. 2019).

    Unbiased, without state; what the minibatch does to all rewards alike cancels.
    """

    min_architectures = 2

    def forward(self, rewards: Tensor) -> Tensor:
        """See the base class; needs M >= 2."""
        n = len(rewards)
        return (rewards - rewards.mean()) * (n / (n - 1))


class Permuted(LeaveOneOut):
    """Leave-one-out on rewards that went to the wrong architectures: a control.

    Step s hands the reward of architecture m to architecture m + s (modulo M). Over M steps each
    gets every reward of its rollout once, its own included, so that in expectation nothing can be
    learned, while advantages are as large as ever: what such a controller shows is what noise
    alone does to a policy, and to the weights that serve it.
    """

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, rewards: Tensor) -> Tensor:
        """See the base class; needs M >= 2."""
        places = torch.arange(len(rewards), device=rewards.device)
        shuffled = rewards[(places - self.steps) % len(rewards)]
        self.steps += 1
        return super().forward(shuffled)


class MovingAverage(Baseline):
    """A_m = R_m - b, with b an exponential moving average of past mean rewards.

    Args:
        decay: b <- decay * b + (1 - decay) * mean(R). 0.95 in Adam & Lorraine's code.
        update: `after` the advantage is taken, which leaves the gradient unbiased; `before` is
            the variant of the published ENAS code, in which each reward is part of what is
            subtracted from it: the expected gradient of M architectures a step is shrunk to
            1 - (1 - decay) / M, with one to `decay`.
        reset_every: Forget b after so many steps; the published ENAS code does at every epoch.
            None for never.

    The first step has no past: b starts as its mean reward.
    """

    value: Tensor
    steps: Tensor

    def __init__(
        self, *, decay: float, update: Literal["before", "after"], reset_every: int | None
    ) -> None:
        super().__init__()
        require_number("decay", decay, at_least=0, below=1)
        require_one_of("update", update, ("before", "after"))
        if reset_every is not None:
            require_whole("reset_every", reset_every, at_least=1)
        self.decay = decay
        self.update = update
        self.reset_every = reset_every
        self.register_buffer("value", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, rewards: Tensor) -> Tensor:
        """See the base class. Updates the average."""
        mean = rewards.mean()
        first = self.steps == 0 if self.reset_every is None else self.steps % self.reset_every == 0
        old = torch.where(first, mean, self.value)
        new = self.decay * old + (1 - self.decay) * mean
        self.value.copy_(new)
        self.steps += 1
        return rewards - (new if self.update == "before" else old)

    def reset(self) -> None:
        """Begin the average anew."""
        self.steps.zero_()
