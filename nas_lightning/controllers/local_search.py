"""Local search: from an architecture to a better neighbour, and anew from where none is better.

White et al. 2021, "Exploring the Loss Landscape in Neural Architecture Search": the first better
neighbour is taken (their default is the best of all). Neighbours differ in one decision. They are
proposed in random order, each once; when none was better the search starts from the best of the
next uniform architectures that it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nas_lightning.controllers.base import GIVEN, Controller, Proposal
from nas_lightning.estimators.base import Evaluation
from nas_lightning.search_spaces import neighbours_of, require_whole_ones
from nas_lightning.search_spaces.base import SearchSpace


class LocalSearch(Controller):
    """Hill climbing with restarts.

    Args:
        space: What is searched.
        warm_start: Whole architectures, at the first of which it begins; or None.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    learns = True
    compares = True
    here: Tensor
    reward: Tensor
    best: Tensor
    best_reward: Tensor
    known: Tensor
    order: Tensor
    tried: Tensor

    def __init__(self, *, space: SearchSpace, warm_start: Sequence[Sequence[int]] | None) -> None:
        super().__init__()
        self.warm_start = require_whole_ones("warm_start", warm_start, space)[:1]
        self.space = space
        longest = space.largest.num_choices
        self.register_buffer("here", torch.zeros(len(longest), dtype=torch.int64))
        self.register_buffer("reward", torch.tensor(-torch.inf))
        # Of all places at which it has stood, by the rewards of this epoch where those change.
        self.register_buffer("best", torch.zeros(len(longest), dtype=torch.int64))
        self.register_buffer("best_reward", torch.tensor(-torch.inf))
        self.register_buffer("known", torch.tensor(data=False))
        # In which order the neighbours are tried: of random keys, as many as there may be.
        self.register_buffer("order", torch.zeros(sum(n - 1 for n in longest)))
        self.register_buffer("tried", torch.tensor(-1))  # -1: nowhere yet, or nothing better here

    def reset_parameters(self, generator: torch.Generator) -> None:
        """It is nowhere yet, or where it was given, which is to be judged."""
        self.here.zero_()
        self.reward.fill_(-torch.inf)
        self.known.fill_(False)
        self.order.zero_()
        self.tried.fill_(-1)
        if len(self.warm_start):
            self.here.copy_(self.warm_start[0])
            self.best.copy_(self.here)
            self.best_reward.fill_(-torch.inf)
            self.order.copy_(torch.rand(len(self.order), generator=generator))
            self.tried.zero_()

    def ask(self, n: int, generator: torch.Generator) -> Proposal:
        """Where it stands, if that is to be judged again; neighbours; then uniform architectures.

        See the base class.
        """
        planned = self._planned()[:n]
        uniform = self.space.sample(n - len(planned), generator)
        begins = len(planned) > 0 and not bool(self.known) and bool(self.best_reward.isinf())
        origins = [GIVEN, *[None] * (n - 1)] if begins and len(self.warm_start) else None
        return Proposal(torch.cat([planned, uniform.to(planned)]), origins=origins)

    def candidates(self, n: int, generator: torch.Generator) -> Proposal:
        """The best place at which it has stood, and what it would propose next."""
        asked = self.ask(n, generator).architectures
        if int(self.tried) < 0:
            return Proposal(asked)
        best = self.best[: asked.shape[1]].unsqueeze(0)
        return Proposal(torch.cat([best, asked])[:n])

    def tell(
        self,
        proposal: Proposal,
        rewards: Tensor,
        evaluation: Evaluation,
        generator: torch.Generator,
    ) -> None:
        """Move to the best that is better than where it stands; see the base class."""
        values = rewards.detach().nan_to_num(nan=-torch.inf).to(self.reward)
        architectures, longest = proposal.architectures, len(self.here)
        if int(self.tried) >= 0:
            planned = self._planned()
            known = min(len(planned), len(architectures))
            if known and not bool(self.known):
                self.reward.copy_(values[0])
                self.known.fill_(True)
                if bool(self.best_reward.isinf()):  # nothing better is known
                    self._note_best()
                values, architectures, known = values[1:], architectures[1:], known - 1
            self.tried += known
            if known < len(architectures):  # all neighbours were tried: from here on anew
                better = values[:known] > self.reward
                if not bool(better.any()):
                    values, architectures = values[known:], architectures[known:]
                    self.reward.fill_(-torch.inf)
        if len(values) == 0:
            return
        best = int(values.argmax())
        if not bool(values[best] > self.reward):
            return
        moved = architectures[best : best + 1]
        if moved.shape[1] < longest:
            moved = self.space.largest.complete(moved, generator).to(moved)
        self.here.copy_(moved[0])
        self.reward.copy_(values[best])
        self.known.fill_(architectures.shape[1] == len(self.space.decisions))
        self.order.copy_(torch.rand(len(self.order), generator=generator))
        self.tried.zero_()
        self._note_best()

    def enter(self, space: SearchSpace) -> None:
        """It goes on from the best place, which is judged again and has new neighbours."""
        super().enter(space)
        self.renew()

    def renew(self) -> None:
        """Where it stands is judged again, and so are its neighbours."""
        self.known.fill_(False)
        self.tried.clamp_(max=0)

    def _note_best(self) -> None:
        if bool(self.known) and bool(self.reward > self.best_reward):
            self.best.copy_(self.here)
            self.best_reward.copy_(self.reward)

    def _planned(self) -> Tensor:
        """What is proposed before anything uniform, in its order."""
        decisions = len(self.space.decisions)
        here = self.here[:decisions].unsqueeze(0)
        if int(self.tried) < 0:
            return here[:0]
        around = neighbours_of(self.space, here)
        around = around[self.order[: len(around)].argsort(stable=True)][int(self.tried) :]
        return around if bool(self.known) else torch.cat([here, around])
