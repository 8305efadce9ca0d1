"""What all tests share: the slow ones are left out unless asked for, and finished runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import nas_lightning  # noqa: F401  (before torch, which reads the settings that it makes)
from tests import quick
from tests.processes import ARMS, TINY, Command, preload, train_all
from tests.shell import Shell

pytest_plugins = ["tests.fault_table"]

# Before torch is imported: as many workers as cores, each with a thread a core, wait for each other
# most of the time, and sums of a few numbers are not worth a second thread. Commands that are
# started anew inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in its background deaf to Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

ON_DEMAND = ("slow", "faults", "soak")
"""Marks of tests that take long."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked as taking long, unless `-m` says what to run."""
    if config.option.markexpr:
        return
    long = [item for item in items if any(map(item.get_closest_marker, ON_DEMAND))]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each worker has a part of the files from end to end, and at its end takes from the others'.

    So what the tests of a file share is made by one worker alone.
    """
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_finish() -> None:
    """Whoever is first to start the fork server, the package or a test, it serves both.

    What has been imported stays until the end.
    """
    preload()
    quick.collect_seldom()


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A copy of a folder that the first of pytest's workers to need it makes for all of them.

    Args:
        factory: Knows the temporary folder of this worker.
        name: The folder's.
        make: Fills it.
    """
    own = factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    original, complete = common / "made once" / name, common / "made once" / f"{name}.complete"
    original.parent.mkdir(exist_ok=True)
    with original.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            make(original)
            complete.touch()
    return Path(shutil.copytree(original, factory.mktemp(name) / "here"))


@pytest.fixture(scope="session", autouse=True)
def conf_is_parsed_once() -> Iterator[None]:
    """A composition reads some twenty files, and many tests compose."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OmegaConf, "load", staticmethod(quick.load))
        yield


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches in this process leave no page, which takes as long as a small one of them."""
    monkeypatch.setattr("nas_lightning.assembly.run.report", lambda *_: None)


@pytest.fixture(scope="session")
def shell() -> Iterator[Shell]:
    """Where commands are called that are refused or soon done; of each worker's own."""
    shell = Shell()
    yield shell
    shell.close()


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a finished run of every arm; read only."""

    def make(folder: Path) -> None:
        ended = train_all(
            [
                Command((*settings, f"hydra.run.dir='{arm}'"), folder, page=arm == "default")
                for arm, settings in ARMS.items()
            ]
        )
        beside = (": not defined for this controller", "processors: ")
        lines = [[s for s in e.ours if not any(b in s for b in beside)] for e in ended]
        assert [e.code for e in ended] == [0] * len(ARMS), ended
        assert [len(said) for said in lines] == [3] * len(ARMS), ended

    folder = made_once(tmp_path_factory, "uninterrupted", make)
    return {arm: folder / arm for arm in ARMS}


@pytest.fixture(scope="session")
def finished(uninterrupted: dict[str, Path]) -> Path:
    """The folder of a finished run with the settings `TINY`; read only."""
    return uninterrupted["default"]


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three arms with two seeds, of cells of three nodes; read only."""

    def make(folder: Path) -> None:
        ended = train_all(
            [
                Command(
                    (
                        *TINY,
                        "child.normalisation=batch",
                        f"arm={arm}",
                        f"seed={seed}",
                        f"hydra.run.dir='study/arm={arm},seed={seed}'",
                    ),
                    folder,
                )
                for arm in ("lstm", "random_10", "random")
                for seed in (0, 1)
            ]
        )
        assert [e.code for e in ended] == [0] * 6, ended

    return made_once(tmp_path_factory, "small", make) / "study"
