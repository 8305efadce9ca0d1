"""Weights & Biases as a Lightning logger, with the search's own axes.

Lightning's own WandbLogger draws everything over `trainer/global_step`, which counts the steps of
both optimizers and means nothing here.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests.utils
import wandb
from pytorch_lightning.loggers.logger import Logger

from nas_lightning.errors import UserError, require_one_of
from nas_lightning.run_folder import write

AXES = {
    "child/*": "child_step",
    "controller/*": "controller_step",
    "memory/*": "controller_step",
    **dict.fromkeys(("derive/*", "hidden/*", "probes/*", "similarity/*", "diversity/*"), "epoch"),
}
"""Which counter each family of metrics is drawn over."""


class WandbLogger(Logger):
    """A W&B run of its own for every search: a copy of what is in the run's folder.

    Args:
        folder: The run's folder; W&B writes below it.
        run_config: The run's configuration, shown beside the curves.
        project: W&B's project.
        group: Runs of one study share a group.
        job_type: What the run's arm is called within the study.
        tags: Labels to filter by.
        mode: `auto` is online where a key is known, else offline; or one of W&B's own modes.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        folder: Path,
        run_config: Mapping[str, Any],
        project: str,
        group: str,
        job_type: str,
        tags: Sequence[str],
        mode: str,
    ) -> None:
        super().__init__()
        require_one_of("mode", mode, ("auto", "online", "offline", "disabled"))
        if mode == "auto":
            mode = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
        self._init: dict[str, Any] = {
            "dir": folder,
            "config": dict(run_config),
            "project": project,
            "group": group,
            "job_type": job_type,
            "name": folder.name,
            "tags": list(tags),
            "mode": mode,
            "resume": "allow",
            "settings": wandb.Settings(silent=True, console="off"),
        }
        self._folder = folder
        self._run: wandb.Run | None = None
        self._lost = False

    @property
    def experiment(self) -> wandb.Run:
        """The W&B run; it starts at its first use."""
        if self._run is None:
            try:
                self._run = self._start()
            except wandb.Error as error:  # a name that it refuses, or online without a key
                raise UserError(f"logger: W&B does not start: {error}") from error
            for metrics, axis in AXES.items():
                self._run.define_metric(axis, hidden=True)
                self._run.define_metric(metrics, step_metric=axis)
        return self._run

    def _start(self) -> wandb.Run:
        """Start the W&B run; offline, with a warning, where nobody answers in time."""
        try:
            return wandb.init(id=run_id(self._folder), **self._init)
        except wandb.errors.AuthenticationError:  # it was reached, and knows no such key
            raise
        except wandb.errors.CommError as error:
            print(
                f"warning: W&B cannot be reached ({str(error).splitlines()[0]}); the run is "
                "offline, and `wandb sync` can upload it later",
                file=sys.stderr,
            )
            wandb.teardown()  # its process still holds the run's id
            return wandb.init(id=run_id(self._folder), **{**self._init, "mode": "offline"})

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self._init["name"])

    @property
    def version(self) -> str:
        """W&B's id of the run."""
        return run_id(self._folder)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers that carry the counters they belong to; `step` is not used."""
        self._log(dict(metrics))

    def log_image(self, name: str, path: Path, axes: Mapping[str, float]) -> None:
        """Log a picture, with the counters it belongs to."""
        if not self._lost:
            self._log({name: wandb.Image(str(path)), **axes})

    def _log(self, row: dict[str, Any]) -> None:
        """Log, until W&B's own process is lost; the run's folder has everything anyway."""
        if self._lost:
            return
        run = self.experiment
        try:
            run.log(row)
        except Exception as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._lost = True
        reason = " ".join(str(error).split()) or type(error).__name__
        print(
            f"warning: W&B has stopped ({reason}); the search goes on, and metrics.csv is complete",
            file=sys.stderr,
        )

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration was given when the run started."""

    def finalize(self, status: str) -> None:
        """End the W&B run, so that the next job of a multirun starts its own."""
        if self._run is not None and not self._lost:
            try:
                self._run.finish(exit_code=0 if status == "success" else 1)
            except Exception as error:
                self._lose(error)
        self._run = None


def has_key() -> bool:
    """Whether W&B could log in: a key in the environment or in the netrc file."""
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return bool(os.environ.get("WANDB_API_KEY") or requests.utils.get_netrc_auth(host))


def run_id(folder: Path) -> str:
    """W&B's id of the run in this folder: drawn once and kept, so that a resumed run merges."""
    path = folder / "wandb" / "id"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write(path, secrets.token_hex(8))
    return path.read_text()
