"""What spares tests time and changes nothing that they look at."""

from __future__ import annotations

import copy
import functools
import gc
import io
from pathlib import Path
from typing import IO, Any

from hydra._internal.hydra import Hydra
from omegaconf import OmegaConf

PARSE = OmegaConf.load


def load(file: str | Path | IO[Any]) -> Any:
    """As OmegaConf does it, but a file is parsed once: a composition reads some twenty."""
    if not isinstance(file, io.TextIOBase):
        return PARSE(file)
    return copy.deepcopy(_parsed(file.read()))


@functools.cache
def _parsed(text: str) -> Any:
    return PARSE(io.StringIO(text))


def compose_once() -> None:
    """Leave out the first of the two times that a command composes.

    In it Hydra looks for `hydra.mode`, which no test sets and no file of conf/.
    """
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]


def collect_seldom() -> None:
    """Leave what there is to stay, and look for garbage after many objects more, not after 700."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
