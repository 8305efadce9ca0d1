"""What data are read from, and what reading gives: splits of text, or of images.

A source knows where its content comes from and how it is divided there, and nothing of batches:
loaders (`text.py`, `images.py`) make those, of whatever source they are given.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from numpy.typing import NDArray

from nas_lightning.data.base import Fact
from nas_lightning.errors import UserError

T = TypeVar("T")

Layout = Literal["NHW", "NHWC", "NCHW"]
LAYOUTS: tuple[Layout, ...] = ("NHW", "NHWC", "NCHW")

Split = Literal["train", "validation", "test"]

SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("valid", "validation", "val", "dev"),
    "test": ("test", "testing"),
}
"""What people call the three splits in the names of files and folders."""


def split_called(name: str) -> Split | None:
    """The split that a folder's name stands for, whatever its case; None for any other name."""
    return next((split for split, names in SPLIT_NAMES.items() if name.lower() in names), None)


class Splits(NamedTuple):
    """The three parts of a text, as they were read."""

    train: str
    validation: str
    test: str


class ImageSplits(NamedTuple):
    """The images and labels of a source, as they were read.

    Attributes:
        x_train: Images, uint8 or floating, laid out as `layout` says.
        y_train: Their class ids `(N,)`, whole numbers from 0, or their classes' names.
        x_valid: As `x_train`, or `None`: some training images are held out.
        y_valid: As `y_train`; `None` where `x_valid` is.
        x_test: As `x_train`, or `None`: some training images are held out.
        y_test: As `y_train`; `None` where `x_test` is.
        layout: What the images' dimensions are: their number N, height H, width W, channels C.
        num_classes: K, or `None`: one more than the largest training label.
    """

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_valid: NDArray[Any] | None = None
    y_valid: NDArray[Any] | None = None
    x_test: NDArray[Any] | None = None
    y_test: NDArray[Any] | None = None
    layout: Layout = "NHW"
    num_classes: int | None = None


class Source(ABC, Generic[T]):
    """Where data come from. A loader reads it once, when it is made."""

    origin: str = "the source"
    """The argument that content comes from, `path=…`, at the start of every message about it."""

    @abstractmethod
    def read(self) -> T:
        """The content of each split.

        Raises:
            UserError: If it cannot be had; one line that starts with the key to mend.
        """

    @property
    def description(self) -> Mapping[str, Fact]:
        """What a person should know of how it was read: name -> fact, as JSON can hold it."""
        return {}

    def __repr__(self) -> str:
        return type(self).__name__

    def refusal(self, reason: str) -> UserError:
        """What to raise about the content: one line that starts with `origin`."""
        # A file's name may hold a newline.
        return UserError(" ".join(f"{self.origin}: {reason}".splitlines()))


class TextSource(Source[Splits]):
    """Where a text comes from, and what its words are: what white space separates, by default.

    Attributes:
        word: A word, as a regular expression without groups.
        lower_case: Whether words are in lower case.
    """

    word: str = r"\S+"
    lower_case: bool = False

    def words(self, line: str) -> list[str]:
        """The word-level tokens of one line, without its newline."""
        return re.findall(self.word, line.lower() if self.lower_case else line)


class ImageSource(Source[ImageSplits]):
    """Where images with classes come from.

    There may be no validation and no test split: the loader then holds out training images.
    """
