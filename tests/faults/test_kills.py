"""SIGKILL at 50 moments that chance has chosen; every run goes on to the same end, to the last bit.

Half of the moments are fractions of the time that an undisturbed run takes, half lie within a
write: of a row, a checkpoint, a child's line, before a file is on the disk or has its name.
"""

from __future__ import annotations

import random
import signal
from functools import partial
from pathlib import Path

import pytest

from tests import moments
from tests.faults.arms import ARMS, Undisturbed
from tests.processes import Command, differing, run, train

WRITES: dict[moments.Kind, int] = {"row": 30, "sync": 8, "save": 5, "rename": 5, "child": 6}
"""Kinds of writes, and up to which of each a run is killed, if it has so many."""

pytestmark = [
    pytest.mark.faults(row="SIGKILL at a random moment"),
    pytest.mark.timeout(1800),
]


def killed_by_the_clock(start: Command, fraction: float, seconds: float) -> None:
    """Kill a run from outside; where it has ended before, another earlier."""
    for number in range(20):
        patience = fraction * seconds * 0.7**number
        command = Command((*start.arguments, f"hydra.run.dir=run{number}"), start.folder)
        ended = run(Command(command.arguments, start.folder, patience=patience))
        if ended.code == -signal.SIGKILL:
            (start.folder / f"run{number}").mkdir(exist_ok=True)
            (start.folder / f"run{number}").rename(start.folder / "run")
            return
        assert ended.code == 0, ended
    raise AssertionError("no run could be killed")


def killed_within(start: Command, kind: moments.Kind, call: int, part: float) -> None:
    """Kill a run within a write; where it has fewer writes of the kind, within an earlier one."""
    while call > 0:
        prepare = partial(moments.at, kind, call, moments.stop, part)
        arguments = (*start.arguments, f"hydra.run.dir=run{call}")
        ended = run(Command(arguments, start.folder, prepare=prepare))
        if ended.code == -signal.SIGKILL:
            (start.folder / f"run{call}").rename(start.folder / "run")
            return
        assert ended.code == 0, ended
        call //= 2
    raise AssertionError(f"no run has a {kind}")


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("arm", ARMS)
def test_killed_at_random(arm: str, number: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    whole, seconds = undisturbed(arm)
    draw = random.Random(f"{arm} {number}")
    here, start = tmp_path / "here", Command(ARMS[arm], tmp_path / "here")
    if number % 2:
        killed_by_the_clock(start, draw.uniform(0.05, 0.95), seconds)
    else:
        kinds = [kind for kind in WRITES if kind != "child" or arm.startswith("cnn")]
        kind = kinds[(number // 2) % len(kinds)]
        call = draw.randint(1, WRITES[kind])
        killed_within(start, kind, call, draw.random())
    ended = train(here, *ARMS[arm], "hydra.run.dir=run")
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []
