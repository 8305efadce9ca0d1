"""The one way in which an architecture is judged, whatever for.

Every phase of a search comes here: the estimator judges, the reward is computed, the cost is
counted, the ledger gets its rows, and the incumbents are offered what may be the best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Literal

from torch import Tensor

from nas_lightning.controllers.base import Origin
from nas_lightning.data.base import Batch
from nas_lightning.engine.expenses import FORWARD, Expenses
from nas_lightning.engine.incumbents import Incumbents
from nas_lightning.errors import Remedy, UserError
from nas_lightning.estimators.base import Estimator, Evaluation
from nas_lightning.metrics import measuring
from nas_lightning.rewards import Reward
from nas_lightning.runs.ledger import Ledger
from nas_lightning.runs.records import finite

Purpose = Literal["controller", "candidate", "uniform", "finalist", "beside"]
"""What an architecture is judged for."""

CONTROLS = ("uniform", "beside")
"""What nobody has proposed: it is compared with, and never becomes incumbent."""


class Judge:
    """Judges, rewards, counts, writes down, and keeps the best.

    Args:
        estimator: What judges.
        reward: What a controller is told.
        ledger: Where every architecture judged is written.
        counters: The search's counters, of which `architectures_judged` is kept here.
        grow: Told after every judging how many architectures have been judged.
        precision: The context in which child networks compute.
        seed: Of the run, for the ledger.

    Raises:
        UserError: If the estimator does not measure what the reward needs.
    """

    def __init__(
        self,
        *,
        estimator: Estimator,
        reward: Reward,
        ledger: Ledger,
        counters: dict[str, int],
        grow: Callable[[int], None],
        precision: Callable[[], AbstractContextManager[None]],
        seed: int,
    ) -> None:
        require_given(reward, estimator)
        self.estimator = estimator
        self.reward = reward
        self.ledger = ledger
        self.counters = counters
        self.grow = grow
        self.precision = precision
        self.seed = seed
        self.spent = 0.0
        """What judging has cost so far, in the estimator's unit."""
        counted = estimator.shared if estimator.uses_batches else None
        self.expenses = Expenses(counted)
        self.incumbents = Incumbents(objective=estimator.objective)

    def __call__(
        self,
        architectures: Tensor,
        batches: Sequence[Batch],
        purpose: Purpose,
        origins: Sequence[Origin | None] | None = None,
    ) -> tuple[Evaluation, Tensor]:
        """Judge architectures `(M, T)`; returns the evaluation and the rewards `(M,)`.

        Args:
            architectures: int64 `(M, T)`.
            batches: Minibatches on which they are judged.
            purpose: What for.
            origins: Where each is from, for the ledger; see `Proposal`.

        Raises:
            TypeError: If the estimator gives a metric that it does not declare.
        """
        architectures = architectures.cpu()
        with self.precision():
            evaluation = self.estimator.evaluate(architectures, batches)
        # From here on it is told, written and compared: on the processor, read once.
        found = {name: values.cpu() for name, values in evaluation.metrics.items()}
        evaluation = replace(evaluation, metrics=found)
        self._require_declared(evaluation)
        rewards = self.reward(evaluation)
        self.spent += evaluation.cost
        self.expenses.of_networks(architectures, batches, FORWARD)
        self._write_down(architectures, evaluation, rewards, purpose, origins)
        self.counters["architectures_judged"] += len(architectures)
        if self.estimator.comparable and purpose not in CONTROLS:
            epoch = self.counters["epoch"]
            self.incumbents.offer(architectures, evaluation, epoch=epoch)
        self.grow(self.counters["architectures_judged"])
        return evaluation, rewards

    def _write_down(
        self,
        architectures: Tensor,
        evaluation: Evaluation,
        rewards: Tensor,
        purpose: Purpose,
        origins: Sequence[Origin | None] | None,
    ) -> None:
        columns = {name: values.tolist() for name, values in evaluation.metrics.items()}
        judged = self.counters["architectures_judged"]
        self.ledger.record(
            {
                "number": judged + m,
                "purpose": purpose,
                "epoch": self.counters["epoch"],
                "child_step": self.counters["child_step"],
                "controller_step": self.counters["controller_step"],
                "seed": self.seed,
                "actions": actions,
                "status": evaluation.status[m],
                "reward": reward,
                "kind": evaluation.kind,
                "metrics": {name: finite(values[m]) for name, values in columns.items()},
                **({"origin": origins[m]} if origins and origins[m] is not None else {}),
            }
            for m, (actions, reward) in enumerate(
                zip(architectures.tolist(), rewards.tolist(), strict=True)
            )
        )

    def _require_declared(self, evaluation: Evaluation) -> None:
        declared = {m.name for m in (*self.estimator.metrics, *self.estimator.cost_metrics)}
        unknown = sorted(evaluation.metrics.keys() - declared)
        if unknown:
            raise TypeError(
                f"{type(self.estimator).__name__} gives {unknown[0]}, and does not declare it: "
                "its name, unit and direction must stand in metrics or cost_metrics"
            )


def require_given(reward: Reward, estimator: Estimator) -> None:
    """Raise UserError unless the estimator measures what the reward needs."""
    known = [metric.name for metric in (*estimator.metrics, *estimator.cost_metrics)]
    if reward.metric is not None and measuring(reward.metric, known) is None:
        raise UserError(
            f"reward: needs {reward.metric}, and the child networks give {', '.join(known)}",
            Remedy.ANOTHER_REWARD,
        )
