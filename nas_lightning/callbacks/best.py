"""Keeps the best architecture up to date after every derivation: in the folder, and in W&B."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.files import write_json
from nas_lightning.runs.folder import SCHEMA


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
        if batch.phase != "derive" or pl_module.incumbent is None:
            return
        best = pl_module.incumbent
        folder = Path(trainer.default_root_dir)
        write_json(
            folder / "best_architecture.json",
            {
                "schema": SCHEMA,
                "decisions": pl_module.space.describe(best["actions"]),
                **best,
                "objective": pl_module.objective.name,
                "unit": pl_module.objective.unit,
                "direction": pl_module.objective.direction,
                "provenance": {
                    "seed": pl_module.generators.seed,
                    "config": "config.yaml",
                    **{name: version(name) for name in ("nas-lightning", "torch")},
                    "python": platform.python_version(),
                },
            },
        )
        self._show(pl_module, best["actions"])

    def _show(self, search: ArchitectureSearch, actions: list[int]) -> None:
        if actions == self._shown:
            return
        self._shown = list(actions)
        for logger in search.loggers:
            log_architecture = getattr(logger, "log_architecture", None)
            if log_architecture is not None:
                from nas_lightning.report.drawing import draw

                drawing = draw(search.space, actions, alt="The best architecture")
                log_architecture(drawing, search.space.describe(actions), search.counters)
