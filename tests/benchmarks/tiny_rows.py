"""Rows of a benchmark that take no time, some of which fail."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.numbers import Number, over_rounds
from benchmarks.timing import repeats
from nas_lightning.errors import UserError


def measurements(*, quick: bool, figure: Path) -> dict[str, Callable[[int], list[Number]]]:
    """All that is measured, as the benchmark's own have it."""
    return {
        "one: first": last,
        "one: raises": raises,
        "one: crashes": crashes,
        "one: is killed": is_killed,
        "one: last": last,
        "hangs": hangs,
    }


def last(rounds: int) -> list[Number]:
    """Measures."""
    values = [float(repeat % 3 + 1) for repeat in repeats(3)]
    return [over_rounds("ratio", values, at_least=2.5, beside={"rounds": rounds})]


def raises(rounds: int) -> list[Number]:
    raise UserError("data.path=x: no such data set")


def crashes(rounds: int) -> list[Number]:
    print("it says why", file=sys.stderr, flush=True)
    os._exit(3)


def is_killed(rounds: int) -> list[Number]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hangs(rounds: int) -> list[Number]:
    time.sleep(1000)
    raise AssertionError
