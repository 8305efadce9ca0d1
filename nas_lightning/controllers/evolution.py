"""Regularised evolution: winners of small tournaments have children, and the oldest die.

Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search", algorithm 1. The
architectures of the first population are uniform ones and count like all others. A child that has
been there before is a new individual. Asked for several at a time the parents of all are drawn from
the population as it is; one at a time is the published algorithm.

Where values of one epoch say nothing of another's (`renew`), and where the space grows, who is
there stays and is proposed once more before anything else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nas_lightning.controllers.base import AGAIN, GIVEN, UNIFORM, Controller, Origin, Proposal
from nas_lightning.errors import require, require_bool, require_number, require_whole
from nas_lightning.estimators.base import Evaluation
from nas_lightning.search_spaces import require_whole_ones
from nas_lightning.search_spaces.base import SearchSpace


class Evolution(Controller):
    """A population that evolves.

    Args:
        space: What is searched.
        population: How many are alive, P.
        sample: How many of them take part in a tournament, S.
        replacement: Whether one of them can take part twice.
        aging: Whether the oldest die; if not, the worst.
        warm_start: The first members, whole architectures, at most `population` of them; or None.
        mutation_rate: None: a child differs from its parent in one decision. Else as many decisions
            change one after the other as a draw for each of the T, with this probability, says; one
            at least.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    learns = True
    compares = True
    begins_with = ("population",)
    members: Tensor
    rewards: Tensor
    known: Tensor
    alive: Tensor

    def __init__(
        self,
        *,
        space: SearchSpace,
        population: int,
        sample: int,
        replacement: bool,
        aging: bool,
        mutation_rate: float | None,
        warm_start: Sequence[Sequence[int]] | None,
    ) -> None:
        super().__init__()
        require_whole("population", population, at_least=1)
        require_whole("sample", sample, at_least=1)
        require(sample <= population, "sample", sample, f"at most population={population}")
        require_bool("replacement", replacement)
        require_bool("aging", aging)
        if mutation_rate is not None:
            require_number("mutation_rate", mutation_rate, above=0, at_most=1)
        self.warm_start = require_whole_ones("warm_start", warm_start, space)[:population]
        self.space = space
        self.population = self.least_budget = population
        self.sample = sample
        self.replacement = replacement
        self.aging = aging
        self.mutation_rate = mutation_rate
        longest = len(space.largest.decisions)
        self.register_buffer("members", torch.zeros(population, longest, dtype=torch.int64))
        self.register_buffer("rewards", torch.zeros(population))
        self.register_buffer("known", torch.zeros(population, dtype=torch.bool))
        self.register_buffer("alive", torch.zeros((), dtype=torch.int64))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nobody is alive yet, but for who was given: they wait to be judged."""
        for state in (self.members, self.rewards, self.known, self.alive):
            state.zero_()
        given = len(self.warm_start)
        self.members[:given] = self.warm_start
        self.rewards[:given] = torch.nan  # never judged
        self.alive.fill_(given)

    def ask(self, n: int, generator: torch.Generator) -> Proposal:
        """Who has to be judged again, then uniform architectures until there are enough, children.

        See the base class.
        """
        alive, decisions = int(self.alive), len(self.space.decisions)
        waiting = (~self.known[:alive]).nonzero().flatten()[:n]
        again = self.members[waiting, :decisions]
        parents = self.known.nonzero().flatten()
        rest = n - len(again)
        first = min(rest, self.population - alive) if len(parents) else rest
        born = [self.space.sample(first, generator).to(again)]
        origins: list[Origin] = [GIVEN if new else AGAIN for new in self.rewards[waiting].isnan()]
        origins += [UNIFORM] * first
        if rest > first:
            winners = parents[self._tournaments(rest - first, self.rewards[parents], generator)]
            mutated = self.members[winners, :decisions]
            born.append(self._children(mutated, generator))
            origins += mutated.tolist()
        return Proposal(torch.cat([again, *born]), origins=origins)

    def candidates(self, n: int, generator: torch.Generator) -> Proposal:
        """The best who are alive, and children."""
        alive, decisions = int(self.alive), len(self.space.decisions)
        known = self.known[:alive].nonzero().flatten()
        best = known[self.rewards[known].argsort(descending=True, stable=True)]
        distinct = list(dict.fromkeys(map(tuple, self.members[best, :decisions].tolist())))
        kept = torch.tensor(distinct[:n], dtype=torch.int64).reshape(-1, decisions)
        children = self.ask(n, generator).architectures[: n - len(kept)]
        return Proposal(torch.cat([kept.to(children), children]))

    def tell(
        self,
        proposal: Proposal,
        rewards: Tensor,
        evaluation: Evaluation,
        generator: torch.Generator,
    ) -> None:
        """Those judged again get their new value, the others join; see the base class."""
        values = rewards.detach().nan_to_num(nan=-torch.inf)
        alive, given = int(self.alive), proposal.architectures.shape[1]
        waiting = (~self.known[:alive]).nonzero().flatten().tolist()
        rows = {w: self.members[w, :given].tolist() for w in waiting}
        joins = []
        for m, architecture in enumerate(proposal.architectures.tolist()):
            found = next((w for w in waiting if rows[w] == architecture), None)
            if found is None:
                joins.append(m)
                continue
            waiting.remove(found)
            self.rewards[found], self.known[found] = values[m], True
        self._join(self._completed(proposal.architectures[joins], generator), values[joins])
        if given < len(self.space.decisions):  # it has grown meanwhile: these are of smaller ones
            self.known.zero_()

    def enter(self, space: SearchSpace) -> None:
        """All are judged again: their values were those of smaller networks."""
        super().enter(space)
        self.known.zero_()

    def renew(self) -> None:
        """All are judged again."""
        self.known.zero_()

    def _tournaments(self, n: int, rewards: Tensor, generator: torch.Generator) -> Tensor:
        """The places in `rewards` of the winners of `n` tournaments."""
        size = min(self.sample, len(rewards))
        if self.replacement:
            drawn = torch.randint(len(rewards), (n, size), generator=generator)
        else:
            drawn = torch.rand(n, len(rewards), generator=generator).argsort(dim=1)[:, :size]
        drawn = drawn.to(rewards.device)
        return drawn.gather(1, rewards[drawn].argmax(dim=1, keepdim=True)).squeeze(1)

    def _children(self, parents: Tensor, generator: torch.Generator) -> Tensor:
        if self.mutation_rate is None:
            return self.space.mutate(parents, generator)
        draws = torch.rand(parents.shape, generator=generator) < self.mutation_rate
        changes = draws.sum(dim=1).clamp_min(1).to(parents.device)
        children = parents
        for change in range(int(changes.max())):
            more = (changes > change).unsqueeze(1)
            children = torch.where(more, self.space.mutate(children, generator), children)
        return children

    def _completed(self, architectures: Tensor, generator: torch.Generator) -> Tensor:
        """As long as members are: decisions still to come, in a space that grows, are drawn."""
        if architectures.shape[1] == self.members.shape[1]:
            return architectures
        return self.space.largest.complete(architectures, generator).to(architectures)

    def _join(self, born: Tensor, values: Tensor) -> None:
        """Who is new joins; of more than `population` the oldest or the worst die."""
        alive = int(self.alive)
        members = torch.cat([self.members[:alive], born])
        rewards = torch.cat([self.rewards[:alive], values.to(self.rewards)])
        known = torch.cat([self.known[:alive], torch.ones_like(values, dtype=torch.bool)])
        stay = torch.arange(len(members), device=members.device)
        if self.aging:
            stay = stay[-self.population :]
        else:
            order = torch.where(known, rewards, -torch.inf).argsort(descending=True, stable=True)
            stay = order[: self.population].sort().values
        self.alive.fill_(len(stay))
        self.members[: len(stay)] = members[stay]
        self.rewards[: len(stay)] = rewards[stay]
        self.known[: len(stay)] = known[stay]
