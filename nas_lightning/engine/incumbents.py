"""The best architectures so far: of one objective, the one with the best value.

Room is left for several objectives: what a front of architectures needs is here too, but for the
comparison in `offer`.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from nas_lightning.estimators.base import Evaluation
from nas_lightning.metrics import Metric


class Incumbents:
    """Keeps the best of what it is offered.

    Args:
        objective: What says which is better.
    """

    def __init__(self, *, objective: Metric) -> None:
        self.objective = objective
        self.best: dict[str, Any] | None = None
        """Actions, metrics, kind, and the epoch in which it was found, counted from 0."""

    def offer(self, architectures: Tensor, evaluation: Evaluation, *, epoch: int) -> None:
        """Keep the best of some judged architectures, if it is better than what is there.

        Args:
            architectures: `(M, T)`.
            evaluation: How they were judged.
            epoch: When they were found.
        """
        first = int(evaluation.ranking()[0])
        metrics = {name: float(values[first]) for name, values in evaluation.metrics.items()}
        if self.best is None or self._is_better(metrics[self.objective.name]):
            self.best = {
                "actions": architectures[first].tolist(),
                "metrics": metrics,
                "kind": evaluation.kind,
                "found_in_epoch": epoch,
            }

    def clear(self) -> dict[str, Any] | None:
        """Forget the best, which can no longer be compared; returns it."""
        before, self.best = self.best, None
        return before

    @property
    def value(self) -> float:
        """The objective of the best; NaN where nothing has a finite one."""
        return math.nan if self.best is None else self.best["metrics"][self.objective.name]

    def _is_better(self, value: float) -> bool:
        sign = self.objective.sign
        return math.isnan(self.value) or sign * value > sign * self.value
