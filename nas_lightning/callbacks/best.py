"""Keeps the best architecture up to date: in the folder, also of a stopped run, and in W&B."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.files import write_json
from nas_lightning.runs.folder import BEST, SCHEMA


class BestArchitecture(pl.Callback):
    """Writes the best architecture with all that is needed to understand and repeat it.

    Loggers that show architectures are handed each new one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: list[int] = []

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write after a derivation."""
        assert isinstance(pl_module, ArchitectureSearch)
        if batch.phase == "derive":
            write_best(pl_module, Path(trainer.default_root_dir))
            self._show(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Derive where a search was stopped within an epoch, after its last checkpoint.

        The run goes on from that, and knows nothing of it. Where the best ever judged is known
        without a derivation none is made: its children may take longer than the time there was.
        """
        assert isinstance(pl_module, ArchitectureSearch)
        if pl_module.epochs_derived > pl_module.counters["epoch"]:
            return
        if not pl_module.estimator.comparable:
            pl_module.training_step(pl_module.stream.derivation(), 0)
            pl_module.epochs_derived -= 1
        write_best(pl_module, Path(trainer.default_root_dir))

    def _show(self, search: ArchitectureSearch) -> None:
        """Draw the best one for whoever takes drawings, when it is another one."""
        if search.incumbent is None or search.incumbent["actions"] == self._shown:
            return
        actions = self._shown = list(search.incumbent["actions"])
        for logger in search.loggers:
            log_architecture = getattr(logger, "log_architecture", None)
            if log_architecture is not None:
                from nas_lightning.report.drawing import draw

                drawing = draw(search.space, actions, alt="The best architecture")
                log_architecture(drawing, search.space.describe(actions), search.counters)


def write_best(search: ArchitectureSearch, folder: Path) -> None:
    """Write the best architecture so far, if there is one."""
    best = search.incumbent
    if best is None:
        return
    write_json(
        folder / BEST,
        {
            "schema": SCHEMA,
            "decisions": search.space.describe(best["actions"]),
            **best,
            "objective": search.objective.name,
            "unit": search.objective.unit,
            "direction": search.objective.direction,
            "provenance": {
                "seed": search.generators.seed,
                "config": "config.yaml",
                **{name: version(name) for name in ("nas-lightning", "torch")},
                "python": platform.python_version(),
            },
        },
    )
