"""What runs of the command lose by others that run at the same time, each with all the threads."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from benchmarks.numbers import Number, over_rounds
from benchmarks.startup import COMMAND
from benchmarks.timing import seconds

AIMS = {2: 1.5, 3: 2.5}
"""How many runs at once -> at most so many times the time of one alone."""


def at_once(overrides: Sequence[str], rounds: int) -> list[Number]:
    """The time until several runs have ended that began together, over that of one alone.

    Args:
        overrides: Of each run's configuration.
        rounds: How often each number of runs is timed, in turn.
    """
    times = [
        {n: seconds(functools.partial(together, n, overrides)) for n in (1, *AIMS)}
        for _ in range(rounds)
    ]
    return [
        over_rounds(
            f"{number} at once, of one alone",
            [took[number] / took[1] for took in times],
            at_most=aim,
            beside={"seconds": times[0][number], "one alone": times[0][1]},
        )
        for number, aim in AIMS.items()
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
