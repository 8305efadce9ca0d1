"""A builder that fails for one architecture: which one, why, and the search goes on."""

from __future__ import annotations

import json
import math
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from nas_lightning.data import DatasetData, DatasetSource
from nas_lightning.errors import UserError
from nas_lightning.estimators import FromScratch
from nas_lightning.generators import Generators
from nas_lightning.search_spaces.choices import FunctionChild, FunctionSpace
from nas_lightning.training.child_training import ChildResult, ChildTraining
from nas_lightning.training.executors import ChildJob, Executor, Group, attempt


class InProcess(Executor):
    """Trains at once, where it is called."""

    def __init__(self) -> None:
        super().__init__(child_timeout=None)

    def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
        future: Future[list[ChildResult]] = Future()
        future.set_result(attempt(job, group, "cpu"))
        return future

    def close(self) -> None:
        """Nothing is held."""


def build(width: int) -> nn.Module:
    if width > 4:
        raise ValueError(f"{width} is too wide")
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 3))


def points() -> TensorDataset:
    """Three clouds of points."""
    classes = torch.arange(90) % 3
    noise = torch.randn(90, 2, generator=torch.Generator().manual_seed(0))
    return TensorDataset(3.0 * classes.unsqueeze(1) + noise, classes)


def estimator(folder: Path, widths: list[int]) -> FromScratch:
    data = DatasetData(
        source=DatasetSource(dataset=points, arguments={}),
        batch_size=10,
        evaluation_batch_size=30,
        validation_size=30,
        test_size=10,
        split_seed=0,
        train_limit=None,
    )
    settings: dict[str, Any] = {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    space = FunctionSpace(build=build, decisions={"width": widths})
    return FromScratch(
        child=FunctionChild(space=space, **data.sizes, loss=None, metrics=None),
        data=data,
        training=ChildTraining(
            epochs=8, learning_rate=0.05, schedule="constant", gradient_clip=None, **settings
        ),
        executor=InProcess(),
        generators=Generators(0),
        folder=folder,
        controller_steps=1,
        objective="accuracy",
        last_epochs=1,
        copies=1,
        reuse_results=True,
    )


def test_one_fails_and_the_others_learn(tmp_path: Path) -> None:
    found = estimator(tmp_path, [2, 4, 5]).evaluate(torch.tensor([[1], [2], [0]]), [])
    assert found.status[0] == found.status[2] == "ok"
    assert found.status[1] == "ValueError: build(width=5) fails (ValueError: 5 is too wide)"
    assert found.metrics["parameters"].tolist()[::2] == [27, 15]
    assert math.isnan(found.metrics["parameters"][1])
    assert math.isnan(found.values[1])
    assert found.values[0] > 0.45, "chance is a third"
    assert found.ranking().tolist()[-1] == 1
    lines = [json.loads(line) for line in (tmp_path / "children.jsonl").read_text().splitlines()]
    assert {tuple(line["actions"]): line["status"] for line in lines}[(2,)] == found.status[1]


def test_all_fail(tmp_path: Path) -> None:
    def wrong(width: int) -> nn.Module:
        return nn.Linear(2, 1)

    judge = estimator(tmp_path, [2, 4])
    judge._job[0].child.space.build = wrong  # type: ignore[union-attr]
    said = r"every child of this step failed: ValueError: the network gives \(10, 1\) for 10"
    with pytest.raises(UserError, match=said):
        judge.evaluate(torch.tensor([[0], [1]]), [])
