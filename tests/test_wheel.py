"""The package as a user installs it: a wheel, an empty folder, and what is printed to type next."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, which pip may write into."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("nas_lightning", "conf"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(folder), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"no wheel could be built here: {ended.stderr[-500:]}")
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Calls a command in an empty folder, with the wheel unpacked and nothing of the clone."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    packages = next((folder / "venv/lib").glob("python*/site-packages"))
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    command = folder / "venv/bin/nas-lightning"
    command.write_text(f"#!{python}\nfrom nas_lightning.__main__ import main\nmain()\n")
    command.chmod(0o755)
    here = folder / "here"
    here.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PATH": f"{command.parent}:{environment['PATH']}", "HOME": str(folder)}

    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=here, env=environment | more, capture_output=True, text=True, check=False
        )

    return call


@pytest.mark.slow
def test_what_is_in_the_wheel(wheel: Path) -> None:
    """All of the package and of conf/; neither scripts, nor benchmarks, nor tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "nas_lightning", "conf"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert names == {n if n.startswith("nas_lightning/") else f"nas_lightning/{n}" for n in tracked}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_printed_works_as_printed(installed: Call) -> None:
    searched = installed("nas-lightning", "experiment=smoke", "logger=csv", "threads=1")
    assert searched.returncode == 0, searched.stderr
    steps = [line.split(None, 2) for line in searched.stdout.splitlines()[-4:]]
    folder = steps[0][1]
    assert [step[0] for step in steps] == ["folder", "search", "retrain", "look"]
    search_on = steps[1][2].split()
    retrain = " ".join(steps[2][1:]).split()
    assert (search_on[0], retrain[:2]) == ("nas-lightning", ["nas-lightning", "retrain"])
    for words in (
        search_on,
        [*retrain, "retrain.epochs=1", "reference=null"],
        ["nas-lightning", "report", folder],
        ["nas-lightning", "study-table", f"study={Path(folder).parent}"],
        ["python", "-m", "nas_lightning", f"resume={folder}"],
    ):
        ended = installed(*words)
        assert ended.returncode == 0, (words, ended.stderr)
    assert ended.stderr.startswith("finished already: "), ended
    typed = "nas-lightning search_space=nas"
    completed = installed(
        "nas-lightning", "-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed))
    )
    assert completed.stdout.split() == [
        f"search_space={name}" for name in ("nas_bench_201", "nas_cnn", "nas_cnn_fine")
    ]
    helped = installed("nas-lightning", "--help").stdout
    assert "train.py" not in helped
    assert "nas-lightning experiment=smoke" in helped
