"""A run's folder, and the one rule for entering it.

    DONE                        finished: nothing to do
    partial, same config        resume from the last checkpoint
    begun, other config         refuse, naming the key
    empty                       start

A killed job that is queued again, a repeated sweep and `resume=` all enter by this rule. Only
`trainer.max_epochs` may have grown since: then also a finished run goes on.
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
LEDGER = "ledger.jsonl"
CHECKPOINTS = ("checkpoints/last.ckpt", "checkpoints/previous.ckpt")
MAY_GROW = "trainer.max_epochs"


class RunFolder:
    """One folder, one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run, be it without a checkpoint yet."""
        return all((self.path / name).is_file() for name in (CONFIG, LEDGER))

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint, or None."""
        return next((p for name in CHECKPOINTS if (p := self.path / name).exists()), None)

    def enter(self, config: Mapping[str, Any]) -> Literal["start", "resume", "finished"]:
        """Apply the rule; nothing in the folder changes.

        Args:
            config: The resolved configuration, plain types.

        Raises:
            UserError: If the folder holds a run with another configuration.
        """
        if not self.begun:
            return "start"
        before = OmegaConf.to_container(OmegaConf.load(self.path / CONFIG))
        changed = list(differences(before, config))
        for key, old, new in changed:
            if not (key == MAY_GROW and isinstance(new, int) and new > old):
                raise UserError(
                    f"{key}={new}: the run in {self.path} has {key}={old}; give the value it has"
                    + (" or a larger one" if key == MAY_GROW else "")
                    + ", or another folder (hydra.run.dir=… or study=…)"
                )
        if (self.path / "DONE").exists() and not changed:
            return "finished"
        self.path.mkdir(parents=True, exist_ok=True)
        return "start" if self.checkpoint is None else "resume"

    def begin(self, config: Mapping[str, Any]) -> None:
        """From here on the folder holds the run of this configuration, without a verdict."""
        for verdict in ("DONE", "FAILED"):
            (self.path / verdict).unlink(missing_ok=True)
        write(self.path / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(config))))

    def finish(self, verdict: Literal["DONE", "FAILED"], reason: str = "") -> None:
        """Leave the verdict; a finished run that could not be entered again stays finished."""
        if verdict == "DONE" or not (self.path / "DONE").exists():
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
        for name in [*new, *(name for name in old if name not in new)]:
            below = f"{key}.{name}" if key else str(name)
            yield from differences(old.get(name), new.get(name), below)
    elif old != new:
        yield key, old, new
