"""What a table of all architectures says of those that a search without it has come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch

from nas_lightning.callbacks.analysis import Analysis
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import require
from nas_lightning.estimators.table import Table


class LookAtTable(Analysis):
    """Looks up what is derived and the best architecture. It is recorded beside, and never told.

    Of a search by gradient the architecture of the greatest weights is `table/derived_…`, that of
    its early stop, simulated or not, `table/early_stop_…`; the best one of any search, as it judges
    it itself, is `table/best_…`. Each has its value and its regret.

    Args:
        every_epochs: See `Analysis`.
        table: Makes the table for the space that is searched.

    Raises:
        ValueError: If `every_epochs` is outside what is allowed.
    """

    needs_policy = False

    def __init__(self, *, every_epochs: int | None, table: Callable[..., Table]) -> None:
        super().__init__(every_epochs=every_epochs)
        require(callable(table), "table", table, "a table with _partial_: true")
        self.make_table = table
        self.table: Table | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the table, so that one of another space is refused at once."""
        assert isinstance(pl_module, ArchitectureSearch)
        self.table = self.make_table(space=pl_module.space)

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        best = search.judge.incumbents.best
        assert best is not None
        assert self.table is not None
        looked_up = {"best": best["actions"]}
        if search.relaxed is not None:
            looked_up["derived"] = search.relaxed.controller.derived()
            if search.relaxed.stopped_with is not None:
                looked_up["early_stop"] = search.relaxed.stopped_with
        found = self.table.evaluate(torch.tensor([*looked_up.values()]), []).metrics
        search.record(
            {
                f"table/{which}_{name}": value
                for name in self.table.beside
                for which, value in zip(looked_up, found[name], strict=True)
            }
        )
