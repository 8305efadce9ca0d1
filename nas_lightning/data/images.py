"""Image classification: pictures with class ids, held in memory, as minibatches and whole splits.

The pictures come from a source (`image_sources.py`, `image_files.py`). Which picture stands in
which split depends on the data and `split_seed` only, and which one in which minibatch on the
minibatch's number only: no run's seed, no process and no device changes either.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_lightning.data.augmentation import augment
from nas_lightning.data.base import Batch, Data, Fact
from nas_lightning.data.fingerprint import fingerprint_of
from nas_lightning.data.labels import class_ids, class_names, count_classes
from nas_lightning.data.sources import ImageSource, ImageSplits, Layout
from nas_lightning.errors import UserError, require, require_bool, require_whole
from nas_lightning.generators import seed_of


class LabelledImages(NamedTuple):
    """Images `(N, C, S, S)` and their class ids `(N,)`, int64."""

    images: Tensor
    labels: Tensor

    def at(self, numbers: Tensor) -> LabelledImages:
        """Those with the given numbers, in their order."""
        return LabelledImages(self.images[numbers], self.labels[numbers])

    def to(self, device: torch.device | str) -> LabelledImages:
        """The same on a device."""
        return LabelledImages(self.images.to(device), self.labels.to(device))


class ImageData(Data):
    """Square images of K classes in three splits.

    The images are stored as they come (a byte a value where the source has bytes) and normalised
    when they are asked for: minus the mean, divided by the standard deviation of each channel over
    the training split. A pickle holds the stored ones only, and not the source.

    Attributes:
        mean: Of each channel over the training split `(C,)`, in the source's units.
        std: The standard deviation likewise; 1 for a channel that is constant.
        class_names: The classes' names in the order of their ids; `None` where labels are numbers.

    Args:
        source: Where the images come from.
        batch_size: Images B of a training minibatch.
        evaluation_batch_size: Images of a validation or test minibatch; the last may be smaller.
        validation_size: Training images held out for validation where the source has no
            validation split. Held-out sets have every class in its share, to within an image or
            two, and so has every `train_limit`.
        split_seed: Decides which images are held out; not the run's seed, so that all runs
            compare.
        train_limit: At most so many training images are used, the smaller set always a part of
            the larger; `None` for all.
        pad: Pixels of zeros around a training image, of which `augment` cuts out a random part; 0
            for no shift.
        flip: Whether `augment` mirrors training images left to right at random.
        test_size: Training images held out for test where the source has no test split.
    """

    def __init__(
        self,
        *,
        source: ImageSource,
        batch_size: int,
        evaluation_batch_size: int,
        validation_size: int,
        split_seed: int,
        train_limit: int | None,
        pad: int,
        flip: bool,
        test_size: int,
    ) -> None:
        kind = "a source of images: an ImageSource"
        require(isinstance(source, ImageSource), "source", source, kind)
        require_whole("batch_size", batch_size, at_least=1)
        require_whole("evaluation_batch_size", evaluation_batch_size, at_least=1)
        require_whole("validation_size", validation_size, at_least=0)
        require_whole("split_seed", split_seed, at_least=0)
        require_whole("test_size", test_size, at_least=0)
        if train_limit is not None:
            require_whole("train_limit", train_limit, at_least=1)
        require_whole("pad", pad, at_least=0)
        require_bool("flip", flip)
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.pad = pad
        self.flip = flip

        train, validation, test = self._read(source)
        order = stratified_order(train.labels, split_seed)
        if test is None:
            held_out, order = _hold_out(order, "test", test_size, source.origin)
            test = train.at(held_out)
        if validation is None:
            held_out, order = _hold_out(order, "validation", validation_size, source.origin)
            validation = train.at(held_out)
        order = order[:train_limit]
        if len(order) < batch_size:
            raise UserError(
                f"batch_size={batch_size}: {len(order)} training images are left; lower it, "
                "validation_size or test_size, or raise train_limit"
            )
        self._train = train.at(order)
        self._validation = validation
        self._test = test
        self.mean, self.std = _moments(self._train.images)

    def _read(
        self, source: ImageSource
    ) -> tuple[LabelledImages, LabelledImages | None, LabelledImages | None]:
        """The source's training, validation and test images, checked; None where it has none."""
        splits = source.read()
        self._fingerprint = fingerprint_of(
            {
                "training": [splits.x_train, splits.y_train],
                "validation": [splits.x_valid, splits.y_valid],
                "test": [splits.x_test, splits.y_test],
            }
        )
        self._described = source.description
        try:
            self.class_names = class_names(splits.y_train)
            labels = self._labels("training", splits.y_train, splits.num_classes)
            self._classes = splits.num_classes or count_classes(labels)
            images = self._images("training", splits.x_train, splits.layout, len(labels))
            validation = self._given(splits, "validation", images)
            return LabelledImages(images, labels), validation, self._given(splits, "test", images)
        except ValueError as error:
            raise source.refusal(str(error)) from error

    @property
    def description(self) -> dict[str, Fact]:
        """Images in each split, the classes, what an image is; what the source adds."""
        _, channels, size, _ = self._train.images.shape
        splits = {"train": self._train, "validation": self._validation, "test": self._test}
        return {
            "images": {name: len(split.labels) for name, split in splits.items()},
            "classes": self._classes,
            **({"class names": ", ".join(self.class_names)} if self.class_names else {}),
            "image": f"{channels} x {size} x {size} {self._train.images.numpy().dtype}",
            **self._described,
        }

    @property
    def sizes(self) -> dict[str, int]:
        """`{"num_classes": K, "channels": C, "image_size": S}`."""
        _, channels, size, _ = self._train.images.shape
        return {"num_classes": self._classes, "channels": channels, "image_size": size}

    @property
    def preparation(self) -> dict[str, Any]:
        """Mean and standard deviation of each channel."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @cached_property
    def train(self) -> LabelledImages:
        """The training split, float32 and normalised, in an order mixed by classes."""
        return self._normalized(self._train)

    @cached_property
    def validation(self) -> LabelledImages:
        """The validation split, float32 and normalised."""
        return self._normalized(self._validation)

    @cached_property
    def test(self) -> LabelledImages:
        """The test split, float32 and normalised. For final evaluations only."""
        return self._normalized(self._test)

    @property
    def train_batches(self) -> int:
        """Training minibatches in one pass; the images left over sit this pass out."""
        return len(self._train.labels) // self.batch_size

    def train_batch(self, index: int) -> Batch:
        """Training minibatch number `index`; every pass through the split has an order of its own.

        Returns:
            Inputs `(B, C, S, S)` and targets `(B,)`.
        """
        epoch, position = divmod(index, self.train_batches)
        generator = torch.Generator().manual_seed(seed_of("shuffle", epoch))
        order = torch.randperm(len(self._train.labels), generator=generator)
        chosen = order[position * self.batch_size : (position + 1) * self.batch_size]
        there = chosen.to(self._train.labels.device, non_blocking=True)
        batch = self._normalized(self._train.at(there))
        return Batch(batch.images, batch.labels, continues=False)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A training minibatch, its images shifted and mirrored as `pad` and `flip` say."""
        inputs = augment(batch.inputs, generator, pad=self.pad, flip=self.flip)
        return batch._replace(inputs=inputs)

    def validation_batches(self) -> Sequence[Batch]:
        """The whole validation split in order."""
        return self._batches(self.validation)

    def test_batches(self) -> Sequence[Batch]:
        """The whole test split in order. For final evaluations only."""
        return self._batches(self.test)

    def _normalized(self, split: LabelledImages) -> LabelledImages:
        images = split.images.to(torch.float32, copy=True)
        images.sub_(self.mean[:, None, None]).div_(self.std[:, None, None])
        return LabelledImages(images, split.labels)

    def _batches(self, split: LabelledImages) -> tuple[Batch, ...]:
        size = self.evaluation_batch_size
        pairs = zip(torch.split(split.images, size), torch.split(split.labels, size), strict=True)
        return tuple(Batch(images, labels, continues=False) for images, labels in pairs)

    def _labels(self, split: str, labels: NDArray[Any], classes: int | None) -> Tensor:
        return class_ids(split, labels, classes, self.class_names)

    def _images(self, split: str, images: NDArray[Any], layout: Layout, count: int) -> Tensor:
        """Check the images of a split and lay them out as `(N, C, S, S)`, uint8 or float32."""
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise ValueError(
                f"the {split} images are {images.dtype}, must be uint8 or floating; convert them"
            )
        if images.ndim != len(layout) or 0 in images.shape[1:]:
            raise ValueError(
                f"the {split} images have shape {images.shape}, must be "
                f"({', '.join(layout)}) with lengths >= 1"
            )
        if len(images) != count:
            raise ValueError(f"there are {len(images):,} {split} images and {count:,} labels")
        if layout == "NHW":
            images = images[:, None]
        elif layout == "NHWC":
            images = images.transpose(0, 3, 1, 2)
        if images.shape[2] != images.shape[3]:
            raise ValueError(
                f"the {split} images are {images.shape[2]} high and {images.shape[3]} wide, "
                "must be square; crop or scale them, or give image_size= where the source has it"
            )
        if images.dtype != np.uint8:
            with np.errstate(over="ignore"):  # Too large a number becomes infinite: refused next.
                images = images.astype(np.float32)
            if not np.isfinite(images).all():
                raise ValueError(f"some {split} images are not finite in 32 bits; mend them")
        return torch.from_numpy(np.array(images, order="C"))  # A copy: the array may be read-only.

    def _given(
        self, splits: ImageSplits, split: Literal["validation", "test"], like: Tensor
    ) -> LabelledImages | None:
        """A split that the source has by itself, checked against the training images `like`."""
        x, y = (
            (splits.x_valid, splits.y_valid)
            if split == "validation"
            else (splits.x_test, splits.y_test)
        )
        if x is None and y is None:
            return None
        if x is None or y is None:
            raise ValueError(f"the {split} split has images or labels only; give both or none")
        labels = self._labels(split, y, self._classes)
        images = self._images(split, x, splits.layout, len(labels))
        if images.shape[1:] != like.shape[1:] or images.dtype != like.dtype:
            raise ValueError(
                f"the {split} images are {images.dtype} of (C, S, S) = {tuple(images.shape[1:])}, "
                f"the training images {like.dtype} of {tuple(like.shape[1:])}; make them alike"
            )
        return LabelledImages(images, labels)


def _hold_out(order: Tensor, split: str, size: int, origin: str) -> tuple[Tensor, Tensor]:
    """The training images held out for a split that the source lacks, and the others."""
    if not 0 < size < len(order):
        raise UserError(
            f"{split}_size={size}: {origin} has no {split} images, so between 1 and "
            f"{len(order) - 1} of {len(order)} training images must be held out for it"
        )
    return order[:size], order[size:]


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """A permutation of N images in whose every stretch each class has its share.

    The members of a class, in random order, are spread evenly over the whole: the j-th of n at
    (j + 1/2) / n. Images at the same place stand in random order.

    Args:
        labels: Class ids `(N,)`.
        seed: Of the random orders.

    Returns:
        The images' numbers `(N,)`.
    """
    generator = torch.Generator().manual_seed(seed_of("split", seed))
    shuffled = torch.randperm(len(labels), generator=generator)
    grouped = shuffled[torch.argsort(labels[shuffled], stable=True)]
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    group = labels[grouped]
    rank = torch.arange(len(labels)) - starts[group]
    place = torch.empty(len(labels), dtype=torch.float64)
    place[grouped] = (rank + 0.5).double() / counts[group]
    return shuffled[torch.argsort(place[shuffled], stable=True)]


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel `(C,)` of `(N, C, S, S)`, summed in 64 bits."""
    pieces = torch.split(images, 1000)  # All at once would take eight times the memory of bytes.
    count = images.numel() // images.shape[1]
    mean = torch.stack([p.double().sum((0, 2, 3)) for p in pieces]).sum(0) / count
    squares = [(p.double() - mean[:, None, None]).square().sum((0, 2, 3)) for p in pieces]
    std = (torch.stack(squares).sum(0) / count).sqrt()
    return mean.float(), torch.where(std > 0, std, 1.0).float()
