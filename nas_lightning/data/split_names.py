"""What people call the three splits in the names of files and folders."""

from __future__ import annotations

from typing import Literal

Split = Literal["train", "validation", "test"]

WORDS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("valid", "validation", "val", "dev"),
    "test": ("test", "testing"),
}


def split_called(name: str) -> Split | None:
    """The split that a folder's name stands for, whatever its case; None for any other name."""
    return next((split for split, words in WORDS.items() if name.lower() in words), None)
