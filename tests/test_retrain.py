"""From a finished search to a final number, by the real command."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nas_lightning.errors import UserError
from nas_lightning.retrain import rewritten

ROOT = Path(__file__).parents[1]


def test_a_grid_is_decided_on_validation(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "the run"
    shutil.copytree(finished, run)
    grid = ["retrain.epochs=1", "retrain.learning_rate=0.0001,5", "seed=0,1"]
    command = [sys.executable, ROOT / "scripts/retrain.py", "-m", f"run={run}", *grid]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    final = json.loads((run / "retrain/final.json").read_text())
    assert final["settings"]["learning_rate"] == 5
    assert final["seeds"] == [0, 1]
    assert final["kind"] == "final"
    assert final["tried"] == 2
    best = json.loads((run / "best_architecture.json").read_text())
    assert (final["actions"], final["decisions"]) == (best["actions"], best["decisions"])
    tests = [score["perplexity"] for score in final["test"]]
    assert len(set(tests)) == 2
    assert all(math.isfinite(value) and 1 < value < 60 for value in tests)
    assert all((tmp_path / weights).is_file() for weights in final["weights"])
    assert "test perplexity (final)" in ended.stdout


@pytest.mark.parametrize("arguments", [[], ["run=a", "architecture=b"], ["seed=1"]])
def test_one_search_is_named(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="give one of run=FOLDER"):
        rewritten(arguments)


def test_no_search_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished search there"):
        rewritten([f"run={tmp_path}"])


def test_a_damaged_architecture(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "config.yaml", tmp_path)
    (tmp_path / "mine.json").write_text('{"actions": 3}')
    with pytest.raises(UserError, match="holds no list"):
        rewritten([f"architecture={tmp_path / 'mine.json'}"])
