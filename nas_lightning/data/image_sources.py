"""Where published images come from: scikit-learn's digits, (Fashion-)MNIST, CIFAR-10.

Whatever is wrong with a file ends in one line that starts with `data.path=…` and tells the way out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from nas_lightning.data.image_formats import read_cifar_batch, read_idx
from nas_lightning.data.images import ImageData, ImageSplits
from nas_lightning.data.members import local, read_members
from nas_lightning.errors import UserError, require_one_of


class Digits(ImageData):
    """The 1,797 handwritten digits of 8 x 8 pixels inside scikit-learn: no download.

    Small enough to train a network in seconds. They have no test split; `validation_size` and
    `test_size` are held out. The arguments are `ImageData`'s.
    """

    origin = "data=digits"

    def read(self) -> ImageSplits:
        """Images `(1797, 8, 8)` of the values 0 to 16."""
        try:
            from sklearn.datasets import load_digits
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
        self.path = None if path is None else local(path)
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
        self.path = None if path is None else local(path)
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


def _download(url: str, hashes: Mapping[str, str], name: str) -> Path:
    """Download files, unless they are in the user's cache, into its folder `name`."""
    import pooch  # Here, because it is slow to import.

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
