"""With what a run was searched, a line a stretch: `stretches.jsonl`.

A stretch is what one process has done, from a start or a resume on. Its line is written before its
first step: when it began, the versions, the configuration as it was used (the text of
`config.yaml`) and the fingerprint of the data. What goes on is compared with the last one.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from nas_lightning.files import to_json
from nas_lightning.runs.stopping import deferred

STRETCHES = "stretches.jsonl"
PACKAGES = ("nas-lightning", "torch", "pytorch-lightning", "numpy")
"""Whose versions may change what a search comes to."""


class Stretch(NamedTuple):
    """One stretch of a run.

    Attributes:
        began: When, in ISO 8601.
        versions: Of Python and packages, and the commit of the program where it is in git.
        config: The text of `config.yaml`.
        data: Split -> what `Data.fingerprint` said of it; None without data.
    """

    began: str
    versions: Mapping[str, str]
    config: str
    data: Mapping[str, str] | None


def versions() -> dict[str, str]:
    """With what this process searches: packages, Python, the commit, and how many threads."""
    import torch

    found = {"threads": str(torch.get_num_threads())}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # it runs from a folder, uninstalled
            continue
    found["python"] = platform.python_version()
    revision = commit()
    return found | ({"commit": revision} if revision else {})


@functools.cache
def commit() -> str | None:
    """The program's commit, with `-dirty` where files differ from it; None outside git."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        with deferred():  # an exception would leave a lock behind, and Ctrl-C is not for git
            said = subprocess.run(
                [*command, "--abbrev=12"],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
                start_new_session=True,
            )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def line(config: str, data: Mapping[str, str] | None) -> str:
    """The line of a stretch that begins now."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    return to_json(Stretch(began, versions(), config, data)._asdict()) + "\n"


def read(folder: Path) -> tuple[list[Stretch], int]:
    """The stretches of a run, and how many lines could not be read; none without a record."""
    try:
        lines = (folder / STRETCHES).read_bytes().splitlines()
    except OSError:
        return [], 0
    found = [stretch for text in lines if (stretch := _stretch(text)) is not None]
    return found, len(lines) - len(found)


def _stretch(text: bytes) -> Stretch | None:
    try:
        stretch = Stretch(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    mappings = [stretch.versions, {} if stretch.data is None else stretch.data]
    good = all(isinstance(value, str) for value in (stretch.began, stretch.config)) and all(
        isinstance(mapping, dict) and all(isinstance(value, str) for value in mapping.values())
        for mapping in mappings
    )
    return stretch if good else None


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """In what the versions of two stretches differ, in words; empty where they do not."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(f"{n} {now.get(n, 'unknown')} (was {before.get(n, 'unknown')})" for n in names)
