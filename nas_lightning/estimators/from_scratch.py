"""Judging by training from scratch: every architecture gets random weights and a short training.

Zoph & Le 2017, section 3.2. Slow, and honest: the numbers of different moments can be compared, so
the best architecture is the best one ever judged, and one judged before need not be trained again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas_lightning.data.base import Batch, Data
from nas_lightning.errors import Remedy, UserError, require_bool, require_whole
from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.files import to_json
from nas_lightning.generators import Generators
from nas_lightning.metrics import Metric, require_declared
from nas_lightning.search_spaces.child import ChildNetwork
from nas_lightning.training.child_training import ChildResult, ChildTraining
from nas_lightning.training.executors import ChildJob, Executor

Actions = tuple[int, ...]


class FromScratch(Estimator):
    """Trains each architecture's network and reports how well it did in its last epochs.

    Args:
        child: Makes the networks.
        data: What they learn.
        training: How they are trained.
        executor: Where they are trained.
        generators: Gives the run's seed; a child's randomness follows from it and the architecture.
        folder: The run's folder; results go to its `children.jsonl` the moment they are there.
        controller_steps: Controller steps an epoch.
        objective: The metric by which architectures are compared.
        last_epochs: The best value of the last so many epochs counts (Zoph & Le: 5).
        copies: How many children are trained side by side in one process.
        reuse_results: Whether an architecture judged before is served from the record.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    comparable = True
    trains = True
    uses_batches = False

    def __init__(
        self,
        *,
        child: ChildNetwork,
        data: Data,
        training: ChildTraining,
        executor: Executor,
        generators: Generators,
        folder: Path,
        controller_steps: int,
        objective: str,
        last_epochs: int,
        copies: int,
        reuse_results: bool,
    ) -> None:
        super().__init__()
        require_whole("controller_steps", controller_steps, at_least=0)
        self.objectives = (require_declared("objective", objective, child.metrics),)
        require_whole("last_epochs", last_epochs, at_least=1)
        require_whole("copies", copies, at_least=1)
        require_bool("reuse_results", reuse_results)
        self.executor = executor
        self.child_training = training
        self.seed = generators.seed
        self.metrics = child.metrics
        self.cost_metrics = child.cost_metrics
        self.last_epochs = last_epochs
        self.copies = copies
        self.reuse_results = reuse_results
        self.phases = Phases(child_steps=0, controller_steps=controller_steps)
        self._judged: dict[Actions, None] = {}
        self._record = ChildRecord(folder / "children.jsonl", key=[training.budget, self.seed])
        # Not a part of this module, whose weights would be saved: it is a template.
        self._job = (ChildJob(child=child, data=data, training=training, seed=self.seed),)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing is random here beside what follows from the seed."""

    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        """Train those of the architectures `(M, T)` that were not judged before.

        Raises:
            UserError: If two or more distinct ones all fail for the same reason.
        """
        rows: list[Actions] = [tuple(row) for row in architectures.tolist()]
        distinct = list(dict.fromkeys(rows))
        groups = [distinct[i : i + self.copies] for i in range(0, len(distinct), self.copies)]
        # A group is served or trained as a whole: what is computed together stays together.
        known = self._record.results if self.reuse_results else {}
        missing = [group for group in groups if not all(actions in known for actions in group)]
        trained = self.executor.run(self._job[0], missing, self._record.add)
        results = {**trained, **known}
        # Counted by what this run has judged, not by what is on file: the file of a run that was
        # killed knows children that the resumed run has still to come to.
        new = [a for a in distinct if not (self.reuse_results and a in self._judged)]
        self._judged.update(dict.fromkeys(distinct))
        found = [results[actions] for actions in rows]
        return self._evaluation(rows, found, len(new), architectures.device)

    def close(self) -> None:
        """Let the workers go."""
        self.executor.close()

    def get_extra_state(self) -> list[list[int]]:
        """The architectures judged so far, for a checkpoint."""
        return [list(actions) for actions in self._judged]

    def set_extra_state(self, state: list[list[int]]) -> None:
        """Take the architectures judged so far from a checkpoint."""
        self._judged = {tuple(actions): None for actions in state}

    def _evaluation(
        self,
        rows: Sequence[Actions],
        results: Sequence[ChildResult],
        trained: int,
        device: torch.device,
    ) -> Evaluation:
        """What M results, for which `trained` children were needed, come to, on a device."""
        self._refuse_common_failure(dict(zip(rows, results, strict=True)))
        costs = [self._costs(actions) for actions in rows]
        metrics = {
            metric.name: torch.tensor([self._value(r, metric) for r in results], device=device)
            for metric in dict.fromkeys((*self.objectives, *self.metrics))
        }
        for name in dict.fromkeys(name for cost in costs for name in cost):
            known = [float(cost.get(name, math.nan)) for cost in costs]
            metrics[name] = torch.tensor(known, device=device)
        return Evaluation(
            metrics=metrics,
            kind="proxy",
            objectives=self.objectives,
            status=[result.status for result in results],
            cost=float(trained * self.child_training.epochs),
            cost_unit="epochs",
        )

    def _costs(self, actions: Actions) -> dict[str, int]:
        """What a network costs; nothing is known of one that cannot be built."""
        try:
            return self._job[0].child.costs(actions)
        except ValueError:
            return {}

    def _refuse_common_failure(self, judged: Mapping[Actions, ChildResult]) -> None:
        """Raise UserError if all fail for one reason; one child alone may be to blame itself."""
        reasons = {result.status for result in judged.values()}
        if len(judged) < 2 or len(reasons) > 1 or reasons == {"ok"}:
            return
        if reasons == {"diverged"}:
            raise UserError(
                "every child of this step diverged (training.learning_rate="
                f"{self.child_training.learning_rate})",
                Remedy.SMALLER_CHILD_STEPS,
            )
        raise UserError(f"every child of this step failed: {reasons.pop()}")

    def _value(self, result: ChildResult, metric: Metric) -> float:
        """The best of the last epochs, NaN for a child that came to nothing."""
        if result.status != "ok":
            return float("nan")
        best = max if metric.direction == "more" else min
        return best(result.history[metric.name][-self.last_epochs :])


class ChildRecord:
    """`children.jsonl`: the result of every child, written the moment it is there, never cut.

    A run that is resumed from an earlier checkpoint finds the children that had finished.

    Args:
        path: The file.
        key: Budget and seed; lines with another key are left alone.

    Raises:
        UserError: If a line of the file is no child's result.
    """

    def __init__(self, path: Path, *, key: Sequence[str | int]) -> None:
        self.key = list(key)
        self.results: dict[Actions, ChildResult] = {}
        self.path = path
        if not path.exists():
            return
        *lines, unfinished = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            row = child_in(line)
            if row is None:
                raise UserError(
                    f"{path}: line {number} is no child's result; take the line out, and its child "
                    "is trained again where it is needed"
                )
            if row["key"] == self.key:
                self.results[tuple(row["actions"])] = ChildResult(row["status"], row["history"])
        if unfinished:  # the process was killed while it wrote
            os.truncate(path, path.stat().st_size - len(unfinished))

    def add(self, actions: Actions, result: ChildResult) -> None:
        """Take note of a result, on disk."""
        if actions in self.results:
            return
        self.results[actions] = result
        # JSON has no NaN; words keep which of the three it was.
        history = {
            name: [v if math.isfinite(v) else str(v) for v in values]
            for name, values in result.history.items()
        }
        row = {"key": self.key, "actions": actions, "status": result.status, "history": history}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(to_json(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def child_in(line: bytes) -> dict[str, Any] | None:
    """What a line of `children.jsonl` holds; None if it is no child's result."""
    try:
        row = json.loads(line)
        row["history"] = {
            name: [float(v) if v in ("nan", "inf", "-inf") else v for v in values]
            for name, values in row["history"].items()
        }
        good = (
            isinstance(row["key"], list)
            and all(type(action) is int for action in row["actions"])
            and isinstance(row["status"], str)
            and all(isinstance(v, (int, float)) for vs in row["history"].values() for v in vs)
            and (row["status"] != "ok" or all(len(vs) > 0 for vs in row["history"].values()))
            and (row["status"] != "ok" or len(row["history"]) > 0)
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return row if good else None
