"""SIGTERM and Ctrl-C: an end in order, at once, in the middle of whatever is done."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.utilities.exceptions import SIGTERMException

from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.estimators.weight_sharing import WeightSharing
from nas_lightning.runs import stopping
from nas_lightning.runs.folder import RunFolder
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


def lost() -> None:
    """A library that loses the stop, and waits for a lock that it has left behind."""
    stopping.AGAIN_SECONDS = 0.5
    with contextlib.suppress(SystemExit):
        moments.stop(signal.SIGTERM)
    threading.Semaphore(0).acquire()


def mistaken() -> None:
    """A library that makes an error of the stop."""
    with contextlib.suppress(SystemExit):
        moments.stop(signal.SIGTERM)
    raise RecursionError("a loop")


@pytest.mark.faults(row="SIGTERM within a library that loses it")
@pytest.mark.parametrize(
    ("within", "said"),
    [(lost, "stopped"), (mistaken, "stopped (RecursionError meanwhile: a loop)")],
)
def test_a_library_loses_it(
    within: Callable[[], None], said: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """It has not failed, and does not hang."""
    whole, _ = undisturbed("cnn, replay")
    here, start = tmp_path / "here", (*ARMS["cnn, replay"], "hydra.run.dir=run")
    prepare = partial(moments.at, "child", 2, within)
    ended = run(Command(start, here, prepare=prepare, patience=90))
    way_on = WAY_ON.replace("stopped", said)
    assert (ended.code, ended.ours[-1]) == (128 + signal.SIGTERM, way_on), ended
    assert "Traceback" not in ended.err
    assert not (here / "run/FAILED").exists()
    ended = train(here, "resume=run")
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []


def while_it_is_built() -> None:
    begin = RunFolder.begin

    def begun(*arguments: Any) -> None:
        moments.stop(signal.SIGTERM)
        (Path.cwd() / "waited").touch()
        begin(*arguments)

    RunFolder.begin = begun  # type: ignore[assignment,method-assign]


@pytest.mark.faults(row="SIGTERM while a run is built")
def test_while_it_is_built(tmp_path: Path) -> None:
    """It waits, for imports and what else there is are no place to be thrown out of."""
    here, start = tmp_path / "here", (*ARMS["rnn, random"], "hydra.run.dir=run")
    ended = run(Command(start, here, prepare=while_it_is_built))
    assert (ended.code, ended.ours[-1]) == (128 + signal.SIGTERM, WAY_ON), ended
    assert (here / "waited").exists()
    assert "epoch 1" not in ended.err
    assert train(here, "resume=run").code == 0


def at_the_end_of_an_epoch() -> None:
    """After the save, where Lightning has an exit of its own."""
    ArchitectureSearch.on_train_epoch_end = lambda self: moments.stop(signal.SIGTERM)  # type: ignore[method-assign]


def while_it_clears_up() -> None:
    """After Lightning has put the handlers back that it found."""
    stopping.AGAIN_SECONDS = 0.5
    WeightSharing.close = lambda self: threading.Semaphore(0).acquire()  # type: ignore[assignment,method-assign]
    moments.at("save", 2, partial(moments.stop, signal.SIGTERM))


@pytest.mark.faults(row="SIGTERM within a library that loses it")
@pytest.mark.parametrize("prepare", [at_the_end_of_an_epoch, while_it_clears_up])
def test_around_lightning(prepare: Callable[[], None], tmp_path: Path) -> None:
    here, start = tmp_path / "here", (*ARMS["rnn, random"], "hydra.run.dir=run")
    ended = run(Command(start, here, prepare=prepare, patience=90))
    assert (ended.code, ended.ours[-1]) == (128 + signal.SIGTERM, WAY_ON), ended
    assert train(here, "resume=run").code == 0


def by_lightning() -> None:
    """As in a process of a launcher's, where nobody else listens."""

    def told(self: ArchitectureSearch) -> None:
        raise SIGTERMException

    ArchitectureSearch.on_train_epoch_end = told  # type: ignore[assignment,method-assign]


@pytest.mark.faults(row="SIGTERM within a library that loses it")
def test_lightning_alone_is_told(tmp_path: Path) -> None:
    here, start = tmp_path / "here", (*ARMS["rnn, random"], "hydra.run.dir=run")
    ended = run(Command(start, here, prepare=by_lightning))
    assert (ended.code, ended.ours[-1]) == (128 + signal.SIGTERM, WAY_ON), ended
