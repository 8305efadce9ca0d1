"""Where published images come from: scikit-learn's digits, (Fashion-)MNIST, CIFAR-10.

Whatever is wrong with a file ends in one line that starts with `path=…` and tells the
way out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from nas_lightning.data.image_formats import read_cifar_batch, read_idx
from nas_lightning.data.members import downloaded, local, read_members
from nas_lightning.data.sources import ImageSource, ImageSplits
from nas_lightning.errors import require_one_of


class Digits(ImageSource):
    """The 1,797 handwritten digits of 8 x 8 pixels inside scikit-learn: no download.

    Small enough to train a network in seconds. They have no validation and no test split.
    """

    origin = "digits"

    def read(self) -> ImageSplits:
        """Images `(1797, 8, 8)` of the values 0 to 16."""
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise self.refusal(
                "scikit-learn is not installed, which holds these images; pip install scikit-learn"
            ) from error
        digits = load_digits()
        return ImageSplits(digits.images.astype(np.uint8), digits.target, num_classes=10)


class IdxImages(ImageSource):
    """Fashion-MNIST or MNIST: 60,000 training and 10,000 test images of 28 x 28 bytes, 10 classes.

    Read from `path`, else from Debian's package dataset-fashion-mnist, else downloaded once into
    the user's cache and checked by SHA-256. They have no validation split.

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

    def __init__(self, *, path: str | Path | None, name: str) -> None:
        require_one_of("name", name, tuple(self.URLS))
        self.path = None if path is None else local(path)
        self.name = name

    def read(self) -> ImageSplits:
        """The four files: images `(N, H, W)`."""
        path = self.path or self._installed() or self._download()
        self.origin = f"path={path}"
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
        return downloaded(self.name, self.URLS[self.name], hashes)


class Cifar10(ImageSource):
    """CIFAR-10: 50,000 training and 10,000 test images of 3 x 32 x 32 bytes, 10 classes.

    Read from `path`, or downloaded once (170 MB) into the user's cache and checked by SHA-256.
    There is no validation split.

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

    def __init__(self, *, path: str | Path | None) -> None:
        self.path = None if path is None else local(path)

    def read(self) -> ImageSplits:
        """The six batches: images `(N, 3, 32, 32)`."""
        path = self.path or self._download()
        self.origin = f"path={path}"
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
        return downloaded("cifar10", self.URL, self.SHA256) / next(iter(self.SHA256))
