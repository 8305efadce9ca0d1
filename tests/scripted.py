"""A script that searches from within Python, to be run as a process: `scripted.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import nas_lightning as nl
from tests.conftest import made_once
from tests.processes import TINY

OVERRIDES = {key: yaml.safe_load(value) for key, _, value in (a.partition("=") for a in TINY)}
"""`TINY` as a dictionary."""

STACKS: dict[str, Any] = {
    "experiment": "smoke",
    "logger": "csv",
    "threads": 1,
    "search_space.filters": [4, 8],
    "executor.workers": 1,
}
"""A small search of convolutional networks."""


def search_stacks(factory: pytest.TempPathFactory) -> Path:
    """The folder of such a run, made from within Python once for all tests; a copy."""

    def make(folder: Path) -> None:
        assert nl.search("nas_cnn", folder=folder, overrides=STACKS).status == "finished"

    return made_once(factory, "found stacks", make)


def main() -> None:
    nl.search(folder=sys.argv[1], overrides=OVERRIDES)
