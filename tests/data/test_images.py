"""Image data: splits, batches and augmentation, the sources, and every bad input."""

from __future__ import annotations

import gzip
import inspect
import io
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_lightning.data.augmentation import augment
from nas_lightning.data.image_files import ImageFiles
from nas_lightning.data.image_sources import Cifar10, Digits, IdxImages
from nas_lightning.data.images import ImageData
from nas_lightning.data.sources import ImageSource, ImageSplits
from nas_lightning.errors import UserError

SIZES: dict[str, Any] = {
    "batch_size": 8,
    "evaluation_batch_size": 7,
    "validation_size": 20,
    "split_seed": 0,
    "train_limit": None,
    "pad": 0,
    "flip": False,
    "test_size": 20,
}
COUNTS = (60, 30, 10)  # images of each class


def numbered(counts: tuple[int, ...] = COUNTS, size: int = 4) -> ImageSplits:
    """Images whose pixels tell their number and their class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(0).permutation(labels)
    images = np.zeros((len(labels), size, size), np.uint8)
    images[:, 0, 0] = np.arange(len(labels))
    images[:, 0, 1] = labels
    return ImageSplits(images, labels)


class Arrays(ImageSource):
    """Images given as they are."""

    def __init__(self, splits: ImageSplits) -> None:
        self.splits = splits

    def read(self) -> ImageSplits:
        return self.splits


class Given(ImageData):
    """Data of images given as they are, which tell their number."""

    def __init__(self, splits: ImageSplits | None = None, **changes: Any) -> None:
        super().__init__(source=Arrays(splits or numbered()), **SIZES | changes)

    def raw(self, images: Tensor) -> Tensor:
        """The pixels before they were normalised."""
        return (images * self.std[:, None, None] + self.mean[:, None, None]).round().long()

    def numbers(self, images: Tensor) -> list[int]:
        return self.raw(images)[:, 0, 0, 0].tolist()


def loaded(source: ImageSource, **changes: Any) -> ImageData:
    return ImageData(source=source, **SIZES | changes)


def refused(make: Callable[[], object], start: str) -> str:
    """The one-line message with which something is refused."""
    with pytest.raises(UserError) as caught:
        make()
    message = str(caught.value)
    assert message.startswith(start.replace("\n", " ")), message
    assert "\n" not in message
    return message


# Splits


def test_splits_are_disjoint_and_whole() -> None:
    data = Given()
    splits = (data.train, data.validation, data.test)
    assert [len(split.labels) for split in splits] == [60, 20, 20]
    found = [number for split in splits for number in data.numbers(split.images)]
    assert sorted(found) == list(range(100))
    assert data.sizes == {"num_classes": 3, "channels": 1, "image_size": 4}


@pytest.mark.parametrize("limit", [None, 10, 20, 37, 1000])
def test_splits_are_stratified(limit: int | None) -> None:
    data = Given(train_limit=limit)
    for split in (data.train, data.validation, data.test):
        counts = torch.bincount(split.labels, minlength=3)
        share = torch.tensor(COUNTS) * len(split.labels) / 100
        assert (counts - share).abs().max() <= 1
    assert len(data.train.labels) == min(limit or 60, 60)


def test_smaller_sets_are_parts_of_larger_ones() -> None:
    small, large = Given(train_limit=10), Given(train_limit=30)
    first = set(small.numbers(small.train.images))
    assert first < set(large.numbers(large.train.images))
    assert small.numbers(small.test.images) == large.numbers(large.test.images)


def test_splits_depend_on_the_split_seed_only() -> None:
    before = torch.get_rng_state(), random.getstate()
    first = Given()
    torch.manual_seed(5)
    second, other = Given(), Given(split_seed=1)
    torch.set_rng_state(before[0])
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)
    assert first.numbers(first.test.images) != other.numbers(other.test.images)
    assert before[1] == random.getstate()


def test_labels_stay_with_their_images() -> None:
    data = Given()
    for split in (data.train, data.validation, data.test):
        assert torch.equal(data.raw(split.images)[:, 0, 0, 1], split.labels)
    for index in (0, 3, 9, 100):
        batch = data.train_batch(index)
        assert torch.equal(data.raw(batch.inputs)[:, 0, 0, 1], batch.targets)


def test_splits_of_the_source_are_kept() -> None:
    x, y, *_ = numbered()
    data = Given(ImageSplits(x[:70], y[:70], x[70:80], y[70:80], x[80:], y[80:]))
    assert data.numbers(data.validation.images) == list(range(70, 80))
    assert data.numbers(data.test.images) == list(range(80, 100))
    assert sorted(data.numbers(data.train.images)) == list(range(70))


def test_images_are_normalised_by_the_training_split() -> None:
    images = np.random.default_rng(1).integers(0, 256, (2500, 3, 5, 5), np.uint8)
    images[:, 2] = 7  # constant
    for kind in (np.uint8, np.float64):
        splits = ImageSplits(images.astype(kind), np.arange(2500) % 4, layout="NCHW")
        data = Given(splits)
        x = data.train.images
        assert x.dtype == torch.float32
        assert x[:, :2].mean((0, 2, 3)).abs().max() < 1e-5
        assert (x[:, :2].std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
        assert (x[:, 2] == 0).all()
        assert data.mean.shape == data.std.shape == (3,)
        assert (data.validation.images.mean((0, 2, 3)) != 0).any()


def test_layouts() -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, 3, 5, 5), np.uint8)
    labels = np.arange(40) % 2
    first = Given(ImageSplits(images, labels, layout="NCHW"), validation_size=10, test_size=10)
    last = Given(
        ImageSplits(images.transpose(0, 2, 3, 1), labels, layout="NHWC"),
        validation_size=10,
        test_size=10,
    )
    assert torch.equal(first.train.images, last.train.images)
    assert first.sizes == {"num_classes": 2, "channels": 3, "image_size": 5}
    assert first.train.images.is_contiguous()


# Batches


def test_every_pass_sees_an_image_once_in_a_new_order() -> None:
    data = Given(batch_size=9)  # 60 images: 6 batches, and 6 images left over
    passes = []
    for epoch in range(3):
        batches = [data.train_batch(epoch * data.train_batches + i) for i in range(6)]
        assert all(batch.inputs.shape == (9, 1, 4, 4) for batch in batches)
        assert not any(batch.continues for batch in batches)
        passes.append([n for batch in batches for n in data.numbers(batch.inputs)])
        assert len(set(passes[-1])) == 54
    assert data.train_batches == 6
    assert len({tuple(one) for one in passes}) == 3
    assert len({frozenset(one) for one in passes}) > 1, "always the same ones are left over"
    again = Given(batch_size=9)
    assert torch.equal(data.train_batch(13).inputs, again.train_batch(13).inputs)


def test_evaluation_sees_the_whole_split_in_order() -> None:
    data = Given()
    for batches, split in (
        (data.validation_batches(), data.validation),
        (data.test_batches(), data.test),
    ):
        assert [len(batch.targets) for batch in batches] == [7, 7, 6]
        assert torch.equal(torch.cat([batch.inputs for batch in batches]), split.images)
        assert torch.equal(torch.cat([batch.targets for batch in batches]), split.labels)
        assert not any(batch.continues for batch in batches)


def test_dtypes() -> None:
    data = Given()
    for batch in (data.train_batch(0), *data.validation_batches(), *data.test_batches()):
        assert batch.inputs.dtype == torch.float32
        assert batch.targets.dtype == torch.int64
    assert data.train.to("cpu").images is data.train.images


def test_pickles_are_small_and_alike() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 16, 16), np.uint8)
    data = Given(ImageSplits(images, np.arange(400) % 4))
    fresh = len(pickle.dumps(data))
    expected = data.train.images, data.test.images
    data.validation_batches()
    data.train_batch(3)
    stored = pickle.dumps(data)
    assert len(stored) == fresh < images.nbytes + 8 * 400 + 8000
    copy = pickle.loads(stored)
    assert torch.equal(copy.train.images, expected[0])
    assert torch.equal(copy.test.images, expected[1])
    assert torch.equal(copy.train_batch(9).inputs, data.train_batch(9).inputs)


def test_the_test_split_is_normalised_only_when_asked_for() -> None:
    data = Given()
    data.train_batch(0)
    data.validation_batches()
    assert "test" not in vars(data)


# Augmentation


@pytest.mark.parametrize(
    ("pad", "flip"), [(0, False), (0, True), (1, False), (2, True), (4, True), (9, False)]
)
def test_augmentation_is_that_of_one_image_after_another(pad: int, flip: bool) -> None:
    images = torch.randn(33, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    found = augment(images, torch.Generator().manual_seed(7), pad=pad, flip=flip)

    generator = torch.Generator().manual_seed(7)
    top = left = mirror = torch.zeros(33, 1, dtype=torch.int64)
    if pad:
        top = torch.randint(2 * pad + 1, (33, 1), generator=generator)
        left = torch.randint(2 * pad + 1, (33, 1), generator=generator)
    if flip:
        mirror = torch.randint(2, (33, 1), generator=generator)
    for number, image in enumerate(images):
        canvas = torch.zeros(2, 6 + 2 * pad, 6 + 2 * pad)
        canvas[:, pad : pad + 6, pad : pad + 6] = image
        y, x = int(top[number]), int(left[number])
        crop = canvas[:, y : y + 6, x : x + 6]
        assert torch.equal(found[number], crop.flip(2) if mirror[number] else crop)


def test_augmentation_that_does_nothing_draws_nothing() -> None:
    images = torch.randn(3, 1, 4, 4)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert augment(images, generator, pad=0, flip=False) is images
    assert torch.equal(generator.get_state(), before)


def test_data_augment_as_they_are_told() -> None:
    data = Given(pad=1, flip=True)
    batch = data.train_batch(0)
    found = data.augment(batch, torch.Generator().manual_seed(3))
    expected = augment(batch.inputs, torch.Generator().manual_seed(3), pad=1, flip=True)
    assert torch.equal(found.inputs, expected)
    assert torch.equal(found.targets, batch.targets)
    assert Given().augment(batch, torch.Generator()) == batch


# Arguments and bad arrays


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("batch_size", "evaluation_batch_size") for value in (0, None)),
        *((name, 2.0) for name in SIZES),
        *((name, -1) for name in SIZES),
        ("pad", True),
        ("flip", 1),
    ],
)
def test_wrong_arguments(name: str, value: object) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"^{name}=.* is not allowed: must be "):
        Given(**changes)


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"validation_size": 80}, "validation_size=80: the source has no validation images"),
        ({"validation_size": 0}, "validation_size=0: the source has no validation images"),
        ({"test_size": 100}, "test_size=100: the source has no test images"),
        ({"test_size": 0}, "test_size=0: the source has no test images"),
        ({"validation_size": 73}, "batch_size=8: 7 training images are left"),
        ({"train_limit": 7}, "batch_size=8: 7 training images are left"),
    ],
)
def test_too_few_images(changes: dict[str, Any], start: str) -> None:
    refused(lambda: Given(**changes), start)


X, Y = numbered()[:2]


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (ImageSplits(X[:9], Y), "9 training images and 100 labels"),
        (ImageSplits(X[:0], Y[:0]), "there are no training images"),
        (ImageSplits(X.astype(np.int64), Y), "int64, must be uint8 or floating"),
        (ImageSplits(X[:, 0], Y), "shape (100, 4), must be (N, H, W)"),
        (ImageSplits(X[:, :0], Y), "with lengths >= 1"),
        (ImageSplits(X, Y, layout="NHWC"), "must be (N, H, W, C)"),
        (ImageSplits(X[:, :3], Y), "3 high and 4 wide, must be square"),
        (ImageSplits(np.where(X == 5, np.nan, 0.0), Y), "not finite"),
        (ImageSplits(np.where(X == 5, 1e300, 0.0), Y), "not finite"),
        (ImageSplits(X, Y + 0.5), "5, must be whole numbers or names"),
        (ImageSplits(X, np.where(Y, np.nan, 1.0)), "one of them nan, must be whole"),
        (
            ImageSplits(X, np.eye(3)[Y]),
            "whole numbers or names of shape (N,), y.argmax(1)",
        ),
        (ImageSplits(X, np.array(["a", "b", "c"])[Y], X, Y), "are names, the validation labels"),
        (ImageSplits(X, Y, X, np.array(["a", "b", "c"])[Y]), "are numbers, the validation labels"),
        (
            ImageSplits(X, np.array(["a", "b", "c"])[Y], X, np.full(100, "d")),
            "a class 'd', which no",
        ),
        (ImageSplits(X, Y - 1), "from -1 to 1"),
        (ImageSplits(X, Y + 1), "class 0 never occurs"),
        (ImageSplits(X, Y * 2), "class 1 never occurs"),
        (ImageSplits(X, Y.astype(np.uint64) + 2**63), "go from 9223372036854775808"),
        (ImageSplits(X, Y * 0), "two or more"),
        (ImageSplits(X, Y, num_classes=2), "from 0 to 2, must from 0 to 1"),
        (ImageSplits(X, Y, x_valid=X), "images or labels only"),
        (ImageSplits(X, Y, y_test=Y), "images or labels only"),
        (ImageSplits(X, Y, X, Y + 1), "validation labels go from 1 to 3, must from 0 to 2"),
        (ImageSplits(X, Y, X[:0], Y[:0]), "no validation images"),
        (ImageSplits(X, Y, X[:, :2, :2], Y), "make them alike"),
        (ImageSplits(X, Y, X / 255, Y), "make them alike"),
    ],
)
def test_bad_arrays(splits: ImageSplits, words: str) -> None:
    assert words in refused(lambda: Given(splits), "the source: ")


# Digits


def test_digits() -> None:
    pytest.importorskip("sklearn")
    data = loaded(Digits(), validation_size=360, test_size=360)
    assert data.sizes == {"num_classes": 10, "channels": 1, "image_size": 8}
    assert len(data.train.labels) == 1797 - 720
    for split in (data.train, data.validation, data.test):
        shares = torch.bincount(split.labels, minlength=10) / len(split.labels)
        assert (shares - 0.1).abs().max() < 0.01
    # Nearest class means tell digits apart: labels belong to their images.
    means = torch.stack([data.train.images[data.train.labels == k].mean(0) for k in range(10)])
    nearest = torch.cdist(data.test.images.flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == data.test.labels).float().mean() > 0.85
    assert len(pickle.dumps(data)) < 200_000


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    assert "pip install" in refused(Digits().read, "digits: ")


# Files


def idx_files(suffix: str = "") -> dict[str, bytes]:
    """The four files of a small MNIST."""
    x, y, *_ = numbered()
    files = {}
    for part, images, labels in (("train", x[:80], y[:80]), ("t10k", x[80:], y[80:])):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            data = header + array.tobytes()
            files[f"{part}-{kind}-ubyte{suffix}"] = gzip.compress(data, 1) if suffix else data
    return files


def cifar_files() -> dict[str, bytes]:
    """The six batches of a small CIFAR-10; the first pixel is an image's number."""
    files = {"batches.meta": b"not read"}
    for number, name in enumerate(Cifar10.FILES):
        rows = np.zeros((20, 3072), np.uint8)
        rows[:, 0] = np.arange(20 * number, 20 * number + 20)
        rows[:, 1024] = 1  # green
        content = {"data": rows, "labels": [row % 10 for row in range(20)]}
        files[name] = pickle.dumps(content, protocol=4)
    return files


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def zipped(path: Path, files: dict[str, bytes], prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(prefix + name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], prefix: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def npz(path: Path, **arrays: NDArray[Any]) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def idx_images(path: Path | str | None, name: str = "mnist") -> ImageData:
    return loaded(IdxImages(path=path, name=name))


def cifar(path: Path | str | None) -> ImageData:
    return loaded(Cifar10(path=path))


def own(path: Path | str, layout: Any = "NHW") -> ImageData:
    return loaded(ImageFiles(path=path, layout=layout, image_size=None))


MAKERS: list[Callable[[Any], ImageData]] = [idx_images, cifar, own]


def test_idx_in_folders_and_archives(tmp_path: Path) -> None:
    plain, packed = idx_files(), idx_files(".gz")
    sources = [
        folder(tmp_path / "plain", plain),
        folder(tmp_path / "both", plain | packed),
        folder(tmp_path / "outer" / "raw", packed).parent,
        zipped(tmp_path / "a.zip", packed),
        zipped(tmp_path / "deep.zip", plain, "raw/"),
        tarred(tmp_path / "a.tar.gz", packed, "raw/"),
    ]
    for source in sources:
        data = idx_images(str(source))
        assert data.sizes == {"num_classes": 10, "channels": 1, "image_size": 4}
        assert len(data.train.labels) == 60
        read = IdxImages(path=source, name="mnist").read()
        assert np.array_equal(read.x_train, numbered().x_train[:80])
        assert torch.equal(data.test.labels, torch.from_numpy(numbered().y_train[80:]))


def test_cifar_in_folders_and_archives(tmp_path: Path) -> None:
    backwards = dict(reversed(cifar_files().items()))
    for source in (
        folder(tmp_path / "cifar-10-batches-py", cifar_files()),
        tmp_path,
        zipped(tmp_path / "a.zip", cifar_files(), "cifar-10-batches-py/"),
        tarred(tmp_path / "cifar-10-python.tar.gz", backwards, "cifar-10-batches-py/"),
    ):
        data = cifar(source)
        assert data.sizes == {"num_classes": 10, "channels": 3, "image_size": 32}
        assert len(data.train.labels) == 80
        read = Cifar10(path=source).read()
        assert read.x_train[:, 0, 0, 0].tolist() == list(range(100))
        assert (read.x_test[:, 1, 0, 0] == 1).all()  # type: ignore[index]


def test_npz_of_ones_own(tmp_path: Path) -> None:
    x, y, *_ = numbered()
    data = own(npz(tmp_path / "a.npz", x_train=x, y_train=y, other=np.array([None])))
    assert torch.equal(data.train.images, Given().train.images)
    x_parts = {"x_train": x / 255, "x_valid": x[:9] / 255, "x_test": x[:5] / 255}
    y_parts = {"y_train": y, "y_valid": y[:9], "y_test": y[:5]}
    data = own(npz(tmp_path / "b.npz", **x_parts, **y_parts))
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [100, 9, 5]
    colour = npz(tmp_path / "c.npz", x_train=np.stack([x] * 3, 3), y_train=y.astype(np.uint8))
    assert own(colour, layout="NHWC").sizes["channels"] == 3
    assert "set layout=NHWC" in refused(lambda: own(colour), "layout=NHW: x_train has 4")
    assert "set layout=NHW" in refused(
        lambda: own(tmp_path / "a.npz", layout="NCHW"), "layout=NCHW: x_train has 3"
    )
    first = npz(tmp_path / "d.npz", x_train=np.stack([x] * 3, 1), y_train=y)
    for file, wrong, right in ((colour, "NCHW", "NHWC"), (first, "NHWC", "NCHW")):
        message = refused(partial(own, file, layout=wrong), f"layout={wrong}: x_train has 4")
        assert message.endswith(f"; set layout={right}")
        assert own(file, layout=right).sizes["channels"] == 3


def test_npz_without_its_arrays(tmp_path: Path) -> None:
    x, y, *_ = numbered()
    for arrays, words in (
        ({"images": x}, "there is no x_train"),
        ({"x_train": x}, "there is no y_train"),
        ({"x_train": x, "y_train": y, "x_test": x}, "the test split has images or labels only"),
        ({"x_train": x, "y_train": np.array([None] * 100)}, "y_train.npy is unsound (it holds Pyt"),
        ({"x_train": np.array(["cat"] * 100), "y_train": y}, "it holds <U3"),
        ({"x_train": x, "y_train": np.array(["cat"] * 100)}, "of one class"),
        ({"x_train": x, "y_train": y + 1}, "class 0 never occurs"),
    ):
        path = npz(tmp_path / "a.npz", **arrays)
        assert words in refused(partial(own, path), f"path={path}: ")


@pytest.mark.parametrize("make", MAKERS)
def test_no_such_path(make: Callable[[Any], ImageData], tmp_path: Path) -> None:
    for name in ("nothing", "line\nbreak", "null\0byte"):
        path = tmp_path / name
        assert "no such file or folder" in refused(partial(make, path), f"path={path}: ")
    path = tmp_path / ("x" * 300)
    assert "cannot be read (File name too long)" in refused(lambda: make(path), "path=")
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(lambda: make(tmp_path / "pipe"), "path=")
    (tmp_path / "text").write_text("hello")
    assert "not a sound" in refused(lambda: make(tmp_path / "text"), "path=")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    assert "no pictures in it; it must" in refused(lambda: own(tmp_path), f"path={tmp_path}: ")


@pytest.mark.parametrize("path", [None, ""])
def test_wrong_path(path: Any) -> None:
    with pytest.raises(ValueError, match=r"^path=.* is not allowed"):
        own(path)


def test_wrong_names() -> None:
    with pytest.raises(ValueError, match=r"^name='kmnist' is not allowed"):
        idx_images("x", "kmnist")
    with pytest.raises(ValueError, match=r"^layout='HWC' is not allowed"):
        own("x", layout="HWC")


def test_missing_and_double_files(tmp_path: Path) -> None:
    files = idx_files()
    path = folder(tmp_path / "a", {k: v for k, v in files.items() if "t10k-l" not in k})
    start = f"path={path}: "
    assert "no t10k-labels-idx1-ubyte (or" in refused(lambda: idx_images(path), start)
    folder(path, files)
    folder(path / "raw", files)
    assert "several files are called train-images" in refused(lambda: idx_images(path), start)
    archive = tarred(tmp_path / "a.tar.gz", {"data_batch_1": b""})
    assert "there is no data_batch_2" in refused(lambda: cifar(archive), f"path={archive}: ")


def test_unsound_files(tmp_path: Path) -> None:
    files, packed = idx_files(), idx_files(".gz")
    name = "train-images-idx3-ubyte"
    raw, gz = files[name], packed[f"{name}.gz"]
    path = folder(tmp_path / "a", files)
    for data, words in (
        (raw[:-1], "truncated"),
        (raw + b"\0", "goes on"),
        (raw[:4] + b"\xff" * 12 + raw[16:], "4294967295 x"),
        (b"", "truncated"),
    ):
        (path / name).write_bytes(data)
        message = refused(lambda: idx_images(path), f"path={path}: {name} is unsound (")
        assert words in message
        assert message.endswith("; replace it")
    (path / name).unlink()
    bomb = raw[:16] + bytes(10**6)
    for data in (gz[:-1], gz[:50], gz[:-8] + b"\0" * 8, b"plain", gzip.compress(bomb)):
        (path / f"{name}.gz").write_bytes(data)
        refused(lambda: idx_images(path), f"path={path}: {name}.gz is unsound (")
    files = cifar_files()
    path = folder(tmp_path / "b", files | {"data_batch_3": files["data_batch_3"][:-9]})
    refused(lambda: cifar(path), f"path={path}: data_batch_3 is unsound (not a whole pickle")


def test_labels_out_of_range(tmp_path: Path) -> None:
    files = idx_files()
    files["train-labels-idx1-ubyte"] = files["train-labels-idx1-ubyte"][:-1] + b"\x0a"
    path = folder(tmp_path / "a", files)
    message = refused(lambda: idx_images(path), f"path={path}: ")
    assert "the training labels go from 0 to 10, must from 0 to 9" in message


@pytest.mark.parametrize("kind", ["zip", "tar", "npz"])
def test_damaged_archives_never_end_in_a_traceback(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    make: Callable[[Any], ImageData] = own if kind == "npz" else idx_images
    if kind == "npz":
        x, y, *_ = numbered()
        whole = npz(tmp_path / "a.npz", x_train=x, y_train=y).read_bytes()
    else:
        whole = (zipped if kind == "zip" else tarred)(path, idx_files(".gz")).read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 97)]
    for place in range(0, len(whole), 7 if kind == "tar" else 5):
        damaged.append(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    messages = []
    for data in damaged:
        path.write_bytes(data)
        try:
            make(path)
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > len(damaged) / 3
    assert all(text.startswith(("path=", "layout=")) for text in messages)
    assert not any("\n" in text for text in messages)


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulated, because root may read everything.
    def deny(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", deny)
    assert "(Permission denied)" in refused(lambda: cifar(tmp_path), f"path={tmp_path}: ")


# Downloads


@pytest.mark.parametrize("error", [OSError("no\nnetwork"), ValueError("another hash " * 99)])
@pytest.mark.parametrize("make", [idx_images, cifar])
def test_download_fails(
    make: Callable[[Any], ImageData], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("pooch.retrieve", fail)
    message = refused(lambda: make(None), "path=null: ")
    assert "path=FOLDER" in message
    assert "from https://" in message
    assert len(message) < 700


def test_downloads_are_checked_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {
        **dict(zip(idx_files(".gz"), IdxImages.SHA256["fashion-mnist"], strict=False)),
        **Cifar10.SHA256,
    }
    contents = idx_files(".gz")
    archive = tarred(tmp_path / "a.tar.gz", cifar_files(), "cifar-10-batches-py/")
    contents["cifar-10-python.tar.gz"] = archive.read_bytes()
    asked = []

    def retrieve(url: str, known_hash: str, *, fname: str, path: Path) -> str:
        assert url.endswith("/" + fname)
        assert known_hash == "sha256:" + digests[fname]
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(contents[fname])
        asked.append(fname)
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(IdxImages, "DEBIAN", {"fashion-mnist": tmp_path / "none"})
    assert len(idx_images(None, "fashion-mnist").train.labels) == 60
    assert len(cifar(None).train.labels) == 80
    assert sorted(asked) == sorted(contents)

    installed = folder(tmp_path / "debian", idx_files(".gz"))
    monkeypatch.setattr(IdxImages, "DEBIAN", {"fashion-mnist": installed})
    source = IdxImages(path=None, name="fashion-mnist")
    source.read()
    assert source.origin == f"path={installed}"
    assert len(asked) == 5


def test_the_real_fashion_mnist() -> None:
    if not IdxImages.DEBIAN["fashion-mnist"].is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    source = IdxImages(path=None, name="fashion-mnist")
    data = loaded(source, validation_size=5000, train_limit=2000)
    assert data.sizes == {"num_classes": 10, "channels": 1, "image_size": 28}
    assert torch.bincount(data.validation.labels).tolist() == [500] * 10
    assert torch.bincount(data.train.labels).tolist() == [200] * 10
    assert len(data.test.labels) == 10_000


# Configuration


@pytest.mark.parametrize("name", ["digits", "fashion_mnist", "mnist", "cifar10", "images"])
def test_configuration_names_every_argument(name: str, tmp_path: Path) -> None:
    from hydra.utils import get_class
    from omegaconf import DictConfig, OmegaConf

    from nas_lightning.assembly.make import make

    config = OmegaConf.create((Path(__file__).parents[2] / f"conf/data/{name}.yaml").read_text())
    assert isinstance(config, DictConfig)
    assert OmegaConf.missing_keys(config) == ({"source.path"} if name == "images" else set())
    if name == "images":
        x, y, *_ = numbered((600, 600))
        config.source.path = str(npz(tmp_path / "a.npz", x_train=x[..., None], y_train=y))
    for node in (config, config.source):
        wanted = inspect.signature(get_class(node._target_)).parameters
        assert set(node) - {"_target_"} == set(wanted)
    if name == "digits":
        pytest.importorskip("sklearn")
    if name in ("digits", "images"):
        data = make(OmegaConf.create({"data": config}), "data")
        assert data.train_batch(0).inputs.shape[0] == 64
