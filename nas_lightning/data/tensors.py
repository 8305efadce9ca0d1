"""Data of a user's own: a `torch.utils.data.Dataset`, read into tensors, as minibatches and splits.

Targets are classes, or numbers. Where the data are not divided, examples are held out by
`split_seed`, every class in its share. Nothing is normalised: what the data set gives is what a
network sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from nas_lightning.data.base import Batch, Data, Fact
from nas_lightning.data.fingerprint import fingerprint_of
from nas_lightning.data.images import stratified_order
from nas_lightning.data.labels import class_ids, count_classes
from nas_lightning.data.sources import SPLIT_NAMES, Source, Split, split_called
from nas_lightning.errors import UserError, raised, require, require_callable, require_whole
from nas_lightning.generators import seed_of

Datasets = Mapping[Split, Dataset[Any]]


class Examples(NamedTuple):
    """Inputs `(N, …)`, float32 or int64, and class ids `(N,)`, int64."""

    inputs: Tensor
    targets: Tensor

    def at(self, numbers: Tensor | slice) -> Examples:
        """Those with the given numbers, in their order."""
        return Examples(self.inputs[numbers], self.targets[numbers])

    def to(self, device: torch.device | str) -> Examples:
        """The same on a device."""
        return Examples(self.inputs.to(device), self.targets.to(device))


class DatasetSource(Source[Datasets]):
    """A data set of the user's own, or a function or class that makes it.

    Args:
        dataset: A `Dataset`, a dict of them for `train`, `validation` and `test`, or a
            LightningDataModule; or what gives one of these, itself or its dotted name.
        arguments: What it is called with; None for nothing.

    Raises:
        ValueError: If there is no such thing.
    """

    origin = "dataset"

    def __init__(self, *, dataset: Any, arguments: Mapping[str, Any] | None) -> None:
        called = dataset if isinstance(dataset, str) else type(dataset).__name__
        self.origin = f"dataset={getattr(dataset, '__qualname__', called)}"
        made = isinstance(dataset, Mapping) or hasattr(dataset, "__getitem__") or is_module(dataset)
        made = made and not isinstance(dataset, (str, type))
        self._made: Any = dataset if made else None
        self._make = None if made else require_callable("dataset", dataset)
        good = arguments is None or isinstance(arguments, Mapping)
        require(good, "arguments", arguments, "names and values: {folder: /data}")
        self._arguments = dict(arguments or {})

    def read(self) -> Datasets:
        """The data sets that the function gives, by split."""
        try:
            made = self._made if self._make is None else self._make(**self._arguments)
        except Exception as error:  # whatever a user's code raises
            raise self.refusal(f"it cannot be made ({raised(error)})") from error
        if is_module(made):
            made = self._of_module(made)
        if not isinstance(made, Mapping):
            return {"train": cast("Dataset[Any]", made)}
        splits = {split_called(str(name)): one for name, one in made.items()}
        if None in splits or "train" not in splits or len(splits) < len(made):
            known = "; ".join(", ".join(names) for names in SPLIT_NAMES.values())
            raise self.refusal(
                f"it gives {', '.join(map(str, made))}: must be train, and maybe validation and "
                f"test ({known})"
            )
        return {split: one for split, one in splits.items() if split is not None}

    def _of_module(self, module: Any) -> dict[str, Dataset[Any]]:
        """The data sets of a LightningDataModule, by split; its loaders are not used."""
        try:
            module.prepare_data()
            module.setup("fit")
            module.setup("test")
            splits = {"train": module.train_dataloader().dataset}
            for split, loader in (("validation", "val_dataloader"), ("test", "test_dataloader")):
                if is_overridden(loader, module):
                    splits[split] = getattr(module, loader)().dataset
        except Exception as error:  # whatever a user's code raises
            raise self.refusal(
                f"its data sets cannot be had ({raised(error)}); each split must be "
                "one loader of one data set"
            ) from error
        return splits


def is_module(value: object) -> bool:
    """Whether it is a LightningDataModule, of either of the names of its package."""
    return not isinstance(value, type) and any(
        kind.__name__ == "LightningDataModule" for kind in type(value).__mro__
    )


def is_overridden(hook: str, module: object) -> bool:
    """Whether a LightningDataModule has a hook of its own."""
    from pytorch_lightning.utilities.model_helpers import is_overridden as overridden

    return overridden(hook, module)


class DatasetData(Data):
    """Classification of examples of any one shape, held in memory.

    Args:
        source: Where the data sets come from.
        batch_size: Examples of a training minibatch.
        evaluation_batch_size: Examples of a validation or test minibatch; the last may be smaller.
        validation_size: Training examples held out where the source has no validation split.
        test_size: Training examples held out where the source has no test split.
        split_seed: Decides which are held out; not the run's seed, so that all runs compare.
        train_limit: At most so many training examples are used; None for all.

    Raises:
        ValueError: If an argument is outside what is allowed.
        UserError: If the data cannot be read, or are none to learn from.
    """

    def __init__(
        self,
        *,
        source: DatasetSource,
        batch_size: int,
        evaluation_batch_size: int,
        validation_size: int,
        test_size: int,
        split_seed: int,
        train_limit: int | None,
    ) -> None:
        require(isinstance(source, Source), "source", source, "a source of data sets")
        require_whole("batch_size", batch_size, at_least=1)
        require_whole("evaluation_batch_size", evaluation_batch_size, at_least=1)
        require_whole("validation_size", validation_size, at_least=0)
        require_whole("test_size", test_size, at_least=0)
        require_whole("split_seed", split_seed, at_least=0)
        if train_limit is not None:
            require_whole("train_limit", train_limit, at_least=1)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        splits = self._read(source)
        train = splits["train"]
        order = self._order(train.targets, split_seed)
        self._held_out: list[str] = []
        for split, size in (("test", test_size), ("validation", validation_size)):
            if split not in splits:
                if not 0 < size < len(order):
                    raise UserError(
                        f"{split}_size={size}: {source.origin} has no {split} split, so "
                        f"between 1 and {len(order) - 1} of {len(order)} training examples must be "
                        "held out for it"
                    )
                splits[split], order = train.at(order[:size]), order[size:]
                self._held_out.append(f"{split} by split_seed={split_seed}")
        self.train = train.at(order[:train_limit])
        self.validation, self.test = splits["validation"], splits["test"]
        if len(self.train.targets) < batch_size:
            raise UserError(
                f"batch_size={batch_size}: {len(self.train.targets)} training examples are "
                "left; lower it, validation_size or test_size, or raise train_limit"
            )

    def _read(self, source: DatasetSource) -> dict[str, Examples]:
        """All splits that the source has, checked."""
        try:
            raw = {split: pairs_of(split, one) for split, one in source.read().items()}
            self._fingerprint = fingerprint_of(
                {split: [x.numpy(), np.asarray(y)] for split, (x, y) in raw.items()}
            )
            shape = raw["train"][0].shape[1:]
            for split, (inputs, _) in raw.items():
                if inputs.shape[1:] != shape:
                    raise ValueError(
                        f"the {split} inputs have shape {tuple(inputs.shape[1:])}, the training "
                        f"inputs {tuple(shape)}; make them alike"
                    )
            targets = self._targets({split: y for split, (_, y) in raw.items()})
            return {split: Examples(x, targets[split]) for split, (x, _) in raw.items()}
        except ValueError as error:
            raise source.refusal(str(error)) from error

    def _targets(self, raw: Mapping[Split, Tensor]) -> Mapping[Split, Tensor]:
        """The targets of all splits as a network learns them; raises ValueError."""
        labels = class_ids("train", np.asarray(raw["train"]), None, None)
        self._classes = count_classes(labels)
        return {
            split: class_ids(split, np.asarray(y), self._classes, None) for split, y in raw.items()
        }

    def _order(self, targets: Tensor, seed: int) -> Tensor:
        """The numbers of the training examples, those first that are held out."""
        return stratified_order(targets, seed)

    @property
    def description(self) -> dict[str, Fact]:
        """Examples in each split, the classes, what an input is, what was held out."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        shape = " x ".join(map(str, self.train.inputs.shape[1:])) or "number"
        return {
            "examples": {name: len(split.targets) for name, split in splits.items()},
            **({"classes": self._classes} if self._classes else {}),
            "input": f"{shape} {str(self.train.inputs.dtype).removeprefix('torch.')}",
            **({"held out": ", ".join(self._held_out)} if self._held_out else {}),
        }

    @property
    def sizes(self) -> dict[str, int]:
        """`{"num_classes": K}`; 0 where targets are numbers."""
        return {"num_classes": self._classes}

    @property
    def train_batches(self) -> int:
        """Training minibatches in one pass; the examples left over sit this pass out."""
        return len(self.train.targets) // self.batch_size

    def train_batch(self, index: int) -> Batch:
        """Training minibatch number `index`; every pass has an order of its own."""
        epoch, position = divmod(index, self.train_batches)
        generator = torch.Generator().manual_seed(seed_of("shuffle", epoch))
        order = torch.randperm(len(self.train.targets), generator=generator)
        chosen = order[position * self.batch_size : (position + 1) * self.batch_size]
        inputs, targets = self.train.at(chosen.to(self.train.targets.device, non_blocking=True))
        return Batch(inputs, targets, continues=False)

    def validation_batches(self) -> Sequence[Batch]:
        """The whole validation split in order."""
        return self._batches(self.validation)

    def test_batches(self) -> Sequence[Batch]:
        """The whole test split in order. For final evaluations only."""
        return self._batches(self.test)

    def _batches(self, split: Examples) -> tuple[Batch, ...]:
        size = self.evaluation_batch_size
        pairs = zip(torch.split(split.inputs, size), torch.split(split.targets, size), strict=True)
        return tuple(Batch(inputs, targets, continues=False) for inputs, targets in pairs)


class RegressionData(DatasetData):
    """As `DatasetData`, but targets are numbers of any one shape.

    They are float32, or int64 where they are whole, and held out without regard to what they are.
    """

    def _targets(self, raw: Mapping[Split, Tensor]) -> Mapping[Split, Tensor]:
        self._classes = 0
        shape, targets = raw["train"].shape[1:], {}
        for split, y in raw.items():
            if y.shape[1:] != shape:
                raise ValueError(
                    f"the {split} targets have shape {tuple(y.shape[1:])}, the training targets "
                    f"{tuple(shape)}; make them alike"
                )
            targets[split] = y.to(torch.float32 if y.is_floating_point() else torch.int64)
            wrong = ~targets[split].isfinite()
            if bool(wrong.any()):
                number = int(wrong.nonzero()[0, 0])
                raise ValueError(
                    f"target {number} of the {split} data set is not finite in 32 bits; mend it, "
                    "or leave the example out"
                )
        return targets

    def _order(self, targets: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed_of("held out", seed))
        return torch.randperm(len(targets), generator=generator)


def pairs_of(split: str, dataset: Dataset[Any]) -> tuple[Tensor, Tensor]:
    """All inputs `(N, …)` and targets `(N, …)` of a data set.

    Raises:
        ValueError: If there are none, they have unequal shapes, or are no numbers.
    """
    try:
        length = len(dataset)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(
            f"the {split} data set has no length; give one with __len__ and __getitem__"
        ) from error
    if length == 0:
        raise ValueError(f"the {split} data set is empty; give one with examples")
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) == 2:
        inputs, targets = dataset.tensors
    else:
        pairs = [pair_of(split, number, dataset) for number in range(length)]
        inputs = stacked(split, "input", [one for one, _ in pairs])
        targets = stacked(split, "target", [one for _, one in pairs])
    if inputs.is_floating_point():
        inputs = inputs.to(torch.float32)
        if not bool(inputs.isfinite().all()):
            raise ValueError(f"some {split} inputs are not finite in 32 bits; mend them")
    elif inputs.dtype == torch.uint8:
        inputs = inputs.to(torch.float32)
    return inputs, targets


def pair_of(split: str, number: int, dataset: Dataset[Any]) -> tuple[Tensor, Tensor]:
    """The input and the target of an example; raises ValueError if it is no pair of numbers."""
    try:
        example = dataset[number]
    except Exception as error:  # whatever a user's code raises
        raise ValueError(
            f"example {number} of the {split} data set cannot be had "
            f"({raised(error)}); mend it, or leave the example out"
        ) from error
    if not isinstance(example, (tuple, list)) or len(example) != 2:
        raise ValueError(
            f"example {number} of the {split} data set is a {type(example).__name__}, must be a "
            "pair (input, target)"
        )
    try:
        return torch.as_tensor(example[0]), torch.as_tensor(example[1])
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = " and ".join(type(one).__name__ for one in example)
        raise ValueError(
            f"example {number} of the {split} data set is of {kinds}, must be of tensors or "
            "numbers; convert them in its __getitem__"
        ) from error


def stacked(split: str, what: str, values: Sequence[Tensor]) -> Tensor:
    """One tensor of all; raises ValueError if their shapes differ."""
    for number, value in enumerate(values):
        if value.shape != values[0].shape:
            raise ValueError(
                f"{what} {number} of the {split} data set has shape {tuple(value.shape)}, {what} 0 "
                f"has {tuple(values[0].shape)}; make them alike"
            )
    return torch.stack(list(values))
