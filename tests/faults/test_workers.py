"""Those who train the children die, hang, or lose the cluster that they belong to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests import moments
from tests.faults.arms import ARMS, Undisturbed
from tests.processes import Command, children, descendants, differing, run

ARM = "cnn, replay"
START = (*ARMS[ARM], "hydra.run.dir=run")
ON_RAY = (*START[:-2], "executor=ray", START[-1])
ALIKE = {"RAY_worker_niceness": "0", "RAY_AUTH_MODE": "disabled"}
"""Ray's workers would wait for what else is tested now, and a token of the machine's user."""

RAY = "ray::_train"
"""What stands in the command of a worker of Ray's while it trains."""

pytestmark = pytest.mark.timeout(900)


def at_child(number: int, do: Callable[[], object]) -> Callable[[], None]:
    """Have something happen when a child's result is there, and the next ones are trained."""
    return partial(moments.at, "child", number, do)


@pytest.mark.faults(row="local worker killed")
@pytest.mark.parametrize("number", [1, 3, 6, 10, 13])
def test_a_local_worker(number: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    whole, _ = undisturbed(ARM)
    here = tmp_path / "here"
    ended = run(Command(START, here, prepare=at_child(number, moments.strike_worker)))
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []
    assert children(here / "run") == children(whole)


@pytest.mark.faults(row="child that hangs")
@pytest.mark.parametrize("number", [1, 6])
def test_a_child_that_hangs(number: int, tmp_path: Path) -> None:
    """It alone counts as failed; the search goes on."""
    here = tmp_path / "here"
    hang = partial(moments.later, 0.3, partial(moments.strike_worker, signal.SIGSTOP))
    start = (*START, "executor.child_timeout=20")
    ended = run(Command(start, here, prepare=at_child(number, hang)))
    assert ended.code == 0, ended
    statuses = [json.loads(line)["status"] for line in children(here / "run")]
    assert sorted({"ok", *statuses}) == ["ok", "timeout"]
    assert statuses.count("timeout") == 1


@pytest.mark.faults(row="child that hangs")
def test_children_that_all_hang(tmp_path: Path) -> None:
    """On Ray; that no child comes to its end is said."""
    pytest.importorskip("ray")
    ended = run(Command((*ON_RAY, "executor.child_timeout=1e-3"), tmp_path / "here", ALIKE))
    assert ended.code == 2, ended
    (line,) = (line for line in ended.ours if line.startswith("error: "))
    assert line == "error: every child of this step failed: timeout"


@pytest.mark.faults(row="Ray worker killed")
@pytest.mark.parametrize("number", [1, 2, 6])
def test_a_worker_of_ray(number: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    whole, _ = undisturbed(ARM)
    here, do = tmp_path / "here", partial(moments.strike, RAY)
    ended = run(Command(ON_RAY, here, ALIKE, prepare=at_child(number, do)))
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []
    assert children(here / "run") == children(whole)


@pytest.mark.faults(row="Ray head killed")
@pytest.mark.parametrize("part", ["gcs_server", "raylet/raylet"])
@pytest.mark.parametrize("number", [2, 7])
def test_ray_itself(part: str, number: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """A line tells how to go on, and the command repeated comes to the same end."""
    pytest.importorskip("ray")
    whole, _ = undisturbed(ARM)
    here, do = tmp_path / "here", partial(moments.strike, part)
    ended = run(Command(ON_RAY, here, ALIKE, prepare=at_child(number, do)))
    goes_on(ended.code, ended.ours, here)
    ended = run(Command(ON_RAY, here, ALIKE))
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []
    assert children(here / "run") == children(whole)


@pytest.mark.faults(row="Ray head killed")
def test_the_head_of_a_cluster(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """One that others have started."""
    pytest.importorskip("ray")
    whole, _ = undisturbed(ARM)
    here = tmp_path / "here"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = (*ON_RAY, f"executor.address=127.0.0.1:{port}")
    with head(port, tmp_path) as process:
        ended = run(Command(start, here, ALIKE, prepare=at_child(2, partial(kill, process))))
    goes_on(ended.code, ended.ours, here)
    with head(port, tmp_path):
        ended = run(Command(start, here, ALIKE))
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []


def goes_on(code: int, lines: list[str], here: Path) -> None:
    """That a run which has lost Ray ended as it should, and holds what was trained."""
    (line,) = (line for line in lines if line.startswith("error: "))
    assert code == 2, lines
    for words in ("nothing answers at ", "children are kept", "repeat the command"):
        assert words in line
    assert children(here / "run")


@contextmanager
def head(port: int, folder: Path) -> Iterator[int]:
    """The head of a cluster, all of it one machine; its process."""
    ray = Path(sys.executable).with_name("ray")
    call = [str(ray), "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    call += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"]
    with (
        (folder / "ray.txt").open("w") as log,
        subprocess.Popen(call, env={**os.environ, **ALIKE}, stdout=log, stderr=log) as process,
    ):
        deadline = time.monotonic() + 120
        while "raylet/raylet" not in commands(process.pid):
            assert time.monotonic() < deadline, (folder / "ray.txt").read_text()
            time.sleep(0.5)
        try:
            yield process.pid
        finally:
            kill(process.pid)


def commands(pid: int) -> str:
    """What the processes that a process has started are doing."""
    texts = (Path(f"/proc/{child}/cmdline") for child in descendants(pid))
    return " ".join(text.read_text() for text in texts if text.exists())


def kill(pid: int) -> None:
    """Kill a process and all that it has started, which may have ended already."""
    for one in (pid, *descendants(pid)):
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
