"""Data and jobs on a device. `meta` stands for a GPU, which no test may need."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from torch import nn

from nas_lightning.data.base import Data
from nas_lightning.data.image_sources import Digits
from nas_lightning.data.images import ImageData
from nas_lightning.data.text import TextData
from nas_lightning.data.text_sources import PythonDocs
from nas_lightning.training.executors import ChildJob


def digits() -> Data:
    return ImageData(
        source=Digits(),
        batch_size=64,
        evaluation_batch_size=360,
        validation_size=360,
        test_size=360,
        split_seed=0,
        train_limit=None,
        pad=0,
        flip=False,
    )


def text() -> Data:
    return TextData(
        source=PythonDocs(),
        batch_size=4,
        evaluation_batch_size=4,
        sequence_length=5,
        vocabulary_size=100,
        level="word",
    )


def devices(data: Data) -> set[str]:
    batches = (data.train_batch(0), *data.validation_batches(), *data.test_batches())
    return {tensor.device.type for b in batches for tensor in (b.inputs, b.targets)}


@pytest.mark.parametrize("make", [digits, text])
def test_batches_come_from_where_the_data_are(make: Callable[[], Data]) -> None:
    data = make()
    assert devices(data) == {"cpu"}
    assert devices(data.to("meta")) == {"meta"}
    assert devices(data) == {"cpu"}


@pytest.mark.parametrize("make", [digits, text])
def test_a_pickle_holds_nothing_that_is_computed_at_need(make: Callable[[], Data]) -> None:
    data = make()
    before = len(pickle.dumps(data))
    devices(data)
    assert len(pickle.dumps(data)) == before


def test_a_job_takes_its_data_along() -> None:
    """The child stays: it is a template, whose `fresh` networks are sent where they are trained."""
    job = ChildJob(child=nn.Module(), data=digits(), training=None, seed=0)  # type: ignore[arg-type]
    moved = job.to("meta")
    assert (devices(moved.data), moved.device) == ({"meta"}, "meta")
    assert (devices(job.data), job.device) == ({"cpu"}, "cpu")
    assert job.to("cpu") is job
