"""How soon the command answers: in fresh interpreters, for a second import costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from benchmarks.numbers import Number, over_rounds
from benchmarks.timing import repeats, seconds

IMPORT = """
import time
began = time.perf_counter()
import nas_lightning
print(time.perf_counter() - began)
"""
COMMAND = "from nas_lightning.commands.train import main; main()"


def startup(rounds: int) -> list[Number]:
    """Seconds of an import, of what `python train.py` prints, and until a search has begun.

    Args:
        rounds: How often each is done, in turn; one more round warms up the disk.
    """
    times = [
        (imported(), answered("--help"), answered("--cfg", "job"), first_step())
        for _ in repeats(rounds + 1)
    ][1:]
    imports, helps, configurations, steps = zip(*times, strict=True)
    return [
        over_rounds("import, seconds", imports, at_most=0.2),
        over_rounds("--help, seconds", helps, at_most=0.3),
        over_rounds("--cfg job, seconds", configurations, at_most=1.0),
        over_rounds("first training step, seconds", steps, at_most=4.0),
    ]


def imported() -> float:
    """Seconds of the import in an interpreter that is up."""
    return float(_python(IMPORT))


def answered(*arguments: str) -> float:
    """Seconds from the start of an interpreter to its end."""
    return seconds(lambda: _python(COMMAND, *arguments))


def first_step() -> float:
    """Seconds from the start of an interpreter to the end of its first training step."""
    with tempfile.TemporaryDirectory() as folder:
        search = ("experiment=smoke", "logger.mode=offline", f"hydra.run.dir={folder}/run")
        exit_there = "+callbacks.first._target_=benchmarks.startup.ExitAfterFirstStep"
        started = f"+callbacks.first.started={time.time()!r}"
        return float(_python(COMMAND, *search, exit_there, started).split()[-1])


class ExitAfterFirstStep(Callback):
    """Says how long it took to come there, and ends the process.

    Args:
        started: When it was started, in seconds since the epoch.
    """

    def __init__(self, *, started: float) -> None:
        self.started = started

    def on_train_batch_end(self, *_: Any) -> None:
        """It has come there."""
        print(time.time() - self.started, flush=True)
        os._exit(0)


def _python(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    path = os.pathsep.join([*sys.path, str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout
