"""Two processes on one folder, a job of many that fails, and more than one device."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import moments
import pytest
from arms import ARMS, Undisturbed
from processes import CNN, TINY, Command, differing, run, train

ARM = "rnn, replay"
START = (*ARMS[ARM], "hydra.run.dir=run")

pytestmark = pytest.mark.timeout(900)


def pause(folder: Path) -> None:
    """Say that it has come so far, and wait for leave to go on."""
    (folder / "paused").touch()
    wait_for(folder / "go on")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.05)


@pytest.mark.faults(row="two processes on one folder")
@pytest.mark.parametrize("command", ["repeated", "resume="])
@pytest.mark.parametrize(("kind", "call"), [("row", 9), ("save", 2), ("rename", 3)])
def test_two_processes(
    kind: moments.Kind, call: int, command: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """The second refuses; the first does not notice."""
    whole, _ = undisturbed(ARM)
    here = tmp_path / "here"
    prepare = partial(moments.at, kind, call, partial(pause, tmp_path))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, Command(START, here, prepare=prepare))
        try:
            wait_for(tmp_path / "paused")
            second = train(here, *(START if command == "repeated" else ("resume=run",)))
        finally:
            (tmp_path / "go on").touch()
    (line,) = second.ours
    assert second.code == 2, second
    assert re.search(rf"{here}/run: process \d+ on .+ is searching there; wait", line)
    assert first.result().code == 0, first.result()
    assert differing(here / "run", whole) == []


@pytest.mark.faults(row="a job of a multirun fails")
@pytest.mark.parametrize("call", [3, 25, 50, 75])
def test_a_job_fails(call: int, tmp_path: Path) -> None:
    """At some moment of one of three jobs; the others go on, and repeated so does it."""
    here = tmp_path / "here"
    sweep = ("-m", *TINY, "controller=random", "seed=0,1,2")
    prepare = partial(moments.at, "row", call, moments.no_space)
    ended = run(Command(sweep, here, prepare=prepare))
    assert ended.code == 2, ended
    (line,) = (line for line in ended.ours if line.startswith("failed: "))
    assert "No space left on device" in line
    assert len(list(here.rglob("DONE"))) == 2
    assert len(list(here.rglob("FAILED"))) == 1
    ended = train(here, *sweep)
    assert ended.code == 0, ended
    assert ended.err.count("finished already: ") == 2
    assert len(list(here.rglob("DONE"))) == 3


@pytest.mark.faults(row="several devices")
@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize("settings", [TINY, CNN])
def test_several_devices(settings: tuple[str, ...], sweep: bool, tmp_path: Path) -> None:
    """Inside a multirun a second process would run all of it again."""
    asked = ("-m", *settings, "seed=0,1") if sweep else settings
    ended = train(tmp_path / "here", *asked, "trainer.accelerator=cpu", "trainer.devices=2")
    assert ended.code == 2, ended
    lines = [line for line in ended.ours if "trainer.devices=2 is not allowed" in line]
    assert len(lines) == len(ended.ours) == 1 + sweep
    assert all("hydra/launcher=joblib" in line for line in lines)
