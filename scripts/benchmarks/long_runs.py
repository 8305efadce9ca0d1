"""What long runs and large studies cost to look at: the page of each, its time and its memory.

A small search is done once; its records are then written on as if it had gone on for long, by the
same writers, so that they have the present format.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from benchmarks.numbers import Number, over_rounds
from benchmarks.startup import COMMAND
from benchmarks.timing import repeats
from nas_lightning.assembly.make import make
from nas_lightning.runs.config import CONFIG
from nas_lightning.runs.folder import LEDGER
from nas_lightning.runs.ledger import Ledger, Metrics
from nas_lightning.runs.records import Row, read_metrics, read_objects
from nas_lightning.runs.stretches import STRETCHES

METRICS = "metrics.csv"
ARMS = ("lstm", "random")
STEPS = 20
"""Controller steps of an epoch, ten architectures each; and a hundred are judged at its end."""

JUDGED = 10 * STEPS + 100
REPORT = """
import atexit, sys
from nas_lightning.commands.report import main
atexit.register(lambda: print(open("/proc/self/status").read(), file=sys.__stdout__))
main()
"""


def long_runs(rounds: int, *, judged: int, runs: int) -> list[Number]:
    """The page of a run that has judged many, and that of a study of many runs.

    Args:
        rounds: How often each is made.
        judged: Architectures of the long run.
        runs: Runs of the study, each as long as the default one.
    """
    with tempfile.TemporaryDirectory() as folder:
        small, long, study = (Path(folder) / name for name in ("small", "long", "study"))
        searched(small)
        prolonged(small, long, judged // JUDGED)
        for number in range(runs):
            arm, seed = ARMS[number % 2], number // 2
            prolonged(small, study / f"arm={arm},seed={seed}", 10, seed=seed)
        return [
            *page(f"of {judged:,} judged", long, rounds, at_most=20),
            *page(f"of {runs} runs", study, rounds, at_most=30),
        ]


def page(of: str, folder: Path, rounds: int, *, at_most: float) -> list[Number]:
    """What the page of a folder costs, in a process of its own.

    Args:
        of: What is in the folder.
        folder: A run, or a study.
        rounds: How often it is made.
        at_most: Seconds aimed at.
    """
    command = [sys.executable, "-c", REPORT, str(folder)]
    times, peaks = [], []
    for _ in repeats(rounds):
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        if status != 0:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
        times.append((time.perf_counter() - began, used.ru_utime + used.ru_stime))
        # Of its own memory: what the system tells of the process counts its parent's, too.
        peaks.append(int(said.rpartition("VmHWM:")[2].split()[0]) * 1024 / 1e6)
    size = (folder / "report.html").stat().st_size / 1e6
    wall, processor = zip(*times, strict=True)
    beside = {"seconds of a processor": float(np.median(processor))}
    return [
        over_rounds(f"page {of}, seconds", wall, at_most=at_most, beside=beside),
        over_rounds(f"page {of}, MB in memory", [max(peaks)], at_most=1000),
        over_rounds(f"page {of}, MB on the disk", [size], at_most=2),
    ]


def searched(folder: Path) -> None:
    """Do the small search, of one epoch."""
    options = ["experiment=smoke", "logger=csv", "trainer.max_epochs=1", f"hydra.run.dir={folder}"]
    command = [sys.executable, "-c", COMMAND, *options]
    subprocess.run(command, check=True, capture_output=True, cwd=folder.parent)


def prolonged(small: Path, long: Path, epochs: int, *, seed: int = 0) -> None:
    """Write a run as if the search of a small one had gone on for so many epochs.

    Args:
        small: A run of one epoch.
        long: Where to write; must not be there.
        epochs: Of `JUDGED` architectures each.
        seed: What it says its seed was; its numbers follow from it.
    """
    without = shutil.ignore_patterns("checkpoints", "wandb", STRETCHES)
    shutil.copytree(small, long, ignore=without)
    config = OmegaConf.create((small / CONFIG).read_text(encoding="utf-8"))
    assert isinstance(config, DictConfig)
    config.trainer.max_epochs, config.seed = epochs, seed
    (long / CONFIG).write_text(OmegaConf.to_yaml(config), encoding="utf-8")
    noise = np.random.default_rng(seed)
    space = make(config, "search_space")
    drawn = space.sample(epochs * JUDGED, torch.Generator().manual_seed(seed))
    row = next(read_objects(small / LEDGER, {}))
    assert row is not None
    last = {n: s.values[-1] for n, s in read_metrics(small / METRICS)[0].items()}
    for name in (LEDGER, METRICS):
        (long / name).unlink()
    with closing(Ledger(long / LEDGER)) as ledger:
        ledger.record(judged_rows(row, drawn.tolist(), noise))
    with closing(Metrics(long / METRICS)) as metrics:
        record(metrics, last, epochs, noise)


def judged_rows(
    row: Row, drawn: Sequence[Sequence[int]], noise: np.random.Generator
) -> Iterator[dict[str, object]]:
    """A ledger of the architectures drawn, made from a row of another."""
    for number, actions in enumerate(drawn):
        epoch, place = divmod(number, JUDGED)
        loss = 5 - number / len(drawn) + 0.1 * noise.standard_normal()
        yield {
            **row,
            "number": number,
            "purpose": "controller" if place < 10 * STEPS else "candidate",
            "epoch": epoch,
            "controller_step": STEPS * epoch + min(place // 10, STEPS),
            "actions": actions,
            "metrics": {"loss": loss, "perplexity": float(np.exp(loss))},
        }


def record(
    metrics: Metrics, last: Mapping[str, float], epochs: int, noise: np.random.Generator
) -> None:
    """Write what a search tells at its controller's steps, and all else at the epochs' ends.

    Args:
        metrics: Where to.
        last: Name -> about which value.
        epochs: How many.
        noise: By which the values differ.
    """
    often = {n: value for n, value in last.items() if n.startswith("controller/")}
    for step in range(1, epochs * STEPS + 1):
        epoch, place = divmod(step - 1, STEPS)
        axes = {"epoch": epoch, "child_step": 60 * epoch, "controller_step": step}
        axes["architectures_judged"] = JUDGED * epoch + 10 * (place + 1)
        told = last if place + 1 == STEPS else often
        values = {n: value * (1 + 0.1 * noise.standard_normal()) for n, value in told.items()}
        metrics.record(axes, values)
