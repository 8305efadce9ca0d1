"""Whether a long search holds ever more memory."""

from __future__ import annotations

import ctypes
import gc
import os
import tempfile
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
"""In which the sizes are averaged, once half of them has warmed up."""


class Malloc(ctypes.Structure):
    """What mallinfo2(3) gives: a structure of these sizes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


class Watch(Callback):
    """Notes what the process has been given, after every epoch."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def on_train_epoch_end(self, *_: Any) -> None:
        """Note it, without what is only waiting to be collected."""
        gc.collect()
        self.sizes.append(allocated())


def allocated() -> int:
    """Bytes given by malloc(3) and not given back: all, with the variables of `row.ALL_COUNTED`.

    What is resident goes up and down by megabytes, as figures come and go and leave gaps: it would
    take days to see a small leak in it.
    """
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = Malloc
    found = library.mallinfo2()
    return int(found.uordblks) + int(found.hblkhd)


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def watched(cfg: DictConfig) -> Sequence[int]:
    """Bytes given to a run after each of its epochs.

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
    return watch.sizes


def memory(cfg: DictConfig) -> list[Number]:
    """Megabytes that a run gains in 1,000 controller steps.

    Args:
        cfg: The configuration of the run.
    """
    sizes, steps = watched(cfg), int(cfg.estimator.controller_steps)
    gained = [1000 * gain / steps / MEGABYTE for gain in drift(sizes)]
    return [
        Number(
            what="MB gained in 1,000 steps",
            value=gained[0],
            lowest=gained[1],
            highest=gained[2],
            at_most=0.1,
            beside={"steps": steps * len(sizes), "MB resident": resident() / MEGABYTE},
        )
    ]


def drift(sizes: Sequence[float]) -> tuple[float, float, float]:
    """Gain from one to the next, and its 95 % interval: the slope through the means of blocks.

    Through all sizes the interval would be far too narrow, for each is nearly the one before.

    Args:
        sizes: One after another.
    """
    warm = np.array(sizes[len(sizes) // 2 :], dtype=np.float64)
    length = len(warm) // BLOCKS
    means = warm[: length * BLOCKS].reshape(BLOCKS, length).mean(axis=1)
    line = stats.linregress(np.arange(BLOCKS) * length, means)
    width = float(stats.t.ppf(0.975, BLOCKS - 2)) * float(line.stderr)
    return float(line.slope), float(line.slope) - width, float(line.slope) + width
