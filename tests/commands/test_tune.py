"""Keys that Optuna chooses: what is asked, what is told, and that a killed command goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.commands import tune as command
from nas_lightning.commands.tune import parted, tune
from nas_lightning.errors import UserError

pytest.importorskip("optuna", reason="optuna is not installed")
TUNED = (
    "controller.optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "search_space.num_nodes=range(3,6)",
    "search.architectures_per_step=4,6",
)


def test_what_is_asked_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The better value is found, failures are on record, and the same command asks the same."""
    monkeypatch.chdir(tmp_path)
    asked: list[dict[str, Any]] = []

    def searched(overrides: dict[str, Any], folder: Path) -> tuple[float, int]:
        asked.append(overrides)
        assert folder == tmp_path / f"outputs/mine/trial={(len(asked) - 1) % 8}"
        if len(asked) == 3:
            raise UserError("no luck")
        return float(overrides["search_space.num_nodes"]), 1

    monkeypatch.setattr(command, "searched", searched)
    arguments = ("trials=8", "study=mine", "seed=1", "controller=lstm", *TUNED)
    (tmp_path / "outputs/mine").mkdir(parents=True)
    tune(arguments)
    for one in asked:
        assert one["seed"] == 1
        assert one["controller"] == "lstm"
        assert one["study"] == "mine"
        assert 1e-4 <= one["controller.optimizer.lr"] <= 1e-1
        assert one["search_space.num_nodes"] in (3, 4, 5)
        assert one["search.architectures_per_step"] in (4, 6)
    trials = json.loads((tmp_path / "outputs/mine/tune.json").read_text())["trials"]
    assert [row["value"] is None for row in trials] == [n == 2 for n in range(8)]
    assert trials[2]["failed"] == "no luck"
    first, asked[:] = list(asked), []
    tune(arguments)
    assert asked == first


def test_a_trial_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searched once: called again it is only read."""
    monkeypatch.chdir(tmp_path)
    small = ("experiment=pairs", "budget=smoke", "logger=csv", "threads=1", "trainer.max_epochs=1")
    for _again in range(2):
        tune((*small, "trials=1", "controller=random,untrained"))
    assert (tmp_path / "outputs/tuned/trial=0/DONE").exists()
    (row,) = json.loads((tmp_path / "outputs/tuned/tune.json").read_text())["trials"]
    best = json.loads((tmp_path / "outputs/tuned/trial=0/best_architecture.json").read_text())
    assert row["value"] == best["metrics"]["accuracy"]


def test_many_seeds_are_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged by their mean."""
    monkeypatch.chdir(tmp_path)
    small = ("experiment=table", "threads=1", "trainer.max_epochs=1", "seeds=3", "seed=7")
    tune((*small, "controller=evolution", "trials=1", "controller.population=20,20"))
    (row,) = json.loads((tmp_path / "outputs/tuned/tune.json").read_text())["trials"]
    lines = (tmp_path / "outputs/tuned/trial=0/ledger.jsonl").read_text().splitlines()
    best = [json.loads(line)["metrics"]["perplexity_after_2_epochs"] for line in lines]
    assert len(best) == 3
    assert row["value"] == sum(best) / 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seed=1"], "tune: nothing is to be tuned"),
        (["seed=1,2", "trials=0"], "trials=0 is not allowed: must be a whole number >= 1"),
        (["seed=interval(1"], r"seed=interval\(1: cannot be read"),
    ],
)
def test_refused_in_a_line(arguments: list[str], said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}") as refused:
        parted(arguments)
    assert "\n" not in str(refused.value)
