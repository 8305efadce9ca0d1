"""What every data set offers to the search: batches by number, three splits that never mix.

Batches are asked for by number instead of drawn from an iterator, so that the position of a run in
its data is one integer, which is all a checkpoint has to hold.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from nas_lightning.data.fingerprint import fingerprint_of

Fact = str | int | float | Mapping[str, int | float]
"""One thing known of a data set: words, a number, a share as a float, or such for each split."""


class Batch(NamedTuple):
    """One minibatch.

    Attributes:
        inputs: Text: token ids `(B, L)`. Images: pixels `(B, C, height, width)`.
        targets: Text: the ids one position later `(B, L)`. Images: class ids `(B,)`.
        continues: Whether this batch goes on where the batch before it stopped, so that a
            recurrent state may be carried from that one into this one.
    """

    inputs: Tensor
    targets: Tensor
    continues: bool

    def on(self, device: torch.device | str) -> Batch:
        """The same on a device."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.continues)


class Data(ABC):
    """A data set with a training, a validation and a test split.

    Training data trains child networks, validation data gives rewards and selects, test data is
    read by a final evaluation only.
    """

    _fingerprint: Mapping[str, str] | None = None

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What tells these data from others, by split: a run is not mixed of two.

        Sources say it of all that they read. By default it is of what a search sees first: the
        first training minibatch and the validation split.
        """
        if self._fingerprint is None:
            batches = {"training": [self.train_batch(0)], "validation": self.validation_batches()}
            self._fingerprint = fingerprint_of(
                {
                    split: [tensor.cpu().numpy() for b in of for tensor in (b.inputs, b.targets)]
                    for split, of in batches.items()
                }
            )
        return self._fingerprint

    def to(self, device: torch.device | str) -> Self:
        """The same data held on a device, from where their batches come; these stay as they are.

        Whatever they hold must be an attribute with a `to` of its own, like a tensor, or be
        computed at need by a `cached_property`.
        """
        moved = copy.copy(self)
        for name, value in vars(moved).items():
            if hasattr(value, "to"):
                setattr(moved, name, value.to(device))
        return moved

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: not what is computed from it at need, and often larger."""
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(type(self), name, None), cached_property)
        }

    @property
    @abstractmethod
    def sizes(self) -> Mapping[str, int]:
        """What a child network must know to be built, as its keyword arguments.

        Text gives `{"vocabulary_size": V}`.
        """

    @property
    def description(self) -> Mapping[str, Fact]:
        """What a person should know of the data: name -> fact, as JSON can hold it."""
        return dict(self.sizes)

    @property
    def preparation(self) -> Mapping[str, Any]:
        """How raw inputs become a network's, as the arguments of its `prepare`; as JSON holds it.

        It is kept with a run, so that the network that was found needs no data.
        """
        return {}

    @abstractmethod
    def train_batch(self, index: int) -> Batch:
        """Training minibatch number `index >= 0`; the numbering wraps around the split."""

    @property
    @abstractmethod
    def train_batches(self) -> int:
        """How many training minibatches make one pass over the split."""

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A training minibatch, randomly varied where the data know how to; as it is by default."""
        return batch

    @abstractmethod
    def validation_batches(self) -> Sequence[Batch]:
        """The whole validation split in order, each batch continuing the one before it."""

    @abstractmethod
    def test_batches(self) -> Sequence[Batch]:
        """The whole test split in order. For final evaluations only."""


def in_words(description: Mapping[str, Fact]) -> str:
    """What `Data.description` says, in a line."""

    def words(fact: object) -> str:
        if isinstance(fact, Mapping):
            return ", ".join(f"{words(value)} {split}" for split, value in fact.items())
        if isinstance(fact, float):
            return f"{fact:.2%}"
        return f"{fact:,}" if isinstance(fact, int) else " ".join(str(fact).split())

    return "; ".join(f"{name} {words(fact)}" for name, fact in description.items())
