"""SIGTERM and Ctrl-C: an end in order, at once, in the middle of whatever is done."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests import moments
from tests.faults.arms import ARMS, Undisturbed
from tests.processes import Command, Kill, alive, differing, run, train

SIGNALS = [signal.SIGTERM, signal.SIGINT]
WAY_ON = "stopped; go on with: nas-lightning resume=run"

pytestmark = pytest.mark.timeout(900)


@pytest.mark.faults(row="SIGTERM or Ctrl-C within a step or a save")
@pytest.mark.parametrize("by", SIGNALS)
@pytest.mark.parametrize(("kind", "call"), [("row", 9), ("row", 25), ("save", 2), ("rename", 3)])
def test_within_a_step(
    by: signal.Signals, kind: moments.Kind, call: int, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    whole, _ = undisturbed("rnn, replay")
    here, start = tmp_path / "here", (*ARMS["rnn, replay"], "hydra.run.dir=run")
    prepare = partial(moments.at, kind, call, partial(moments.stop, by))
    ended = run(Command(start, here, prepare=prepare))
    assert (ended.code, ended.ours[-1]) == (128 + by, WAY_ON), ended
    assert "Traceback" not in ended.err
    assert list((here / "run").rglob("*.unfinished")) == []
    ended = train(here, "resume=run")
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []


@pytest.mark.faults(row="SIGTERM or Ctrl-C while children are trained")
@pytest.mark.parametrize("by", SIGNALS)
@pytest.mark.parametrize("number", [2, 7])
def test_while_children_are_trained(
    by: signal.Signals, number: int, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    whole, _ = undisturbed("cnn, replay")
    here = tmp_path / "here"
    start = (*ARMS["cnn, replay"], "hydra.run.dir=run")
    kill = Kill(0, number, "child", by)
    ended = run(Command(start, here, kill=kill, own_server=True))
    assert (ended.code, ended.ours[-1]) == (128 + by, WAY_ON), ended
    deadline = time.monotonic() + 60
    while alive(here):
        assert time.monotonic() < deadline, "workers have stayed"
        time.sleep(0.05)
    ended = train(here, "resume=run")
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []
