"""Undisturbed runs to compare with."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import pytest

from tests.faults.arms import ARMS, Undisturbed
from tests.processes import Command, run


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The folder of an arm's finished run, read only, and the seconds that it took."""

    @functools.cache
    def finished(arm: str) -> tuple[Path, float]:
        here = tmp_path_factory.mktemp("undisturbed") / "here"
        started = time.monotonic()
        ended = run(Command((*ARMS[arm], "hydra.run.dir=whole"), here))
        assert ended.code == 0, ended
        return here / "whole", time.monotonic() - started

    return finished
