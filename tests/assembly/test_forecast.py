"""What is said of a search's cost before its first step, and how much it comes to."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import nas_lightning as nl
from nas_lightning.assembly.search import BYTES, TIMES, in_units, tried
from nas_lightning.data import DatasetData, DatasetSource
from nas_lightning.search_spaces.choices import FunctionChild, FunctionSpace

WIDTH = 5
PARAMETERS = (2 + 1) * WIDTH + (WIDTH + 1) * 3


def build(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 3))


def points() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(90, 2, generator=generator), torch.arange(90) % 3)


def data(batch_size: int) -> DatasetData:
    return DatasetData(
        source=DatasetSource(dataset=points, arguments={}),
        batch_size=batch_size,
        evaluation_batch_size=30,
        validation_size=30,
        test_size=10,
        split_seed=0,
        train_limit=None,
    )


@pytest.mark.parametrize(
    ("optimizer", "kept"),
    [
        (partial(torch.optim.SGD, lr=0.1), 0),
        (partial(torch.optim.SGD, lr=0.1, momentum=0.9), 4 * PARAMETERS),
        (partial(torch.optim.Adam, lr=0.1), 4 * (2 * PARAMETERS + 4)),
    ],
)
def test_memory_by_hand(optimizer: Any, kept: int) -> None:
    """Of 32 bits each; Adam has two numbers a weight, and counts steps of its four tensors."""
    space = FunctionSpace(build=build, decisions={"width": [WIDTH]})
    child = FunctionChild(space=space, num_classes=3, loss=None, metrics=None)
    few, many = (tried(space, child, data(size), optimizer) for size in (10, 20))
    assert few is not None
    assert many is not None
    assert few.weights == 4 * PARAMETERS
    assert few.optimizer == kept
    assert few.memory(few.weights) == 8 * PARAMETERS + kept + few.activations
    assert few.memory(10 * few.weights) == 10 * (8 * PARAMETERS + kept) + few.activations
    # The inputs, what Tanh gives, the logarithms of probabilities, and the targets.
    assert few.activations >= 10 * (2 * 4 + WIDTH * 4 + 3 * 4 + 8)
    assert 1.8 < many.activations / few.activations <= 2


@pytest.mark.parametrize(
    ("value", "units", "said"),
    [
        (2_340_000, BYTES, "2.3 MB"),
        (3.4e9, BYTES, "3.4 GB"),
        (30, BYTES, "0.03 kB"),
        (7200, TIMES, "2 hours"),
        (90, TIMES, "90 seconds"),
        (1_900_000, BYTES, "1,900 kB"),
        (7140, TIMES, "119 minutes"),
    ],
)
def test_quantities_for_people(value: float, units: Any, said: str) -> None:
    assert in_units(value, units) == said


def fails_when_wide(width: int) -> nn.Module:
    if width > 2:
        raise ValueError(f"{width} is too wide")
    return build(width)


def test_one_that_fails_is_not_taken_for_all() -> None:
    def of(widths: list[int]) -> Any:
        space = FunctionSpace(build=fails_when_wide, decisions={"width": widths})
        child = FunctionChild(space=space, num_classes=3, loss=None, metrics=None)
        return tried(space, child, data(10), partial(torch.optim.SGD, lr=0.1))

    assert of([3, 2, 1, 4]) is not None
    assert of([3, 4]) is None


@pytest.mark.parametrize("controller", ["random", "local_search"])
def test_no_more_children_than_forecast(
    controller: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {
        "trainer.max_epochs": 2,
        "estimator.controller_steps": 2,
        "search.architectures_per_step": 3,
        "search.candidates": 4,
        "search.uniform_candidates": 2,
    }
    run = nl.search(
        "function",
        points,
        controller=controller,
        budget="smoke",
        folder=tmp_path / "run",
        overrides={
            "search_space.build": build,
            "search_space.decisions": {"width": list(range(1, 200))},
            "estimator.training.epochs": 1,
            "logger": "csv",
            "data.validation_size": 30,
            "data.test_size": 10,
            "data.batch_size": 10,
            "executor": "in_process",
            "search.beside": [7],
            **sizes,
        },
    )
    said = re.search(
        r"^forecast: at most (\d+) children of .*; about (\S+) kB each for ",
        capsys.readouterr().err,
        re.MULTILINE,
    )
    assert said is not None
    trained = len((run.folder / "children.jsonl").read_text().splitlines())
    assert int(said[1]) == 2 * (2 * 3 + 4) + 2 + 1
    assert 0.6 * int(said[1]) < trained <= int(said[1])
