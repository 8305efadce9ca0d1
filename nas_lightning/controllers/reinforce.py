"""REINFORCE (Williams 1992): the learner that trains a policy by the policy gradient.

What is drawn from (`policy.py`) and how it is trained are apart: any policy can be trained here,
and a policy without a learner is the untrained one.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, Policy, Proposal, Rollout
from nas_lightning.controllers.baselines import Baseline
from nas_lightning.errors import require_number, require_one_of, require_optimizer
from nas_lightning.estimators.base import Evaluation, OptimizerFactory
from nas_lightning.search_spaces.base import SearchSpace

EntropyIn = Literal["loss", "reward_per_step"]


class Reinforce(Controller):
    """Proposes what its policy draws, and moves the policy towards what was rewarded.

    Args:
        policy: What is trained.
        baseline: Turns rewards into advantages.
        optimizer: Makes the optimizer of the policy's parameters.
        entropy_weight: Weight of the entropy bonus, per nat.
        entropy_in: Where the bonus enters; see `policy_gradient_loss`.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        baseline: Baseline,
        optimizer: OptimizerFactory,
        entropy_weight: float,
        entropy_in: EntropyIn,
    ) -> None:
        super().__init__()
        require_optimizer("optimizer", optimizer)
        require_number("entropy_weight", entropy_weight, at_least=0)
        require_one_of("entropy_in", entropy_in, ("loss", "reward_per_step"))
        if not list(policy.parameters()):
            raise ValueError(
                f"policy={type(policy).__name__} is not allowed: must have parameters to train"
            )
        self.policy = policy
        self.space = policy.space
        self.baseline = baseline
        self.make_optimizer = optimizer
        self.min_proposals = baseline.min_architectures
        self.entropy_weight = entropy_weight
        self.entropy_in: EntropyIn = entropy_in

    @property
    def learns(self) -> bool:
        """Always."""
        return True

    @property
    def as_policy(self) -> Policy:
        """What it trains."""
        return self.policy

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the policy's parameters anew, and forget past rewards."""
        self.policy.reset_parameters(generator)
        self.baseline.reset()

    def enter(self, space: SearchSpace) -> None:
        """Propose from the grown space; the baseline knew rewards of the smaller one only."""
        super().enter(space)
        self.policy.enter(space)
        self.baseline.reset()

    def ask(self, n: int, generator: torch.Generator) -> Rollout:
        """What the policy draws, with its gradient."""
        return self.policy.ask(n, generator)

    def tell(
        self,
        proposal: Proposal,
        rewards: Tensor,
        evaluation: Evaluation,
        generator: torch.Generator,
    ) -> Tensor:
        """The policy-gradient loss of what was asked."""
        assert isinstance(proposal, Rollout)
        return policy_gradient_loss(
            proposal,
            self.baseline(rewards),
            entropy_weight=self.entropy_weight,
            entropy_in=self.entropy_in,
        )


def policy_gradient_loss(
    rollout: Rollout, advantages: Tensor, *, entropy_weight: float, entropy_in: EntropyIn
) -> Tensor:
    """The scalar whose gradient is REINFORCE's estimate, to be minimised.

    With A_m the advantage and H_t the entropy of decision t:

        loss              -mean_m(A_m sum_t log p_t) - w mean_m sum_t H_t
        reward_per_step   -mean_m sum_t (A_m + w H_t) log p_t, H_t a constant: the variant of the
                          published ENAS code. H_t depends on earlier decisions only, so the bonus
                          acts as a baseline and its expected gradient is exactly zero.

    The exact gradient of the entropy of whole architectures also has a term for the way decisions
    lead to more or less certain later ones; it is left out, as is usual.

    Args:
        rollout: The judged architectures, with gradients.
        advantages: `(M,)`, without gradient.
        entropy_weight: w.
        entropy_in: One of the two variants.
    """
    if entropy_in == "reward_per_step":
        per_step = advantages.unsqueeze(1) + entropy_weight * rollout.entropies.detach()
        return -(per_step * rollout.log_probs).sum(dim=1).mean()
    reinforce = -(advantages * rollout.log_probs.sum(dim=1)).mean()
    return reinforce - entropy_weight * rollout.entropies.sum(dim=1).mean()
