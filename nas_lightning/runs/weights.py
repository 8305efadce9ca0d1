"""Tensors on the disk, read back only if every byte is as it was written."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch


def read(path: str | Path) -> dict[str, Any]:
    """What `torch.save` wrote: tensors and plain types; nothing in the file is executed.

    Raises:
        Exception: Of whatever kind, if the file is damaged. torch writes a checksum of a tensor,
            but does not look at it.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{path}: damaged: {damaged}")
    loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded
