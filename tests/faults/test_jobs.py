"""Two processes on one folder, a job of many that fails or is killed, and more than one device."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests import moments
from tests.faults.arms import ARMS, Undisturbed
from tests.processes import CNN, TINY, Command, descendants, differing, run, train

ROOT = Path(__file__).parents[2]
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


@pytest.mark.faults(row="a process of a multirun killed")
@pytest.mark.parametrize("rows", [1, 20, 40])
def test_a_process_of_a_multirun_is_killed(
    rows: int, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    """While one of its jobs has written so many rows: a line, and repeated it goes on."""
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    sweep = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, "seed=0,1,2", *launcher]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        sweep, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as first:
        deadline = time.monotonic() + 300
        while longest_ledger(tmp_path) < rows and time.monotonic() < deadline:
            time.sleep(0.01)
        texts = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in descendants(first.pid)}
        os.kill(min(pid for pid, text in texts.items() if "popen_loky" in text), signal.SIGKILL)
        _, err = first.communicate(timeout=300)
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert first.returncode == 2, err
    assert "a process of this multirun was killed" in line
    assert "Traceback" not in err
    subprocess.run(sweep, cwd=tmp_path, env=environment, check=True, capture_output=True)
    done = {done.parent for done in tmp_path.glob("outputs/*/*/DONE")}
    assert len(done) == 3
    (zero,) = (run for run in done if "\nseed: 0\n" in (run / "config.yaml").read_text())
    assert differing(zero, uninterrupted["default"]) == []


def longest_ledger(folder: Path) -> int:
    """Rows of the longest ledger of any run below."""
    ledgers = folder.glob("outputs/*/*/ledger.jsonl")
    return max((path.read_bytes().count(b"\n") for path in ledgers), default=0)


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
