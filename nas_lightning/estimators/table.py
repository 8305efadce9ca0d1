"""Judging by looking up: a table holds a number for every architecture of a small space.

What a search has found can then be compared with all there is to find: regret is exact, and a
whole search takes seconds. `table_file.py` says what a table is; `scripts/ground_truth.py` makes
them by training every architecture from scratch, docs/how-to-tables.md by other means.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nas_lightning.data.base import Batch
from nas_lightning.errors import require_one_of, require_whole
from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.estimators.table_file import SHIPPED, Column, TableFile, read_table
from nas_lightning.metrics import Metric
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import LOSS, PERPLEXITY


class Table(Estimator):
    """Looks up an architecture in one column of a table: the mean over the seeds.

    Beside it stands the regret: by how much the best number of the column is better, in its unit, 0
    for the best architecture of the space; beside a loss the perplexity, `exp(loss)`; and what else
    the table knows of the architecture, on other data or after another budget. The names of all
    tell the budget: `accuracy_after_12_epochs`.

    Args:
        space: What is searched.
        path: The table, a CSV file; None for one that comes with the package.
        shipped: Which one that is.
        controller_steps: Controller steps an epoch.
        objective: The metric that is searched, as in the column's name. `perplexity` is that of a
            loss where the table has no other.
        data_set: On which data; None where there is one data set only.
        budget: After which budget; None where there is one only.

    Raises:
        ValueError: If an argument is outside what is allowed, or the table is not one of exactly
            the architectures of the space.

    Attributes:
        beside: The metrics of the column that is searched: itself, perplexity of a loss, regret.
    """

    comparable = True
    uses_batches = False

    def __init__(
        self,
        *,
        space: SearchSpace,
        path: str | None,
        shipped: str,
        controller_steps: int,
        objective: str,
        data_set: str | None,
        budget: str | None,
    ) -> None:
        super().__init__()
        require_whole("controller_steps", controller_steps, at_least=0)
        require_one_of("shipped", shipped, tuple(SHIPPED))
        self.phases = Phases(child_steps=0, controller_steps=controller_steps)
        file = read_table(SHIPPED[shipped] if path is None else Path(path).expanduser(), space)
        known = {column.metric.name for column in file.values}
        as_perplexity = objective == PERPLEXITY.name and objective not in known
        searched = file.column(LOSS.name if as_perplexity else objective, data_set, budget)
        columns = of_column(file, searched)
        own, *derived = columns
        self.metrics = (
            *columns,
            *(c.named(with_data=True) for c in file.values if c != searched),
        )
        self.objectives = (derived[0] if as_perplexity else own,)
        others = [file.means(c).float() for c in file.values if c != searched]
        self.beside = [metric.name for metric in columns]
        self._values = torch.stack([*columns.values(), *others])
        self._names = [metric.name for metric in self.metrics]
        self._space = space

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing is random here."""

    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        """Look the architectures up; see the base class."""
        places = self._space.rank(architectures)
        found = self._values[:, places].to(architectures.device)
        return Evaluation(
            metrics=dict(zip(self._names, found, strict=True)),
            kind="proxy",
            objectives=self.objectives,
            status=["ok"] * len(architectures),
            cost=0.0,
            cost_unit="epochs",
        )


def of_column(file: TableFile, column: Column) -> dict[Metric, Tensor]:
    """What the column that is searched tells of each architecture, float32 `(size,)`.

    Returns:
        The column itself, of a loss the perplexity, and the regret, in this order.
    """
    own, means = column.named(with_data=False), file.means(column)
    found = {own: means.float()}
    if column.metric.name == LOSS.name:
        name = own.name.replace(LOSS.name, PERPLEXITY.name, 1)
        found[Metric(name=name, unit="", direction="less")] = found[own].exp()
    gains = own.gains(means)
    name = own.name.replace(column.metric.name, "regret", 1)
    regret = Metric(name=name, unit=own.unit, direction="less")
    return {**found, regret: (gains.max() - gains).float()}
