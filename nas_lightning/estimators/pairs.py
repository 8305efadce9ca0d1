"""A task without data on which only combinations of decisions pay: does a controller find them?

On a task with one best architecture each decision can be learned by itself, and a policy that
ignores its own past does as well as any. Here every option of a decision is as good as any other,
as long as a later decision repeats it. A policy of independent decisions can only win by giving up
its entropy; one that conditions keeps it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from nas_lightning.data.base import Batch
from nas_lightning.errors import Remedy, UnfitError, require_whole
from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.metrics import Metric, require_declared
from nas_lightning.search_spaces.base import SearchSpace


class Pairs(Estimator):
    """Accuracy is the share of the pairs of decisions that have chosen the same option.

    Of the k decisions of a kind that have the same options, number i is paired with number
    i + k // 2, far away. Pairs that a growing space has not reached yet count as missed.

    With P pairs of n options each the policy that maximises reward + w * entropy repeats an option
    with probability `e / (e + n - 1)`, `e = exp(1 / (P w))`; a policy of independent uniform
    decisions does so with probability 1 / n.

    Args:
        space: What is searched; of a growing one its largest form counts.
        controller_steps: Controller steps an epoch.
        objective: `accuracy`.

    Raises:
        ValueError: If an argument is outside what is allowed, or the space has no such pairs.
    """

    comparable = True
    uses_batches = False
    metrics = (Metric(name="accuracy", unit="share of pairs", direction="more"),)

    def __init__(self, *, space: SearchSpace, controller_steps: int, objective: str) -> None:
        super().__init__()
        require_whole("controller_steps", controller_steps, at_least=0)
        self.objectives = (require_declared("objective", objective, self.metrics),)
        self.phases = Phases(child_steps=0, controller_steps=controller_steps)
        kinds: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for t, decision in enumerate(space.largest.decisions):
            if len(decision.choices) > 1:
                kinds[decision.kind, *decision.choices].append(t)
        self.pairs = [
            pair
            for places in kinds.values()
            for pair in zip(places[: len(places) // 2], places[len(places) // 2 :], strict=False)
        ]
        if not self.pairs:
            raise UnfitError(
                "no two decisions of this search space have the same options", Remedy.FROM_SCRATCH
            )

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing is random here."""

    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        """Count the pairs; see the base class."""
        right = torch.zeros(len(architectures), device=architectures.device)
        for one, other in self.pairs:
            if other < architectures.shape[1]:
                right += architectures[:, one] == architectures[:, other]
        return Evaluation(
            metrics={"accuracy": right / len(self.pairs)},
            kind="exact",
            objectives=self.objectives,
            status=["ok"] * len(architectures),
            cost=0.0,
            cost_unit="epochs",
        )
