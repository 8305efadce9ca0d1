"""Keeps `best_architecture.json` in the run's folder up to date after every derivation."""

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
    """Writes the best architecture with all that is needed to understand and repeat it."""

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
