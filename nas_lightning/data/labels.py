"""Labels as people keep them, numbers or names, made class ids 0 to K - 1.

What is unambiguous is taken: names are numbered in their sorted order, a float that is whole is
that number, and a column `(N, 1)` is read as `(N,)`. What is wrong is said by a ValueError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

KINDS = "uifbUS"
"""NumPy's letters of what labels may be: whole and floating numbers, truth values, names."""


def class_names(labels: NDArray[Any]) -> tuple[str, ...] | None:
    """The names that labels `(N,)` or `(N, 1)` give, sorted; None where they are no names."""
    return tuple(sorted(set(_names(labels)))) if labels.dtype.kind in "US" else None


def class_ids(
    split: str, labels: NDArray[Any], classes: int | None, names: tuple[str, ...] | None
) -> Tensor:
    """The class ids of a split, int64 `(N,)`.

    Args:
        split: Its name, for messages.
        labels: `(N,)` or `(N, 1)`.
        classes: K, or `None` where these labels tell it.
        names: Those of the training labels, in the order of their ids; `None` if they are numbers.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in KINDS:
        hint = ", y.argmax(1) of one-hot rows" if labels.ndim == 2 else ""
        raise ValueError(
            f"the {split} labels are {labels.dtype} of shape {labels.shape}, must be whole "
            f"numbers or names of shape (N,){hint}"
        )
    if not len(labels):
        raise ValueError(f"there are no {split} images; give some")
    if (labels.dtype.kind in "US") != (names is not None):
        kind = "numbers" if names is None else "names"
        raise ValueError(f"the training labels are {kind}, the {split} labels are not; mend one")
    if names is not None:
        return _numbered(split, labels, names)
    whole = _whole(split, labels)
    low, high = int(whole.min()), int(whole.max())
    # Whatever K is, it is no more than there are labels.
    if low < 0 or high >= (classes or len(whole)):
        raise ValueError(
            f"the {split} labels go from {low} to {high}, must from 0 to "
            f"{classes - 1 if classes else 'the number of classes - 1'}; number them anew"
        )
    return torch.from_numpy(whole.astype(np.int64))


def count_classes(labels: Tensor) -> int:
    """K of training labels `(N,)`, in which each class occurs."""
    counts = torch.bincount(labels)
    missing = (counts == 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"the training labels go to {len(counts) - 1}, but class {missing[0]} never "
            "occurs; number the classes 0, 1, 2 … without a gap"
        )
    if len(counts) < 2:
        raise ValueError("all training images are of one class; there must be two or more")
    return len(counts)


def _names(labels: NDArray[Any]) -> list[str]:
    try:
        found = labels.reshape(-1).tolist()
    except (ValueError, SystemError) as error:  # No character has such a number.
        raise ValueError(f"some labels are no text ({error}); write them anew") from error
    return [name.decode(errors="replace") if isinstance(name, bytes) else name for name in found]


def _numbered(split: str, labels: NDArray[Any], names: tuple[str, ...]) -> Tensor:
    ids = {name: number for number, name in enumerate(names)}
    found = _names(labels)
    unknown = next((name for name in found if name not in ids), None)
    if unknown is not None:
        raise ValueError(
            f"the {split} images have a class {unknown!r:.60}, which no training image has; "
            "add some, or leave it out"
        )
    return torch.tensor([ids[name] for name in found], dtype=torch.int64)


def _whole(split: str, labels: NDArray[Any]) -> NDArray[Any]:
    """The labels as whole numbers."""
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if labels.dtype.kind != "f":
        return labels
    # Beyond 2^53 not every whole number is a float; there are not as many images.
    fits = np.isfinite(labels) & (np.abs(labels) < 2**53) & (labels == np.floor(labels))
    if not fits.all():
        wrong = labels[~fits][0]
        raise ValueError(
            f"the {split} labels are {labels.dtype}, one of them {wrong:g}, must be whole numbers "
            "or names"
        )
    return labels.astype(np.int64)
