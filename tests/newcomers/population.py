"""A controller of one's own: a population that evolves. It has no likelihood, and needs none."""

import torch
from torch import Generator, Tensor

from nas_lightning.controllers import Controller, Proposal
from nas_lightning.estimators.base import Evaluation
from nas_lightning.search_spaces.base import SearchSpace


class Population(Controller):
    """Winners of small tournaments have children, and the oldest die (Real et al. 2019)."""

    members: Tensor  # oldest first; of fixed shape, like `rewards`, and so in every checkpoint
    rewards: Tensor
    learns = True

    def __init__(self, *, space: SearchSpace, size: int, tournament: int) -> None:
        super().__init__()
        self.space, self.tournament = space, tournament
        members = torch.zeros(size, len(space.largest.decisions), dtype=torch.int64)
        self.register_buffer("members", members)
        self.register_buffer("rewards", torch.zeros(size))

    def reset_parameters(self, generator: Generator) -> None:
        self.members.copy_(self.space.largest.sample(len(self.members), generator))
        self.rewards.fill_(-torch.inf)  # not judged yet

    def ask(self, n: int, generator: Generator) -> Proposal:
        drawn = torch.randint(len(self.members), (n, self.tournament), generator=generator)
        drawn = drawn.to(self.members.device)
        winners = drawn.gather(1, self.rewards[drawn].argmax(dim=1, keepdim=True)).squeeze(1)
        parents = self.members[winners, : len(self.space.decisions)]
        return Proposal(self.space.mutate(parents, generator))

    def enter(self, space: SearchSpace) -> None:
        super().enter(space)
        self.rewards.fill_(-torch.inf)  # they were those of smaller networks

    def tell(
        self, proposal: Proposal, rewards: Tensor, evaluation: Evaluation, generator: Generator
    ) -> None:
        born = self.space.largest.sample(len(rewards), generator).to(self.members)
        born[:, : proposal.architectures.shape[1]] = proposal.architectures
        self.members.copy_(torch.cat([self.members, born])[-len(self.members) :])
        self.rewards.copy_(torch.cat([self.rewards, rewards])[-len(self.members) :])
