"""What a table says of a search that judges by shared weights is recorded, and tells it nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas_lightning.estimators import CosineDecay, Table
from nas_lightning.runs.records import read_metrics
from nas_lightning.search_spaces.nas_bench_201 import CellSpace
from tests.assembly.test_conf import composed
from tests.processes import UNSEEN, Command
from tests.shell import Shell

SMALL = ("experiment=nas_bench_201_small", "budget=smoke", "data=images", "logger=csv", "threads=1")

STOPPED = (
    "controller.early_stop.skips=[none,skip_connect,nor_conv_1x1,nor_conv_3x3,avg_pool_3x3]",
    "controller.early_stop.max_skips=0",
)
"""Every cell has too many of them: the simulated stop is called for at the first measurement."""


def test_the_table_stands_beside(tmp_path: Path, shell: Shell) -> None:
    """At every epoch, of what was found then; and the search is the same without."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 255, (260, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=draw.integers(0, 2, 260))
    sizes = "data.validation_size=60", "data.test_size=60", "data.evaluation_batch_size=60"
    source = f"data.source.path={tmp_path / 'own.npz'}"
    runs = []
    for name, *more in (("with",), ("without", "~callbacks.table")):
        given = (*SMALL, *UNSEEN, *sizes, source, "controller=darts", *STOPPED, *more)
        asked = (*given, f"hydra.run.dir={tmp_path / name}")
        ended = shell.run(Command(asked, tmp_path / name, page=False))
        assert ended.code == 0, ended.err
        runs.append(read_metrics(tmp_path / name / "metrics.csv")[0])
    beside, alone = runs
    best = json.loads((tmp_path / "with/best_architecture.json").read_text())["actions"]
    whole = table_of(composed("search_space=nas_bench_201")["search_space"]["operations"])
    (value,) = whole.evaluate(torch.tensor([best]), []).metrics["accuracy_after_12_epochs"].tolist()
    recorded = beside["table/best_accuracy_after_12_epochs"].values
    assert len(recorded) == 2
    assert recorded[-1] == pytest.approx(value)
    assert len(beside["table/derived_regret_after_12_epochs"].values) == 2
    assert len(beside["table/early_stop_accuracy_after_12_epochs"].values) == 2
    assert beside.keys() - alone.keys() == {name for name in beside if name.startswith("table/")}
    for name in ("derive/loss_mean", "derive/reward"):
        assert list(beside[name].values) == list(alone[name].values), "it was told"


def table_of(operations: list[str]) -> Table:
    return Table(
        space=CellSpace(operations=operations),
        path=None,
        shipped="nas_bench_201_12_epochs",
        controller_steps=0,
        objective="accuracy",
        data_set="cifar10 validation",
        budget=None,
    )


def test_the_published_settings() -> None:
    cfg = composed("experiment=nas_bench_201_search")
    optimizer, child = cfg["estimator"]["optimizer"], cfg["child"]
    assert (optimizer["lr"], optimizer["momentum"], optimizer["nesterov"]) == (0.025, 0.9, True)
    assert optimizer["weight_decay"] == 5e-4
    assert (child["filters"], child["cells"], child["affine"]) == (16, 5, False)
    assert cfg["data"]["batch_size"] == 64
    logits = cfg["controller"]["optimizer"]
    assert (logits["lr"], logits["betas"], logits["weight_decay"]) == (3e-4, [0.5, 0.999], 1e-3)
    steps = cfg["estimator"]["child_steps"]
    assert steps == -(-25_000 // 64)


def test_half_a_cosine() -> None:
    decay = CosineDecay(end=0.04, epochs=50)
    rates = [0.025 * decay(epoch) for epoch in (0, 25, 50, 60)]
    assert rates == pytest.approx([0.025, 0.013, 0.001, 0.001])


@pytest.mark.parametrize("wrong", [{"end": 0.0}, {"end": 2.0}, {"epochs": 0}])
def test_no_other_cosine(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CosineDecay(**{"end": 0.5, "epochs": 3, **wrong})  # type: ignore[arg-type]
