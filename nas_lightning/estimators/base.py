"""The contract of an estimator: the only door through which an architecture is judged.

An estimator knows neither who asks nor what the answer is for. A reward is a function of its
`Evaluation`; which architecture is best follows from a declared metric, not from the reward.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.metrics import Metric, measuring
from nas_lightning.search_spaces.child import ChildNetwork

Kind = Literal["shared", "proxy", "final", "exact"]
"""What a number was measured on: shared weights, short training, full training; or it is known."""


@dataclass(frozen=True)
class Evaluation:
    """What is known about M architectures after they were judged together.

    Attributes:
        metrics: Name -> values `(M,)`. Losses are nats per target.
        kind: What the numbers were measured on.
        objectives: What says which architecture is better: one metric, or several.
        status: For each architecture `ok`, or in a word what went wrong.
        cost: What judging them cost, all M together, in `cost_unit`.
        cost_unit: `tokens`, `images`, `epochs`, or `calls` of a function.
    """

    metrics: Mapping[str, Tensor]
    kind: Kind
    objectives: tuple[Metric, ...]
    status: Sequence[str]
    cost: float
    cost_unit: str

    @property
    def objective(self) -> Metric:
        """The first of the objectives."""
        return self.objectives[0]

    @property
    def values(self) -> Tensor:
        """Values of the objective, `(M,)`."""
        return self.metrics[self.objective.name]

    def of(self, quantity: str) -> Tensor:
        """Values `(M,)` of a quantity such as `accuracy`, after whatever budget.

        Raises:
            KeyError: If it was not measured.
        """
        return self.metrics[measuring(quantity, self.metrics) or quantity]

    def ranking(self) -> Tensor:
        """Numbers of the M architectures, best first by the objective, `(M,)`; NaN comes last."""
        return self.objective.gains(self.values).argsort(descending=True, stable=True)


@dataclass(frozen=True)
class Phases:
    """What an epoch consists of, beside the derivation at its end.

    Attributes:
        child_steps: Training steps of the shared weights.
        controller_steps: Steps in which a rollout is judged and the controller learns.
    """

    child_steps: int
    controller_steps: int


OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
"""Makes an optimizer from the parameters it shall step."""


class Estimator(nn.Module, ABC):
    """Judges architectures.

    One whose weights are trained in a child phase also sets `make_optimizer` and overrides
    `training_loss`.

    Attributes:
        phases: The steps of an epoch.
        comparable: Whether numbers of different moments can be compared. Under shared weights, that
            change, they cannot.
        trains: Whether child networks are trained to judge architectures.
        uses_batches: Whether `evaluate` looks at the batches it is given.
        metrics: What it declares to measure; among them are the objectives.
        cost_metrics: What it knows of an architecture without judging it.
        objectives: By which architectures are compared: one metric, or several.
        make_optimizer: Makes the optimizer of the child phase; None where there is none.
        gradient_clip: Norm to which the child phase's gradients are scaled down, or None.
        processes: How many processes of this machine may judge at a time, this one included.
    """

    phases: Phases
    comparable: bool = False
    trains: bool = False
    uses_batches: bool = True
    metrics: tuple[Metric, ...]
    cost_metrics: tuple[Metric, ...] = ()
    objectives: tuple[Metric, ...]
    make_optimizer: OptimizerFactory | None = None
    gradient_clip: float | None = None
    processes: int = 1

    @property
    def objective(self) -> Metric:
        """The first of the objectives."""
        return self.objectives[0]

    @property
    def shared(self) -> ChildNetwork | None:
        """The network whose weights are trained in the child phase; None where there is none."""
        return None

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw anew all that is random in the estimator before the first step."""

    @abstractmethod
    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        """Judge M architectures on the same data.

        Args:
            architectures: int64 `(M, T)`.
            batches: Consecutive minibatches of validation data: one for a reward, all of them for
                the best estimate there is. An estimator with data of its own ignores them.
        """

    def training_loss(
        self, architectures: Tensor, batch: Batch, generator: torch.Generator
    ) -> Tensor:
        """Mean loss, nats per target, of `(M, T)` architectures on a training minibatch.

        Args:
            architectures: int64 `(M, T)`.
            batch: A training minibatch.
            generator: Where regularisation draws from, on the parameters' device.
        """
        raise TypeError(f"{type(self).__name__} has no child phase")

    def close(self) -> None:
        """Let go of what is held outside this process."""

    def learning_rate_factor(self, epoch: int) -> float:
        """What the child phase's learning rate is multiplied by in an epoch, counted from 0."""
        return 1.0
