"""What a person sees while a search runs: one bar, or, where no terminal is, a line an epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from nas_lightning.engine.module import ArchitectureSearch


class TwoLines(Progress):
    """The bar, and below it the numbers, so that both have room."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """See rich."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Text(task.fields["shown"], no_wrap=True, overflow="ellipsis")


class SearchProgress(ProgressBar):
    """Shows phase, reward, entropy and the best architecture's metric."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._enabled = True

    def disable(self) -> None:
        """Show nothing from now on."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        assert isinstance(pl_module, ArchitectureSearch)
        if not (self._enabled and self._console.is_terminal):
            return
        self._bar = TwoLines(
            TextColumn("epoch {task.fields[epoch]} {task.fields[phase]:<10}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=self._console,
            expand=True,
        )
        self._task = self._bar.add_task(
            "",
            total=(trainer.max_epochs or 0) * len(pl_module.stream),
            completed=self._done(pl_module),
            **self._fields(trainer, pl_module, "child"),
        )
        self._bar.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move on by one step; without a terminal print a line at the end of an epoch."""
        assert isinstance(pl_module, ArchitectureSearch)
        if not self._enabled:
            return
        fields = self._fields(trainer, pl_module, batch.phase)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done(pl_module), **fields)
        elif batch.phase == "derive":
            sys.stderr.write(f"epoch {fields['epoch']}: {fields['shown']}\n")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar, so that what follows is readable."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @staticmethod
    def _done(search: ArchitectureSearch) -> int:
        """Steps that are behind us, those before a resume included."""
        return search.stream.epoch * len(search.stream) + search.stream.position

    @staticmethod
    def _fields(trainer: pl.Trainer, search: ArchitectureSearch, phase: str) -> dict[str, Any]:
        latest, objective = search.latest, search.objective
        unit = f" {objective.unit}".rstrip()
        shown = [
            f"{label} {latest[name]:.4g}{unit}"
            for label, name, unit in (
                ("child loss", "child/loss", ""),
                ("reward", "controller/reward", ""),
                ("entropy", "controller/entropy", ""),
                (f"sampled {objective.title}", f"derive/{objective.name}_median", unit),
                ("best", f"derive/best_{objective.name}", unit),
            )
            if name in latest
        ]
        if failed := latest.get("derive/failed"):
            shown.append(f"{failed:.0f} failed")
        epoch = f"{search.counters['epoch'] + 1}/{trainer.max_epochs}"
        return {"epoch": epoch, "phase": phase, "shown": " · ".join(shown)}
