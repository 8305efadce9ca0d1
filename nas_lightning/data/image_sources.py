"""Where images come from: scikit-learn's digits, (Fashion-)MNIST, CIFAR-10, a .npz of the user's.

Whatever is wrong with a file ends in one line that starts with `data.path=…` and tells the way out.
"""

from __future__ import annotations

import gzip
import lzma
import os
import struct
import tarfile
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas_lightning.data.archives import open_tar, open_zip
from nas_lightning.data.image_formats import Stream, read_cifar_batch, read_idx, read_npy
from nas_lightning.data.images import LAYOUTS, ImageData, ImageSplits, Layout
from nas_lightning.errors import UserError, require, require_one_of

T = TypeVar("T")


class Digits(ImageData):
    """The 1,797 handwritten digits of 8 x 8 pixels inside scikit-learn: no download.

    Small enough to train a network in seconds. They have no test split; `validation_size` and
    `test_size` are held out. The arguments are `ImageData`'s.
    """

    origin = "data=digits"

    def read(self) -> ImageSplits:
        """Images `(1797, 8, 8)` of the values 0 to 16."""
        try:
            from sklearn.datasets import load_digits  # type: ignore[import-untyped]
        except ImportError as error:
            raise self.refusal(
                "scikit-learn is not installed, which holds these images; "
                "pip install scikit-learn, or choose data=fashion_mnist"
            ) from error
        digits = load_digits()
        return ImageSplits(digits.images.astype(np.uint8), digits.target, num_classes=10)


class IdxImages(ImageData):
    """Fashion-MNIST or MNIST: 60,000 training and 10,000 test images of 28 x 28 bytes, 10 classes.

    Read from `path`, else from Debian's package dataset-fashion-mnist, else downloaded once into
    the user's cache and checked by SHA-256. They have no validation split; `validation_size` is
    held out. The other arguments are `ImageData`'s.

    Args:
        path: A folder, .zip or .tar.gz that holds the four idx files, packed as .gz or not, at the
            top or one folder deep; or `None`.
        name: Which to download: `fashion-mnist` or `mnist`.
    """

    FILES = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
    DEBIAN: ClassVar[dict[str, Path]] = {
        "fashion-mnist": Path("/usr/share/datasets/fashion-mnist"),
    }
    URLS: ClassVar[dict[str, str]] = {
        "fashion-mnist": "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/"
        "data/fashion/",
        # The copy that torchvision downloads; LeCun's own page refuses programs.
        "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    }
    # Of the .gz files, in the order of FILES; the digests TensorFlow Datasets checks, too.
    SHA256: ClassVar[dict[str, tuple[str, ...]]] = {
        "fashion-mnist": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        "mnist": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    }

    def __init__(
        self,
        *,
        path: str | Path | None,
        name: str,
        batch_size: int,
        evaluation_batch_size: int,
        validation_size: int,
        split_seed: int,
        train_limit: int | None,
        pad: int,
        flip: bool,
    ) -> None:
        require_one_of("name", name, tuple(self.URLS))
        self.path = None if path is None else _local(path)
        self.name = name
        super().__init__(
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            validation_size=validation_size,
            split_seed=split_seed,
            train_limit=train_limit,
            pad=pad,
            flip=flip,
            test_size=0,
        )

    def read(self) -> ImageSplits:
        """The four files: images `(N, H, W)`."""
        path = self.path or self._installed() or self._download()
        self.origin = f"data.path={path}"
        readers = {
            name: partial(read_idx, dimensions=3 if "-images-" in name else 1)
            for name in self.FILES
        }
        arrays = read_members(path, readers)
        x_train, y_train, x_test, y_test = (arrays[name] for name in self.FILES)
        return ImageSplits(x_train, y_train, x_test=x_test, y_test=y_test, num_classes=10)

    def _installed(self) -> Path | None:
        folder = self.DEBIAN.get(self.name)
        return folder if folder is not None and folder.is_dir() else None

    def _download(self) -> Path:
        names = [f"{name}.gz" for name in self.FILES]
        hashes = dict(zip(names, self.SHA256[self.name], strict=True))
        return _download(self.URLS[self.name], hashes, self.name)


class Cifar10(ImageData):
    """CIFAR-10: 50,000 training and 10,000 test images of 3 x 32 x 32 bytes, 10 classes.

    Read from `path`, or downloaded once (170 MB) into the user's cache and checked by SHA-256.
    There is no validation split; `validation_size` is held out. The other arguments are
    `ImageData`'s.

    Args:
        path: `cifar-10-python.tar.gz`, or a folder or .zip that holds its six batches at the top
            or one folder deep; or `None` to download.
    """

    FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
    URL = "https://www.cs.toronto.edu/~kriz/"
    # Its MD5, which the page tells, is c58f30108f718f92721af3b95e74349a.
    SHA256: ClassVar[dict[str, str]] = {
        "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    }

    def __init__(
        self,
        *,
        path: str | Path | None,
        batch_size: int,
        evaluation_batch_size: int,
        validation_size: int,
        split_seed: int,
        train_limit: int | None,
        pad: int,
        flip: bool,
    ) -> None:
        self.path = None if path is None else _local(path)
        super().__init__(
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            validation_size=validation_size,
            split_seed=split_seed,
            train_limit=train_limit,
            pad=pad,
            flip=flip,
            test_size=0,
        )

    def read(self) -> ImageSplits:
        """The six batches: images `(N, 3, 32, 32)`."""
        path = self.path or self._download()
        self.origin = f"data.path={path}"
        batches = read_members(path, dict.fromkeys(self.FILES, read_cifar_batch))
        *train, test = (batches[name] for name in self.FILES)
        return ImageSplits(
            np.concatenate([images for images, _ in train]),
            np.concatenate([labels for _, labels in train]),
            x_test=test[0],
            y_test=test[1],
            layout="NCHW",
            num_classes=10,
        )

    def _download(self) -> Path:
        return _download(self.URL, self.SHA256, "cifar10") / next(iter(self.SHA256))


class Npz(ImageData):
    """Images of your own in a NumPy .npz: `x_train`, `y_train`, and what else it has of these.

    `x_valid` and `y_valid`, else `validation_size` training images are held out; `x_test` and
    `y_test`, else `test_size`. Images are uint8 or floating and square, labels whole numbers from
    0 to K - 1, each of which occurs in training. Arrays of Python objects are not read. The other
    arguments are `ImageData`'s.

    Args:
        path: The .npz.
        layout: The dimensions of the images: `NHW` (grey), `NHWC` or `NCHW`.
    """

    ARRAYS = ("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test")

    def __init__(
        self,
        *,
        path: str | Path,
        layout: Layout,
        batch_size: int,
        evaluation_batch_size: int,
        validation_size: int,
        test_size: int,
        split_seed: int,
        train_limit: int | None,
        pad: int,
        flip: bool,
    ) -> None:
        require_one_of("layout", layout, LAYOUTS)
        self.path = _local(path)
        self.layout = layout
        self.origin = f"data.path={self.path}"
        super().__init__(
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            validation_size=validation_size,
            test_size=test_size,
            split_seed=split_seed,
            train_limit=train_limit,
            pad=pad,
            flip=flip,
        )

    def read(self) -> ImageSplits:
        """The arrays of the file."""
        arrays = read_npz(self.path, self.ARRAYS)
        for name in ("x_train", "y_train"):
            if name not in arrays:
                raise self.refusal(f"there is no {name} in it; it must hold x_train and y_train")
        dimensions = arrays["x_train"].ndim
        if dimensions in (3, 4) and dimensions != len(self.layout):
            raise UserError(
                f"data.layout={self.layout}: x_train has {dimensions} dimensions, "
                f"{arrays['x_train'].shape}; set data.layout="
                + ("NHW" if dimensions == 3 else "NHWC or data.layout=NCHW")
            )
        return ImageSplits(
            arrays["x_train"],
            arrays["y_train"],
            arrays.get("x_valid"),
            arrays.get("y_valid"),
            arrays.get("x_test"),
            arrays.get("y_test"),
            layout=self.layout,
        )


class _File(NamedTuple):
    """A file in a folder or archive: its path inside, and how to open it."""

    name: str
    open: Callable[[], IO[bytes]]


# What the archives' readers raise on damaged, encrypted and rare ones, and the formats' readers.
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, ValueError, OverflowError),
)


def read_members(path: Path, readers: Mapping[str, Callable[[Stream], T]]) -> dict[str, T]:
    """Read files in a folder, .zip or .tar.gz, at the top or one folder deep.

    Args:
        path: The folder or archive.
        readers: How to read each wanted file, by its name without the folder; one that is not
            there is read from the .gz of the same name.

    Returns:
        What each reader made of its file.

    Raises:
        UserError: If a file is missing, double or damaged.
    """
    try:
        with _files(path, tuple(readers)) as files:
            chosen = {_choose(path, files, name): name for name in readers}
            # In the archive's order, because going back in a .tar.gz is to start over.
            return {
                chosen[file]: _read(path, file, readers[chosen[file]])
                for file in files
                if file in chosen
            }
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror or error})") from error
    except _DAMAGE as error:
        wanted = "a folder, .zip or .tar.gz"
        reason = f"not a sound archive ({error}); give {wanted} with {', '.join(readers)}"
        raise _refusal(path, reason) from error


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read those of the named arrays that a .npz holds.

    Raises:
        UserError: If it is damaged, or an array is or holds Python objects.
    """
    _require_regular(path, "give a .npz as numpy.savez writes it")
    try:
        with open_zip(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            return {
                name: _read(
                    path,
                    _File(f"{name}.npy", partial(archive.open, f"{name}.npy")),
                    partial(read_npy, size=sizes[f"{name}.npy"]),
                )
                for name in names
                if f"{name}.npy" in sizes
            }
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror or error})") from error
    except _DAMAGE as error:
        reason = f"not a sound .npz ({error}); write it with numpy.savez"
        raise _refusal(path, reason) from error


@contextmanager
def _files(path: Path, names: tuple[str, ...]) -> Iterator[list[_File]]:
    if path.is_dir():
        # `iterdir` raises where a folder may not be read, `glob` passes over such subfolders.
        found = sorted([*path.iterdir(), *path.glob("*/*")])
        yield [
            _File(file.relative_to(path).as_posix(), partial(_open, file))
            for file in found
            if file.is_file()
        ]
        return
    _require_regular(path, f"give a folder, .zip or .tar.gz with {', '.join(names)}")
    if zipfile.is_zipfile(path):
        with open_zip(path) as archive:
            yield [
                _File(info.filename, partial(archive.open, info))
                for info in archive.infolist()
                if not info.is_dir()
            ]
        return
    with open_tar(path) as tar:
        yield [_File(info.name, partial(_extract, tar, info)) for info in tar if info.isfile()]


def _open(file: Path) -> IO[bytes]:
    return file.open("rb")


def _extract(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(info)
    assert stream is not None, "only regular files are listed"
    return stream


def _choose(path: Path, files: list[_File], name: str) -> _File:
    for wanted in (name, f"{name}.gz"):
        matches = [
            file
            for file in files
            if file.name.count("/") <= 1 and file.name.rpartition("/")[2] == wanted
        ]
        if len(matches) > 1:
            found = ", ".join(file.name for file in matches)
            raise _refusal(path, f"several files are called {wanted} ({found}); leave one")
        if matches:
            return matches[0]
    raise _refusal(path, f"there is no {name} (or {name}.gz) in it; add the file")


def _read(path: Path, file: _File, reader: Callable[[Stream], T]) -> T:
    try:
        with file.open() as stream:
            if not file.name.endswith(".gz"):
                return reader(stream)
            with gzip.open(stream) as unpacked:
                return reader(unpacked)
    except (OSError, *_DAMAGE) as error:  # gzip's own error is an OSError.
        raise _refusal(path, f"{file.name} is unsound ({error}); replace it") from error


def _download(url: str, hashes: Mapping[str, str], name: str) -> Path:
    """Download files, unless they are in the user's cache, into its folder `name`."""
    import pooch  # type: ignore[import-untyped]  # Here, because it is slow to import.

    folder = Path(pooch.os_cache("nas-lightning")) / name
    try:
        for file, digest in hashes.items():
            pooch.retrieve(url + file, f"sha256:{digest}", fname=file, path=folder)
    except (OSError, ValueError) as error:  # No network or disk | another file than expected.
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 160, placeholder="…")
        raise UserError(
            f"data.path=null: {name} could not be downloaded ({reason}); get {', '.join(hashes)} "
            f"from {url} on another machine and give their folder as data.path=FOLDER"
        ) from error
    return folder


def _require_regular(path: Path, way_out: str) -> None:
    try:
        regular, exists = path.is_file(), path.exists()
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror or error})") from error
    if not regular:  # Reading a pipe or a device could wait for ever.
        problem = "not a regular file" if exists else "no such file or folder"
        raise _refusal(path, f"{problem}; {way_out}")


def _local(path: str | Path) -> Path:
    require(path not in (None, ""), "path", path, "a folder or a file")
    # A number is a name like others, though YAML reads it as no text. `~` as the shell has it.
    return Path(os.path.expanduser(str(path)))


def _refusal(path: Path, reason: str) -> UserError:
    # A file's name may hold a newline; the message is one line.
    return UserError(" ".join(f"data.path={path}: {reason}".splitlines()))
