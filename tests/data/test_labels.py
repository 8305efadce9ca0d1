"""Labels in every form that is unambiguous give the same class ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nas_lightning.data.labels import class_ids, class_names, count_classes

Y = np.random.default_rng(0).integers(0, 3, 50)
NAMES = np.array(["ant", "bee", "cat"])[Y]


@pytest.mark.parametrize(
    "labels",
    [
        *(Y.astype(kind) for kind in ("u1", "i2", ">i8", "f4", "f8")),
        Y[:, None],
        Y[:, None].astype(float),
        NAMES,
        NAMES[:, None],
        NAMES.astype("S"),
        NAMES.astype(">U9"),
    ],
)
def test_forms(labels: NDArray[Any]) -> None:
    names = class_names(labels)
    assert names == (("ant", "bee", "cat") if labels.dtype.kind in "US" else None)
    ids = class_ids("training", labels, None, names)
    assert ids.dtype == torch.int64
    assert ids.tolist() == Y.tolist()
    assert count_classes(ids) == 3


def test_truth_values() -> None:
    assert class_ids("training", Y > 0, None, None).tolist() == (Y > 0).tolist()


def test_other_splits_follow_the_training_names() -> None:
    assert class_ids("test", np.array(["cat"]), 3, ("ant", "bee", "cat")).tolist() == [2]


def test_no_text() -> None:
    forged = np.frombuffer(b"\xff" * 8, "<U1")
    with pytest.raises(ValueError, match="are no text"):
        class_names(forged)
