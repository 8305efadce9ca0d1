"""The one reader of tensors: of checkpoints and weights, only if every byte is as written.

Which checkpoint of a run is usable is decided in `callbacks/checkpoint.py`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas_lightning.errors import UserError


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


def refuse_other_shapes(own: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raise UserError if saved tensors do not fit, before anything is changed.

    Args:
        own: The state of what they are for.
        saved: The state that was saved.
    """
    mine = {name: getattr(value, "shape", None) for name, value in own.items()}
    others = {name: getattr(value, "shape", None) for name, value in saved.items()}
    names = sorted(n for n in mine.keys() | others.keys() if mine.get(n) != others.get(n))
    if names:
        raise UserError(
            f"the checkpoint is of other networks or data than config.yaml has ({names[0]} has "
            f"shape {others.get(names[0])}, not {mine.get(names[0])}); put back what was changed"
        )
