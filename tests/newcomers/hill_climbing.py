"""A controller of one's own: it keeps the best architecture it has seen and proposes variants."""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, Rollout
from nas_lightning.estimators.base import Evaluation
from nas_lightning.search_spaces.base import SearchSpace


class HillClimbing(Controller):
    """Every decision is that of the best architecture, or with probability `change` uniform."""

    best: Tensor
    reward: Tensor

    def __init__(self, *, space: SearchSpace, change: float) -> None:
        super().__init__()
        self.space, self.change = space, change
        decisions = len(space.largest.decisions)  # as many as a growing space will have
        self.register_buffer("best", torch.zeros(decisions, dtype=torch.int64))
        self.register_buffer("reward", torch.tensor(-torch.inf))  # in checkpoints, like `best`

    @property
    def learns(self) -> bool:
        return True

    def reset_parameters(self, generator: torch.Generator) -> None:
        self.best.copy_(self.space.largest.sample(1, generator)[0])
        self.reward.fill_(-torch.inf)

    def enter(self, space: SearchSpace) -> None:
        super().enter(space)
        self.reward.fill_(-torch.inf)  # of a smaller network; the next one judged is the best

    def sample(self, n: int, generator: torch.Generator) -> Rollout:
        uniform = self.space.sample(n, generator)
        changed = torch.rand(uniform.shape, generator=generator) < self.change
        best = self.best[: uniform.shape[1]].cpu()
        return self.evaluate(torch.where(changed, uniform, best).to(self.best.device))

    def evaluate(self, architectures: Tensor) -> Rollout:
        distributions = []
        for t, n in enumerate(self.space.largest.num_choices[: architectures.shape[1]]):
            p = torch.full((len(architectures), n), self.change / n, device=self.best.device)
            p[:, self.best[t]] += 1 - self.change
            distributions.append(p.log())
        return Rollout(
            architectures=architectures,
            log_probs=torch.stack(
                [
                    d.gather(1, architectures[:, t : t + 1])[:, 0]
                    for t, d in enumerate(distributions)
                ],
                dim=1,
            ),
            entropies=torch.stack([-(d.exp() * d).sum(dim=1) for d in distributions], 1),
            distributions=tuple(distributions),
        )

    def learn(self, rollout: Rollout, rewards: Tensor, evaluation: Evaluation) -> None:
        m = rewards.nan_to_num(nan=-torch.inf).argmax()
        if rewards[m] > self.reward:
            self.best[: rollout.architectures.shape[1]].copy_(rollout.architectures[m])
            self.reward.copy_(rewards[m])
