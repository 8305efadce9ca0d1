"""The end of an epoch: candidates are judged, the best is kept, and the epoch is summed up.

Where numbers of different moments can be compared the best ever judged is known already, for
`Judge` offers all it judges to the incumbents; else it is chosen here, among finalists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas_lightning.analysis.diversity import kl_to_uniform
from nas_lightning.controllers.base import Controller, Proposal, Rollout
from nas_lightning.data.base import Batch
from nas_lightning.engine.judge import Judge
from nas_lightning.errors import Remedy, UserError, require_whole
from nas_lightning.generators import Generators
from nas_lightning.search_spaces import SearchSpace, require_architecture


@dataclass(frozen=True)
class Derived:
    """What a derivation has come to.

    Attributes:
        candidates: The architectures proposed, as they were drawn, `(M, T)`.
        values: Their values of the objective, `(M,)`.
        numbers: What is recorded.
    """

    candidates: Tensor
    values: Tensor
    numbers: dict[str, Tensor | float]


class Derivation:
    """Derives the best architecture.

    Args:
        controller: What proposes.
        judge: What judges.
        generators: All randomness.
        candidates: Architectures that are proposed for it.
        controller_steps: Steps that an epoch spares where a controller does not learn: what they
            would have cost is spent on more candidates.
        architectures_per_step: How many a step would have judged, on a minibatch.
        candidate_minibatches: Consecutive validation minibatches on which they are judged.
        finalists: Candidates that are judged again, on the whole validation split, beside the best
            architecture so far.
        uniform_candidates: Uniform architectures judged beside the candidates, to see whether the
            controller proposes better ones.
        beside: The actions of one made by hand, that is judged as the best is; or None.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        controller: Controller,
        judge: Judge,
        generators: Generators,
        candidates: int,
        controller_steps: int,
        architectures_per_step: int,
        candidate_minibatches: int,
        finalists: int,
        uniform_candidates: int,
        beside: Sequence[int] | None,
    ) -> None:
        require_whole("candidates", candidates, at_least=1)
        require_whole("candidate_minibatches", candidate_minibatches, at_least=1)
        require_whole("finalists", finalists, at_least=1)
        require_whole("uniform_candidates", uniform_candidates, at_least=1)
        if beside is not None:
            require_architecture("beside", beside, controller.space)
        self.controller = controller
        self.judge = judge
        self.generators = generators
        self.candidates = candidates
        self.spared = controller_steps * architectures_per_step
        self.candidate_minibatches = candidate_minibatches
        self.finalists = finalists
        self.uniform_candidates = uniform_candidates
        self.beside = beside

    def __call__(self, batches: Sequence[Batch]) -> Derived:
        """Derive on the whole validation split.

        Raises:
            UserError: If the shared weights have diverged.
        """
        space, comparable = self.controller.space, self.judge.estimator.comparable
        few = self._consecutive(batches)
        candidates = self.candidates + self.spared // max(1, len(few))
        proposal = self.controller.candidates(candidates, self.generators("candidates"))
        proposed = proposal.architectures.cpu()
        distinct, place, counts = torch.unique(
            proposed, dim=0, return_inverse=True, return_counts=True
        )
        evaluation, rewards = self.judge(distinct, few, "candidate")
        # Where numbers of different moments can be compared, one uniform sample serves them all.
        draw = self.generators.constant if comparable else self.generators
        uniform = space.sample(self.uniform_candidates, draw("uniform candidates"))
        _, uniform_rewards = self.judge(uniform, few, "uniform")
        if not comparable:
            self._choose_among(distinct[evaluation.ranking()[: self.finalists]], batches)
        best = self.judge.incumbents.best
        assert best is not None
        drawn = {name: v.repeat_interleave(counts) for name, v in evaluation.metrics.items()}
        numbers: dict[str, Tensor | float] = {
            **{f"derive/best_{name}": value for name, value in best["metrics"].items()},
            **spread(drawn),
            "derive/failed": evaluation.values.isnan().repeat_interleave(counts).sum(),
            **advantage(rewards.repeat_interleave(counts), uniform_rewards),
            **of_policy(proposal, space),
            "derive/unique_fraction": len(distinct) / len(place),
            "derive/decisions": float(len(space.decisions)),
            **self._beside(distinct, batches),
            f"derive/{evaluation.cost_unit}_spent": self.judge.spent,
            **self.judge.expenses.numbers(),
        }
        return Derived(proposed, evaluation.values[place], numbers)

    def _consecutive(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Some consecutive minibatches from a random place, or all where there are no more."""
        n = self.candidate_minibatches
        last = max(0, len(batches) - n)
        start = int(torch.randint(last + 1, (), generator=self.generators("validation place")))
        return batches[start : start + n]

    def _beside(self, like: Tensor, batches: Sequence[Batch]) -> dict[str, Tensor | float]:
        """How the one made by hand does, on the data on which the best was chosen."""
        if self.beside is None:
            return {}
        evaluation, _ = self.judge(like.new_tensor([self.beside]), batches, "beside")
        return {f"derive/beside_{name}": value[0] for name, value in evaluation.metrics.items()}

    def _choose_among(self, finalists: Tensor, batches: Sequence[Batch]) -> None:
        """Judge finalists and the best so far on all of `batches`, and keep the best of them."""
        incumbents = self.judge.incumbents
        before = incumbents.clear()
        if before is not None:
            best_so_far = finalists.new_tensor([before["actions"]])
            evaluation, _ = self.judge(best_so_far, batches, "finalist")
            incumbents.offer(best_so_far, evaluation, epoch=before["found_in_epoch"])
            others = [actions != before["actions"] for actions in finalists.tolist()]
            finalists = finalists[others]
        if len(finalists) > 0:
            evaluation, _ = self.judge(finalists, batches, "finalist")
            incumbents.offer(finalists, evaluation, epoch=self.judge.counters["epoch"])
        if math.isnan(incumbents.value):
            raise UserError(
                "the shared weights have diverged: no architecture has a finite score",
                Remedy.SMALLER_STEPS,
            )


def spread(drawn: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean, standard deviation and median of what was proposed, of every metric `(M,)`.

    The median is of those that have the metric: NaN, of what has failed, is left out of it alone.
    """
    found = {}
    for name, values in drawn.items():
        found[f"derive/{name}_mean"] = values.mean()
        found[f"derive/{name}_std"] = values.std(correction=0)
        found[f"derive/{name}_median"] = values.nanmedian()
    return found


def advantage(rewards: Tensor, uniform: Tensor) -> dict[str, Tensor]:
    """How much more reward the proposed architectures get than uniform ones `(M,)`, on average."""
    noise = rewards.var(correction=0) / len(rewards) + uniform.var(correction=0) / len(uniform)
    return {
        "derive/reward": rewards.mean(),
        "derive/reward_minus_uniform": rewards.mean() - uniform.mean(),
        "derive/reward_minus_uniform_se": noise.sqrt(),
    }


def of_policy(proposal: Proposal, space: SearchSpace) -> dict[str, Tensor | float]:
    """How sure of itself the policy is that has proposed; nothing where there is no policy."""
    if not isinstance(proposal, Rollout):
        return {}
    return {
        "derive/kl_to_uniform": kl_to_uniform(
            proposal.architectures, proposal.distributions, proposal.entropies, space
        ),
        "derive/entropy": proposal.entropies.sum(dim=1).mean(),
    }
