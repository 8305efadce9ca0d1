"""What runs lose by what runs beside them, other runs or a busy loop, and gain by their forks."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from benchmarks.numbers import Number, over_rounds
from benchmarks.recurrence import cells
from benchmarks.startup import COMMAND
from benchmarks.timing import Aims, Comparison, repeats, seconds
from nas_lightning.data.base import Batch
from nas_lightning.estimators.forks import Forks
from nas_lightning.search_spaces.child import ChildNetwork, score_all

FAIR = 1.3
"""At most so many times a fair share of the processors."""

STEPS = 5
"""Of the controller, at each of which cells are judged on a minibatch."""


def at_once(overrides: Sequence[str], rounds: int, *, most: int) -> list[Number]:
    """The time until all runs have ended that began together, over that of one alone.

    Args:
        overrides: Of each run's configuration.
        rounds: How often each is timed, in turn.
        most: How many runs at once at most.
    """
    ways = {f"{n} at once": (n, partial(together, n, overrides)) for n in range(2, most + 1)}
    ways["1 beside a busy loop"] = 2, partial(beside_a_loop, overrides)
    alone: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in repeats(rounds):
        alone.append(seconds(partial(together, 1, overrides)))
        for name, (_, way) in ways.items():
            found[name].append(seconds(way))
    return [over_rounds("1 alone, seconds", alone)] + [
        over_rounds(
            f"{name}, of one alone",
            [took / one for took, one in zip(found[name], alone, strict=True)],
            at_most=FAIR * max(1, processes / len(os.sched_getaffinity(0))),
            beside={"seconds": statistics.median(found[name])},
        )
        for name, (processes, _) in ways.items()
    ]


def together(number: int, overrides: Sequence[str]) -> None:
    """Do so many runs at the same time, and wait for the last."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMAND, *overrides]
        nowhere = subprocess.DEVNULL
        runs = [
            subprocess.Popen(command, cwd=folder, stdout=nowhere, stderr=nowhere)
            for _ in range(number)
        ]
        failed = [run for run in runs if run.wait() != 0]
    if failed:
        raise subprocess.CalledProcessError(failed[0].returncode, command)


def beside_a_loop(overrides: Sequence[str]) -> None:
    """Do one run while another process does nothing, as fast as it can."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as loop:
        try:
            together(1, overrides)
        finally:
            loop.kill()


@contextmanager
def more_processes(m: int, *, processes: int, aims: Aims, **sizes: int) -> Iterator[Comparison]:
    """M cells judged under shared weights by several processes, against one.

    On a minibatch, some times one after another, as by the controller steps of an epoch, before
    which a fork is made.

    Args:
        m: M.
        processes: How many.
        aims: What is aimed at.
        sizes: See `cells`.
    """
    child, architectures, batch = cells(m, **sizes, device="cpu")
    chunks = architectures.split(1)
    forks = Forks(partial(scored, child))

    @torch.no_grad()
    def work(number: int) -> None:
        forks.close()  # as the training of the weights does
        for _ in range(STEPS):
            forks(batch, chunks, processes=number)

    torch.set_num_threads(1)
    try:
        yield Comparison(
            aims=aims,
            plain=lambda: work(1),
            ours=lambda: work(processes),
            amount=m * STEPS,
            unit="cells",
        )
    finally:
        forks.close()


def scored(child: ChildNetwork, batch: Batch, cells: Tensor) -> Tensor:
    """Summed losses of cells on a minibatch."""
    return score_all(child, [batch], cells).loss_sum
