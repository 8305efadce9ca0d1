"""Judging by a function of the user's own: a simulator, or their own training script.

What it has given stands in the run's `children.jsonl` the moment it is there, so that a run that
was killed does not ask again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from nas_lightning.data.base import Batch
from nas_lightning.errors import UserError, require, require_callable, require_whole
from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.estimators.from_scratch import ChildRecord
from nas_lightning.metrics import Direction, Metric, require_declared
from nas_lightning.runs.stopping import stop_if_asked
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.training.child_training import ChildResult

Evaluate = Callable[[dict[str, str | int]], Mapping[str, float]]
"""From the option of each decision, by its name, to the value of each metric, by its name."""


class Function(Estimator):
    """Calls the user's function once for every architecture that is new.

    An architecture on which it fails has no value, and its reason as status; the search goes on.

    Args:
        space: What is searched.
        evaluate: The function, or its dotted name.
        metrics: What it gives: name -> which way is better, `less` or `more`.
        objective: The metric by which architectures are compared.
        controller_steps: Controller steps an epoch.
        folder: The run's folder.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    comparable = True
    uses_batches = False

    def __init__(
        self,
        *,
        space: SearchSpace,
        evaluate: str | Evaluate,
        metrics: Mapping[str, Direction],
        objective: str,
        controller_steps: int,
        folder: Path,
    ) -> None:
        super().__init__()
        require_whole("controller_steps", controller_steps, at_least=0)
        good = isinstance(metrics, Mapping) and len(metrics) > 0
        require(good, "metrics", metrics, "one or more names, each less or more: {error: less}")
        self.metrics = tuple(
            Metric(name=str(name), unit="", direction=direction)
            for name, direction in metrics.items()
        )
        self.objectives = (require_declared("objective", objective, self.metrics),)
        self.phases = Phases(child_steps=0, controller_steps=controller_steps)
        self._space = space
        self._evaluate: Evaluate = require_callable("evaluate", evaluate)
        self._judged: dict[tuple[int, ...], None] = {}
        named = evaluate if isinstance(evaluate, str) else evaluate.__qualname__
        self._record = ChildRecord(folder / "children.jsonl", key=["function", named])

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing is random here; what the function draws is its own affair."""

    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        """Ask the function about each architecture that is new.

        Raises:
            UserError: If two or more distinct architectures all fail for one reason.
        """
        rows = [tuple(row) for row in architectures.tolist()]
        distinct = list(dict.fromkeys(rows))
        for actions in distinct:
            if actions not in self._record.results:
                self._record.add(actions, self._asked(actions))
        new = [actions for actions in distinct if actions not in self._judged]
        self._judged.update(dict.fromkeys(distinct))
        results = [self._record.results[actions] for actions in rows]
        reasons = {self._record.results[actions].status for actions in distinct}
        if len(distinct) > 1 and len(reasons) == 1 and reasons != {"ok"}:
            raise UserError(f"evaluate fails for all: {reasons.pop()}")
        device = architectures.device
        return Evaluation(
            metrics={
                metric.name: torch.tensor(
                    [r.history.get(metric.name, [math.nan])[-1] for r in results], device=device
                )
                for metric in self.metrics
            },
            kind="proxy",
            objectives=self.objectives,
            status=[result.status for result in results],
            cost=float(len(new)),
            cost_unit="calls",
        )

    def get_extra_state(self) -> list[list[int]]:
        """The architectures judged so far, for a checkpoint."""
        return [list(actions) for actions in self._judged]

    def set_extra_state(self, state: list[list[int]]) -> None:
        """Take the architectures judged so far from a checkpoint."""
        self._judged = {tuple(actions): None for actions in state}

    def _asked(self, actions: tuple[int, ...]) -> ChildResult:
        """What the function says of one architecture."""
        try:
            given = self._evaluate(self._space.describe(actions))
            values = {metric.name: [float(given[metric.name])] for metric in self.metrics}
        except Exception as error:  # whatever a user's function raises
            stop_if_asked()
            missing = f"gives no {error}" if isinstance(error, KeyError) else str(error)
            return ChildResult(f"{type(error).__name__}: {' '.join(missing.split())}", {})
        good = all(math.isfinite(value) for (value,) in values.values())
        return ChildResult("ok" if good else "diverged", values)
