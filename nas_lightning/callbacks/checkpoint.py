"""Checkpoints: by elapsed time and at the end of every epoch, atomically, the last two kept.

Lightning's own ModelCheckpoint cannot do it: in manual optimization its time trigger never fires.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, Timer
from pytorch_lightning.plugins.io import CheckpointIO

from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import Remedy, UserError, require_number
from nas_lightning.files import whole_file
from nas_lightning.runs import stopping
from nas_lightning.runs.folder import LAST, LEDGER, PREVIOUS
from nas_lightning.runs.tensors import read

RECORDS = {"ledger.jsonl": "ledger_bytes", "metrics.csv": "metrics_bytes"}
"""What a checkpoint calls the lengths of the files that grow."""

LONGEST_LINE = 2**20
"""Of a ledger, in bytes."""

OTHERS = "is not of the run whose ledger.jsonl lies there"


def usable(checkpoints: Sequence[Path]) -> Path | None:
    """The first checkpoint that a run can go on from, or None where there are none.

    Others before it are renamed: the next save must not put one in the place of a whole one.

    Raises:
        UserError: If none is usable.
    """
    faults: dict[Path, str] = {}
    for path in checkpoints:
        fault = fault_of(path)
        if fault is not None:
            faults[path] = fault
            continue
        for damaged, fault in faults.items():
            print(f"{damaged} {fault}: going on from {path.name}", file=sys.stderr)
            damaged.replace(damaged.with_suffix(".damaged"))
        return path
    if faults:
        listed = ", and ".join(f"{path.name} {fault}" for path, fault in faults.items())
        raise UserError(
            f"{checkpoints[0].parent}: {listed}; put back what is missing, or give another folder",
            Remedy.ANOTHER_FOLDER,
        )
    return None


def fault_of(path: Path) -> str | None:
    """Why a run cannot go on from a checkpoint in its folder; None if it can."""
    try:
        search = read(path)["search"]
        lengths = {name: search[key] for name, key in RECORDS.items()}
        judged = search["counters"]["architectures_judged"]
    except Exception:  # whatever damaged bytes make of it
        return "is damaged"
    for name, known in lengths.items():
        records = path.parents[1] / name
        size = records.stat().st_size if records.exists() else 0
        if size < known:
            return f"knows of {known} bytes of {name}, which has {size}"
    return None if _ends_with(path.parents[1] / LEDGER, lengths[LEDGER], judged) else OTHERS


def _ends_with(ledger: Path, length: int, judged: int) -> bool:
    """Whether the first `length` bytes of a ledger are lines, the last of them number `judged`."""
    if length == 0:
        return judged == 0
    with ledger.open("rb") as file:
        file.seek(max(0, length - LONGEST_LINE))
        *_, last, rest = b"\n".join([b"", file.read(min(length, LONGEST_LINE))]).split(b"\n")
    if rest:
        return False
    try:
        return bool(json.loads(last)["number"] == judged - 1)
    except (ValueError, TypeError, KeyError, RecursionError):  # a damaged line says nothing
        return True


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, brings it to the disk, renames; the one before is kept.

    At every moment the folder holds at least one whole checkpoint, once there was one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write `path` and keep what stood there as `previous.ckpt`."""
        path = Path(path)
        path.parent.mkdir(exist_ok=True)  # and no more: a deleted run does not come back in parts
        with whole_file(path, before=path.with_name(Path(PREVIOUS).name)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read tensors and plain types."""
        return read(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class SaveSearch(Checkpoint):
    """Saves the search; after a resume, the global random states are restored last.

    The package draws from generators of its own. The global ones are saved for what a user adds.

    Args:
        every_seconds: Save when the last save is older than this, beside every epoch's end.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, every_seconds: float) -> None:
        require_number("every_seconds", every_seconds, at_least=0)
        self.every_seconds = every_seconds
        self._saved = time.monotonic()
        self._random_states: dict[str, Any] | None = None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if an epoch ends here, enough time has passed, or the run is told to stop."""
        assert isinstance(pl_module, ArchitectureSearch)
        stream = pl_module.stream
        ends = stream.position == len(stream)
        # By `max_time` or a callback: after this step, or at the end of the last of `min_epochs`.
        ends |= trainer.should_stop and trainer.current_epoch >= (trainer.min_epochs or 0)
        if ends or stopping.asked() or time.monotonic() - self._saved >= self.every_seconds:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / LAST)
            self._saved = time.monotonic()
            stopping.stop_if_asked()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """No step comes any more."""
        stopping.defer(False)
        stopping.stop_if_asked()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Nor here."""
        stopping.defer(False)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a resumed run have all of its `max_time` again; it would be over at once."""
        checkpoint["callbacks"].pop(Timer.__qualname__, None)

    def state_dict(self) -> dict[str, Any]:
        """The global random states, as plain types."""
        version, words, gauss = random.getstate()
        numpy_state: Any = np.random.get_state()  # noqa: NPY002
        name, keys, position, has_gauss, cached = numpy_state
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
            "python": [version, list(words), gauss],
            "numpy": [name, keys.tolist(), position, has_gauss, cached],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts."""
        self._random_states = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the global random states, after everything else has drawn from them."""
        # Lightning resumes from an epoch's last batch without counting the next epoch as begun. A
        # checkpoint within that epoch would look finished, and its stream would start anew.
        epochs: Any = trainer.fit_loop.epoch_progress.current
        if epochs.started == epochs.processed:
            trainer.fit_loop.reset_restart_stage()
        assert isinstance(pl_module, ArchitectureSearch)
        stopping.defer(pl_module.estimator.uses_batches)  # others may train children for hours
        states = self._random_states
        if states is None:
            return
        torch.set_rng_state(states["torch"])
        if len(states["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(states["cuda"])
        version, words, gauss = states["python"]
        random.setstate((version, tuple(words), gauss))
        name, keys, *rest = states["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
