"""A configuration as plain values: where conf/ lies, local paths, whole numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas_lightning.errors import UserError
from nas_lightning.terminal import here

ASIDE = ("budget", "hints")
"""Nodes of a configuration that no object is made of: the others read them."""

PACKAGE = Path(__file__).parents[1]

CONF = PACKAGE / "conf" if (PACKAGE / "conf").exists() else PACKAGE.parent / "conf"


def plain(cfg: DictConfig, names: Iterable[str] = ()) -> dict[str, Any]:
    """The resolved configuration as plain types, with local paths that hold everywhere.

    What only others read, `ASIDE`, is left out: each has its value where it is used.

    Args:
        cfg: A composed configuration.
        names: Its nodes that are wanted; all, if there are none.
    """
    cfg = cfg.copy()
    locate(cfg)
    config: dict[str, Any] = {}
    for name in names or [str(name) for name in cfg if name not in ASIDE]:
        node = cfg[name]
        if OmegaConf.is_config(node):
            node = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        config[name] = node
    return config


def locate(cfg: DictConfig) -> None:
    """Make the local paths of a configuration absolute: they are meant from where the user is."""
    for key in ("data.source.path", "estimator.weights", "estimator.path"):
        path = OmegaConf.select(cfg, key)
        if path:
            OmegaConf.update(cfg, key, os.path.abspath(here() / Path(str(path)).expanduser()))


def whole(cfg: DictConfig, key: str, *, at_least: int, at_most: int | None = None) -> int:
    """The whole number at `key`; raises UserError."""
    from nas_lightning.errors import require_whole

    value = OmegaConf.select(cfg, key)
    try:
        require_whole(key, value, at_least=at_least, at_most=at_most)
    except ValueError as error:
        raise UserError(str(error)) from None
    return int(value)
