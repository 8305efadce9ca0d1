"""Data sets of a user's own: what becomes of them, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from nas_lightning.data import DatasetData, DatasetSource
from nas_lightning.errors import UserError

N, K = 60, 3


class Pairs(Dataset[Any]):
    """Examples one by one, as a user's own class gives them."""

    def __init__(self, inputs: Any, targets: Any) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        return self.inputs[number], self.targets[number]


class Stream(IterableDataset[Any]):
    """Has no length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def inputs(n: int = N) -> Tensor:
    """Each example is its own number, twice."""
    return torch.arange(n, dtype=torch.float32).unsqueeze(1).repeat(1, 2)


def labels(n: int = N) -> Tensor:
    return torch.arange(n) % K


def read(made: object, **changes: Any) -> DatasetData:
    settings = {
        "batch_size": 7,
        "evaluation_batch_size": 5,
        "validation_size": 9,
        "test_size": 12,
        "split_seed": 0,
        "train_limit": None,
    }
    source = DatasetSource(dataset=lambda: made, arguments={})
    return DatasetData(source=source, **{**settings, **changes})


def numbers(data: DatasetData) -> tuple[set[int], ...]:
    """Which examples stand in each split."""
    splits = (data.train, data.validation, data.test)
    return tuple({int(x) for x in split.inputs[:, 0]} for split in splits)


@pytest.mark.parametrize(
    "made",
    [
        TensorDataset(inputs(), labels()),
        Pairs(inputs(), labels()),
        Pairs(inputs().numpy(), labels().tolist()),
        Pairs(inputs().tolist(), labels().float()),
    ],
    ids=["tensors", "one by one", "numpy", "lists"],
)
def test_whatever_the_kind_the_data_are_the_same(made: Any) -> None:
    data = read(made)
    expected = read(TensorDataset(inputs(), labels()))
    assert data.sizes == {"num_classes": K}
    batch, other = data.train_batch(3), expected.train_batch(3)
    assert torch.equal(batch.inputs, other.inputs)
    assert torch.equal(batch.targets, other.targets)
    assert torch.equal(batch.inputs[:, 0].long() % K, batch.targets), "each with its own target"


def test_what_is_held_out_follows_from_the_split_seed() -> None:
    made = TensorDataset(inputs(), labels())
    data = read(made)
    train, validation, test = numbers(data)
    assert (len(train), len(validation), len(test)) == (39, 9, 12)
    assert train | validation | test == set(range(N)), "each in one split"
    assert torch.bincount(data.test.targets).tolist() == [4, 4, 4], "every class in its share"
    assert numbers(read(made)) == (train, validation, test)
    assert numbers(read(made, split_seed=1))[2] != test
    assert data.description == {
        "examples": {"train": 39, "validation": 9, "test": 12},
        "classes": 3,
        "input": "2 float32",
        "held out": "test by split_seed=0, validation by split_seed=0",
    }


def test_splits_that_are_there_are_kept() -> None:
    made = {
        "train": TensorDataset(inputs(), labels()),
        "val": TensorDataset(inputs(6) + 100, labels(6)),
        "test": TensorDataset(inputs(3) + 200, labels(3)),
    }
    data = read(made)
    assert [len(split) for split in numbers(data)] == [60, 6, 3]
    assert "held out" not in data.description
    assert torch.cat([b.inputs for b in data.validation_batches()])[:, 0].tolist() == [
        *range(100, 106)
    ]
    assert [len(b.targets) for b in data.validation_batches()] == [5, 1]
    assert data.fingerprint.keys() == {"train", "validation", "test"}
    made["test"] = TensorDataset(inputs(3) + 201, labels(3))
    other = read(made).fingerprint
    assert (other["train"], other["test"] == data.fingerprint["test"]) == (
        data.fingerprint["train"],
        False,
    )


def test_every_pass_has_every_example_once() -> None:
    data = read(TensorDataset(inputs(), labels()), batch_size=13)
    assert data.train_batches == 3
    passes = [
        torch.cat([data.train_batch(start + i).inputs[:, 0] for i in range(3)]).tolist()
        for start in (0, 3)
    ]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(numbers(data)[0])
    assert passes[0] != passes[1]


def test_bytes_become_floats_and_whole_numbers_stay() -> None:
    images = TensorDataset(torch.full((N, 1, 2, 2), 255, dtype=torch.uint8), labels())
    assert read(images).train_batch(0).inputs.dtype == torch.float32
    tokens = TensorDataset(torch.zeros(N, 5, dtype=torch.int64), labels())
    assert read(tokens).train_batch(0).inputs.dtype == torch.int64


def test_it_goes_to_a_device_whole() -> None:
    moved = read(TensorDataset(inputs(), labels())).to("meta")
    assert {b.inputs.device.type for b in moved.validation_batches()} == {"meta"}


def unlike(number: int) -> list[Any]:
    return [torch.zeros(3 if n == number else 2) for n in range(N)]


NAN = labels().float()
NAN[7] = torch.nan
INFINITE = inputs()
INFINITE[7] = torch.inf

REFUSED: dict[str, tuple[Any, str]] = {
    "of length 0": (TensorDataset(inputs(0), labels(0)), "the train data set is empty"),
    "a split of length 0": (
        {"train": TensorDataset(inputs(), labels()), "test": Pairs([], [])},
        "the test data set is empty",
    ),
    "without a length": (Stream(), "has no length; give one with __len__"),
    "a label too large": (
        {
            "train": TensorDataset(inputs(), labels()),
            "test": TensorDataset(inputs(4), torch.arange(4)),
        },
        "the test labels go from 0 to 3, must from 0 to 2",
    ),
    "a label below 0": (TensorDataset(inputs(), labels() - 1), "the train labels go from -1 to 1"),
    "a class that is missing": (TensorDataset(inputs(), labels() * 2), "class 1 never occurs"),
    "half a label": (TensorDataset(inputs(), labels() + 0.5), "one of them 0.5, must be whole"),
    "NaN in the targets": (TensorDataset(inputs(), NAN), "one of them nan, must be whole numbers"),
    "targets of two numbers": (TensorDataset(inputs(), inputs()), r"of shape \(60, 2\)"),
    "infinite inputs": (TensorDataset(INFINITE, labels()), "some train inputs are not finite"),
    "unequal shapes": (
        Pairs(unlike(7), labels()),
        r"input 7 of the train data set has shape \(3,\), input 0 has \(2,\)",
    ),
    "unequal shapes of splits": (
        {
            "train": TensorDataset(inputs(), labels()),
            "test": TensorDataset(inputs()[:, :1], labels()),
        },
        r"the test inputs have shape \(1,\), the training inputs \(2,\)",
    ),
    "unequal targets": (
        Pairs(inputs(), [*labels()[1:].tolist(), [0, 1]]),
        "target 59 of the train data set has shape",
    ),
    "one that cannot be had": (
        Pairs(inputs(), labels()[:50]),
        r"example 50 of the train data set cannot be had \(IndexError: index 50 is out of bounds",
    ),
    "no pairs": ([1, 2, 3], "example 0 of the train data set is a int, must be a pair"),
    "pictures": (Pairs([object()] * N, labels()), "of object and Tensor, must be of tensors"),
    "other splits": ({"first": Pairs(inputs(), labels())}, "it gives first: must be train, and"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    made, said = REFUSED[case]
    with pytest.raises(UserError, match=said) as refused:
        read(made)
    assert str(refused.value).startswith("dataset=")
    assert "\n" not in str(refused.value)


def test_a_data_set_that_cannot_be_made() -> None:
    source = DatasetSource(dataset=np.float64, arguments={"no_such": 1})
    with pytest.raises(UserError, match=r"^dataset=float64: it cannot be made "):
        source.read()
    with pytest.raises(ValueError, match=r"^dataset='no\.such' is not allowed: ModuleNotFound"):
        DatasetSource(dataset="no.such", arguments={})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 50}, "batch_size=50: 39 training examples are left"),
        ({"validation_size": 48}, "validation_size=48: .* no validation split, so between 1"),
        ({"test_size": 0}, "test_size=0: .* has no test split"),
        ({"train_limit": 3}, "batch_size=7: 3 training examples are left"),
    ],
)
def test_too_few(changes: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(TensorDataset(inputs(), labels()), **changes)
