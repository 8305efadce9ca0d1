"""A disk that is full or may only be read, and a folder that is deleted under the run."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from nas_lightning.runs.tensors import read
from tests import moments
from tests.faults.arms import ARMS, Undisturbed
from tests.processes import Command, differing, run, train

ARM = "rnn, replay"
START = (*ARMS[ARM], "hydra.run.dir=run")
Mount = Callable[[str], None]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The working directory, where a small disk is mounted."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def mount(here: Path) -> Iterator[Mount]:
    """Mount a disk with these options, or change those of the one that is there."""

    def with_options(options: str) -> None:
        remount = ["-o", "remount"] if here.is_mount() else []
        call = ["mount", "-t", "tmpfs", *remount, "-o", options, "tmpfs", str(here)]
        done = subprocess.run(call, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small disk takes root to mount: {done.stderr.strip()}")

    yield with_options
    if here.is_mount():
        subprocess.run(["umount", "-l", str(here)], check=True)


@pytest.mark.faults(row="disk full")
@pytest.mark.parametrize("fraction", [0.02, 0.4, 0.55, 0.7, 0.85])
def test_a_full_disk(fraction: float, mount: Mount, here: Path, undisturbed: Undisturbed) -> None:
    """Full at some moment of the run: one line, nothing half-written, and it goes on with room."""
    whole, _ = undisturbed(ARM)
    size = sum(p.stat().st_size for p in whole.rglob("*") if p.name != "report.html")
    mount(f"size={max(4096, int(fraction * size))}")
    ended = train(here, *START)
    (line,) = (line for line in ended.ours if line.startswith("error: "))
    assert ended.code == 2, ended
    assert "No space left on device" in line
    assert "Traceback" not in ended.err
    assert list(here.rglob("*.unfinished")) == []
    for checkpoint in here.rglob("*.ckpt"):
        read(checkpoint)
    mount("size=100m")
    ended = train(here, *START)
    assert ended.code == 0, ended
    assert differing(here / "run", whole) == []


@pytest.mark.faults(row="read-only folder")
@pytest.mark.parametrize("command", ["repeated", "resume="])
def test_a_disk_that_may_only_be_read(
    command: str, mount: Mount, here: Path, undisturbed: Undisturbed
) -> None:
    whole, _ = undisturbed(ARM)
    mount("size=100m")
    shutil.copytree(whole, here / "run")
    (here / "run/DONE").unlink()
    mount("ro")
    again = START if command == "repeated" else ("resume=run",)
    ended = train(here, *again)
    (line,) = ended.ours
    assert ended.code == 2, ended
    assert "cannot be written to" in line
    mount("rw")
    assert train(here, *again).code == 0
    assert differing(here / "run", whole) == []


@pytest.mark.faults(row="output folder deleted under the run")
@pytest.mark.parametrize("number", range(4))
def test_a_deleted_folder(number: int, tmp_path: Path) -> None:
    """The run ends at the next save at the latest, and does not come back in parts."""
    here = tmp_path / "here"
    call = random.Random(number).randint(2, 60)
    delete = partial(shutil.rmtree, here / "run", ignore_errors=True)
    ended = run(Command(START, here, prepare=partial(moments.at, "row", call, delete)))
    assert ended.code == 2, ended
    (line,) = (line for line in ended.ours if line.startswith("error: "))
    assert f"{here}/run: was deleted while the run wrote there" in line
    assert "repeat the command" in line
    assert not list(here.rglob("*.ckpt"))
    assert train(here, *START).code == 0
