"""A run's folder, and the one rule for entering it.

    DONE                        finished: nothing to do
    partial, same config        resume from the last checkpoint
    partial, other config       refuse, naming the key
    empty                       start

A killed job that is queued again, a repeated sweep and `resume=` all enter by this rule.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from nas_lightning.errors import UserError

CONFIG = "config.yaml"
CHECKPOINTS = ("checkpoints/last.ckpt", "checkpoints/previous.ckpt")
MAY_CHANGE = ("trainer.max_epochs",)
"""Keys that may differ when a run is entered again."""


class RunFolder:
    """One folder, one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def enter(self, config: Mapping[str, Any]) -> Literal["start", "resume", "finished"]:
        """Apply the rule; after `start` and `resume` the folder holds `config` and no verdict.

        Args:
            config: The resolved configuration, plain types.

        Raises:
            UserError: If the folder holds a run with another configuration.
        """
        known = self.path / CONFIG
        before = OmegaConf.to_container(OmegaConf.load(known)) if known.exists() else None
        changed = [] if before is None else list(differences(before, config))
        forbidden = [change for change in changed if change[0] not in MAY_CHANGE]
        if forbidden:
            key, old, new = forbidden[0]
            raise UserError(
                f"{key}={new!r}: the run in {self.path} has {key}={old!r}; give the value it has, "
                "or another folder (hydra.run.dir=… or study=…)"
            )
        if (self.path / "DONE").exists() and not changed:
            return "finished"
        self.path.mkdir(parents=True, exist_ok=True)
        if before is None or changed:
            write(known, OmegaConf.to_yaml(OmegaConf.create(dict(config))))
        for verdict in ("DONE", "FAILED"):
            (self.path / verdict).unlink(missing_ok=True)
        return "start" if self.checkpoint is None else "resume"

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint, or None."""
        return next((p for name in CHECKPOINTS if (p := self.path / name).exists()), None)

    def finish(self, verdict: Literal["DONE", "FAILED"], reason: str = "") -> None:
        """Leave the verdict."""
        write(self.path / verdict, reason and reason + "\n")


def write(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def write_json(path: Path, content: object) -> None:
    """Write JSON that a person can read, whole or not at all."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves in which two nested configurations differ: key, old value, new value."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            below = f"{key}.{name}" if key else str(name)
            yield from differences(old.get(name), new.get(name), below)
    elif old != new:
        yield key, old, new
