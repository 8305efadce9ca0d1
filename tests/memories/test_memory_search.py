"""The search with a memory: what is stored when, the step on two losses, and the key's names."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.assembly import search as experiment
from nas_lightning.engine import ArchitectureSearch
from tests.given import composed
from tests.processes import TINY, UNSEEN, Command
from tests.shell import Shell

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own deprecated call


def values(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Of each metric, its epochs and values."""
    found = defaultdict(list)
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["name"]].append((int(row["epoch"]), float(row["value"])))
    return found


def test_a_search_with_replay(tmp_path: Path, shell: Shell) -> None:
    """2 epochs of 3 controller steps: stored at the start of both, recalled in the second."""
    asked = (*TINY, *UNSEEN, "memory=replay", "hydra.run.dir=run")
    ended = shell.run(Command(asked, tmp_path / "here", page=False))
    assert ended.code == 0, ended
    found = values(tmp_path / "here/run")
    assert found["memory/stored"] == [(0, 100.0), (1, 200.0)]
    assert [epoch for epoch, _ in found["memory/loss"]] == [1, 1, 1]
    assert [epoch for epoch, _ in found["memory/gradient_ratio"]] == [1, 1, 1]
    assert all(ratio > 0 for _, ratio in found["memory/gradient_ratio"])


def test_a_search_without_memory_says_nothing_of_it(finished: Path) -> None:
    assert not [name for name in values(finished) if name.startswith("memory/")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("memory=replay", "controller=random"),
            "experiment=smoke memory=replay controller=random: memory: needs a controller that tra",
        ),
        (
            ("memory=metric", "controller=factorized"),
            "experiment=smoke memory=metric controller=factorized: memory: needs a controller with",
        ),
        (("memory=replay", "memory.recall_from=2"), "memory.recall_from=2 is not allowed"),
        (("memory=replay", "memory.capacity=9"), "memory.batch_size=100 is not allowed"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], says: str, tmp_path: Path, shell: Shell
) -> None:
    small = ("memory.replace_per_epoch=1",) if "memory=replay" in arguments else ()
    ended = shell.train(tmp_path / "here", *TINY, *small, *arguments, "hydra.run.dir=run")
    (line,) = ended.ours
    assert ended.code == 2
    assert line.startswith(f"error: {says}")
    assert not (tmp_path / "here/run/ledger.jsonl").exists(), "the run has begun"


class TwoLosses(nn.Module):
    """As controller and as memory: a loss by hand."""

    def __init__(self, parameter: Tensor) -> None:
        super().__init__()
        self.parameter = nn.Parameter(parameter)
        self.weight = 0.5


def test_the_step_on_both_losses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The gradient is that of the weighted sum, and the ratio that of the parts' norms."""
    cfg = composed(*TINY, "memory=reconstruction", "memory.weight=0.5")
    trainer, search = experiment.build(cfg, tmp_path)
    search.trainer = trainer
    (theta,), (phi,) = (
        list(TwoLosses(torch.tensor(value)).parameters()) for value in ([1.0, 2.0], [3.0])
    )
    stepped: dict[str, Any] = {}

    class Optimizer:
        def zero_grad(self) -> None:
            theta.grad = phi.grad = None

        def step(self) -> None:
            stepped.update(theta=theta.grad, phi=phi.grad)

    monkeypatch.setattr(ArchitectureSearch, "optimizer_of", lambda _, side: Optimizer())
    monkeypatch.setattr(search.controller, "parameters", lambda: iter([theta]))
    monkeypatch.setattr(search.memory, "parameters", lambda: iter([phi]))
    monkeypatch.setattr(ArchitectureSearch, "manual_backward", lambda _, loss: loss.backward())
    monkeypatch.setattr(search, "record", stepped.update)
    loss = 3 * theta[0] + 4 * theta[1]  # gradient (3, 4), norm 5
    recalled = (theta[0] - 2 * theta[1]) * 6 + phi[0] * 8  # by theta (6, -12), by phi 8
    search._learn_both(loss, recalled)
    assert stepped["theta"].tolist() == [3 + 0.5 * 6, 4 - 0.5 * 12]
    assert stepped["phi"].tolist() == [0.5 * 8]
    ratio = 0.5 * (6**2 + 12**2) ** 0.5 / 5
    assert float(stepped["memory/gradient_ratio"]) == pytest.approx(ratio)
    assert stepped["memory/loss"] is recalled
