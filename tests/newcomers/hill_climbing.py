"""A controller of one's own: it keeps the best architecture it has seen and proposes variants."""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.controllers import Controller, Proposal
from nas_lightning.estimators.base import Evaluation
from nas_lightning.search_spaces.base import SearchSpace


class HillClimbing(Controller):
    """Every decision is that of the best architecture, or with probability `change` uniform."""

    best: Tensor
    reward: Tensor

    def __init__(self, *, space: SearchSpace, change: float) -> None:
        super().__init__()
        self.space, self.change = space, change
        longest = len(space.largest.decisions)  # of a growing space: the state has a fixed shape
        self.register_buffer("best", torch.zeros(longest, dtype=torch.int64))
        self.register_buffer("reward", torch.tensor(-torch.inf))  # in checkpoints, like `best`

    @property
    def learns(self) -> bool:
        return True

    def reset_parameters(self, generator: torch.Generator) -> None:
        self.best.copy_(self.space.largest.sample(1, generator)[0])
        self.reward.fill_(-torch.inf)

    def enter(self, space: SearchSpace) -> None:
        super().enter(space)
        self.reward.fill_(-torch.inf)  # the best of the smaller space is not the best of this one

    def ask(self, n: int, generator: torch.Generator) -> Proposal:
        uniform = self.space.sample(n, generator)
        changed = torch.rand(uniform.shape, generator=generator) < self.change
        best = self.best[: uniform.shape[1]].cpu()
        mixed = torch.where(changed, uniform, best)
        for t in range(uniform.shape[1]):  # where one option closes another, all are uniform
            is_open = self.space.open_options(mixed[:, :t]).gather(1, mixed[:, t : t + 1])
            mixed = torch.where(is_open, mixed, uniform)
        return Proposal(mixed.to(self.best.device))

    def tell(
        self,
        proposal: Proposal,
        rewards: Tensor,
        evaluation: Evaluation,
        generator: torch.Generator,
    ) -> None:
        m = rewards.nan_to_num(nan=-torch.inf).argmax()
        if rewards[m] > self.reward:
            self.best[: proposal.architectures.shape[1]] = proposal.architectures[m]
            self.reward.copy_(rewards[m])
