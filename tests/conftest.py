"""What all tests share: the slow ones are left out unless asked for, and finished runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import nas_lightning  # noqa: F401  (before torch, which reads the settings that it makes)
from tests.processes import ARMS, TINY, Command, preload, train_all

pytest_plugins = ["tests.fault_table"]

# Before torch is imported: as many workers as cores, each with a thread a core, wait for each other
# most of the time, and sums of a few numbers are not worth a second thread. Commands that are
# started anew inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ON_DEMAND = ("slow", "faults", "soak")
"""Marks of tests that take long."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked as taking long, unless `-m` says what to run."""
    if config.option.markexpr:
        return
    long = [item for item in items if any(map(item.get_closest_marker, ON_DEMAND))]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_collection_finish() -> None:
    """Whoever is first to start the fork server, the package or a test, it serves both."""
    preload()


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a finished run of every arm; read only."""
    root = tmp_path_factory.mktemp("uninterrupted")
    ended = train_all(
        [
            Command((*settings, f"hydra.run.dir='{arm}'"), root / "here")
            for arm, settings in ARMS.items()
        ]
    )
    assert [(e.code, e.err.count("\n")) for e in ended] == [(0, 3)] * len(ARMS), ended
    return {arm: root / "here" / arm for arm in ARMS}


@pytest.fixture(scope="session")
def finished(uninterrupted: dict[str, Path]) -> Path:
    """The folder of a finished run with the settings `TINY`; read only."""
    return uninterrupted["default"]


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three arms with two seeds, of cells of three nodes; read only."""
    root = tmp_path_factory.mktemp("small")
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
                root,
            )
            for arm in ("lstm", "random_10", "random")
            for seed in (0, 1)
        ]
    )
    assert [e.code for e in ended] == [0] * 6, ended
    return root / "study"
