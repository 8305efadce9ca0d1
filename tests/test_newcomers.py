"""A space and a controller that the package has never seen: two files, two YAMLs, no change to it.

They lie in `tests/newcomers` as an example to copy; the README names them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
NEWCOMERS = ROOT / "tests" / "newcomers"


def search(folder: Path, *arguments: str) -> Path:
    ended = subprocess.run(
        [
            *(sys.executable, ROOT / "train.py", "--config-dir", NEWCOMERS / "conf", *arguments),
            *("logger=csv", "threads=1", f"hydra.run.dir={folder}"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(NEWCOMERS), str(ROOT)))},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def test_a_space_of_ones_own(tmp_path: Path) -> None:
    run = search(
        tmp_path / "run", "search_space=dense", "experiment=smoke", "controller=hill_climbing"
    )
    best = json.loads((run / "best_architecture.json").read_text())
    assert set(best["decisions"]) == {"layer 0 width", "layer 1 width"}
    assert best["metrics"]["parameters"] > 0


def test_a_controller_of_ones_own_learns(tmp_path: Path) -> None:
    """On a space it was not written for: at the end its best is far above uniform's."""
    run = search(
        tmp_path / "run",
        "experiment=pairs",
        "controller=hill_climbing",
        "trainer.max_epochs=2",
        "search.candidates=50",
        "callbacks.hidden_states.architectures=50",
        "callbacks.similarity.architectures=50",
    )
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["controller.reward"] == 1, "all pairs right"


def test_they_are_short() -> None:
    for file in ("dense.py", "hill_climbing.py"):
        code = [line for line in (NEWCOMERS / file).read_text().splitlines() if line.strip()]
        assert len(code) <= 60, file
