"""Shared weights against a table, on a real, tiny study and on a table made from its own losses."""

from __future__ import annotations

import csv
import itertools
import math
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from nas_lightning.assembly.make import make
from nas_lightning.assembly.rebuild import child_of, configuration, data_of
from nas_lightning.commands import rank_agreement as command
from nas_lightning.errors import UserError
from nas_lightning.search_spaces.child import score_all


def agree(study: Path, table: Path | None = None) -> None:
    asked = {**command.OPTIONS, "study": str(study), **({"table": str(table)} if table else {})}
    command.agreements(OmegaConf.create(asked))


def every(run: Path) -> list[tuple[int, ...]]:
    space = make(configuration(run), "search_space")
    return list(itertools.product(*(range(n) for n in space.num_choices)))


def write_table(run: Path, path: Path, losses: list[list[float]]) -> None:
    """A row for each architecture of a run's space, with a loss for each seed."""
    space = make(configuration(run), "search_space")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        seeds = [
            f"loss (nats per target) | a text | 2 epochs | seed {n}" for n in range(len(losses))
        ]
        writer.writerow([*(d.name for d in space.decisions), *seeds])
        for actions, *row in zip(every(run), *losses, strict=True):
            writer.writerow([*space.describe(actions).values(), *row])


def test_losses_are_those_of_each_architecture_alone(small_study: Path) -> None:
    run = small_study / "arm=random,seed=0"
    some = every(run)[5:8]
    child, batches = child_of(run), data_of(run).validation_batches()
    found = command.shared_values(run, some, "loss")
    for actions, loss in zip(some, found, strict=True):
        with torch.no_grad():
            score = score_all(child, batches, torch.tensor([actions]))
        assert float(score.loss_sum / score.count) == pytest.approx(loss, rel=1e-5)


def test_a_table_that_ranks_alike_and_one_that_ranks_the_other_way(
    small_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    run = Path(shutil.copytree(small_study / "arm=random,seed=0", study / "arm=random,seed=0"))
    losses = command.shared_values(run, every(run), "loss")
    write_table(run, tmp_path / "same.csv", [losses, losses])
    agree(study, tmp_path / "same.csv")
    lines = capsys.readouterr().out.splitlines()
    (own,) = [line for line in lines if line.startswith("random, seed 0: ")]
    assert own.startswith("random, seed 0: tau 1.000 (95 % interval 1.000 to 1.000, 128 arch")
    assert lines[-2] == "ceiling, a predictor without noise and the mean of 2 seeds: 1.000"
    assert lines[-1].startswith("one seed of the table and another: tau 1.000")
    write_table(run, tmp_path / "reversed.csv", [[-loss for loss in losses]])
    agree(study, tmp_path / "reversed.csv")
    out = capsys.readouterr().out
    assert "random, seed 0: tau -1.000 " in out
    assert "ceiling: unknown, the table has a single seed" in out


def test_what_has_diverged_ranks_last(
    small_study: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = small_study / "arm=random,seed=0"
    losses = [float(number) for number in range(128)]
    write_table(run, tmp_path / "table.csv", [losses])
    found = [*losses[:125], math.nan, math.inf, math.nan]
    monkeypatch.setattr(command, "shared_values", lambda *asked: found)
    agree(small_study, tmp_path / "table.csv")
    first = capsys.readouterr().out.splitlines()[1]
    assert "nan" not in first
    assert "tau 1.000" in first
    assert first.endswith("; 3 have diverged and rank last")
    found[:] = [math.nan] * 128
    agree(small_study, tmp_path / "table.csv")
    assert ": all 128 architectures have diverged" in capsys.readouterr().out


def test_the_table_of_the_package(
    small_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        name = f"arm=random,seed={seed}"
        shutil.copytree(small_study / name, tmp_path / "study" / name)
    agree(tmp_path / "study")
    out = capsys.readouterr().out
    assert out.count(" architectures") == 3, "two runs and the ceiling"
    assert "over 2 runs: " in out
    assert "one seed of the table and another: tau 0.820" in out
    assert "ceiling, a predictor without noise and the mean of 2 seeds: 0.898" in out


def test_a_table_of_another_space(small_study: Path, tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text(
        "node 0 activation,loss (nats per target) | a text | 2 epochs | seed 0\ntanh,1.0\n"
    )
    with pytest.raises(
        UserError, match=r"^table=.*other\.csv is not allowed: 0 columns are called "
    ):
        agree(small_study, table)
