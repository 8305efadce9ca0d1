"""Whether a long search holds ever more memory."""

from __future__ import annotations

import gc
import os
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from pytorch_lightning import Callback
from scipy import stats

from benchmarks.numbers import Number
from nas_lightning.assembly.run import quiet_lightning
from nas_lightning.assembly.search import build

MEGABYTE = 1e6
BLOCKS = 10
"""In which the sizes are averaged, once half of the steps has warmed up."""


class Watch(Callback):
    """Notes the process's resident memory at every controller step."""

    def __init__(self) -> None:
        self.resident = array("q")  # a list of integers would be a part of what grows

    def on_train_batch_end(self, *args: Any) -> None:
        """Note it."""
        batch = args[3]
        if batch.phase == "controller":
            self.resident.append(resident())


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def watched(cfg: DictConfig) -> Sequence[int]:
    """Bytes in memory after every controller step of a run.

    Args:
        cfg: The configuration of the run.
    """
    quiet_lightning()
    with tempfile.TemporaryDirectory() as folder:
        trainer, search = build(cfg, Path(folder))
        gc.freeze()  # as in the command: what was imported is never looked at again
        watch = Watch()
        trainer.callbacks.append(watch)  # type: ignore[attr-defined]
        try:
            trainer.fit(search)
        finally:
            search.metrics.close()
            search.ledger.close()
    return watch.resident


def memory(cfg: DictConfig) -> list[Number]:
    """Megabytes that a run gains in 1,000 controller steps.

    Args:
        cfg: The configuration of the run.
    """
    sizes = watched(cfg)
    gain, lowest, highest = drift(sizes)
    return [
        Number(
            what="MB gained in 1,000 steps",
            value=1000 * gain / MEGABYTE,
            lowest=1000 * lowest / MEGABYTE,
            highest=1000 * highest / MEGABYTE,
            at_most=0.1,
            beside={"steps": len(sizes), "MB at the end": sizes[-1] / MEGABYTE},
        )
    ]


def drift(sizes: Sequence[float]) -> tuple[float, float, float]:
    """Gain a step, and its 95 % interval: the slope of a line through the means of blocks.

    Through all sizes the interval would be far too narrow, for each is nearly the one before.

    Args:
        sizes: At every step.
    """
    warm = np.array(sizes[len(sizes) // 2 :], dtype=np.float64)
    length = len(warm) // BLOCKS
    means = warm[: length * BLOCKS].reshape(BLOCKS, length).mean(axis=1)
    line = stats.linregress(np.arange(BLOCKS) * length, means)
    width = float(stats.t.ppf(0.975, BLOCKS - 2)) * float(line.stderr)
    return float(line.slope), float(line.slope) - width, float(line.slope) + width
