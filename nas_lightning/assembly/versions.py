"""Configurations that another version of nas-lightning has written: refused in one line.

A run is read by every later version, and goes on with that which can make all its parts.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra

from nas_lightning import __version__
from nas_lightning.errors import UserError
from nas_lightning.terminal import shown

OWN = "nas_lightning."


def refuse_other_version(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise UserError if this version lacks what a configuration names.

    Args:
        folder: The run whose it is.
        config: All of it, or the nodes that objects are made of; what anybody may edit is passed
            over.
    """
    from nas_lightning.runs.config import MAY_CHANGE

    for lacking in lacks({name: node for name, node in config.items() if name not in MAY_CHANGE}):
        raise UserError(
            f"{shown(folder)}: {written_by(folder)} wrote its configuration: {lacking} is not in "
            f"this one ({__version__}); only the version that wrote it can go on with it"
        )


def lacks(config: Mapping[str, Any], key: str = "") -> Iterator[str]:
    """The targets and keys that a configuration has, and this version has not."""
    target = config.get("_target_")
    if isinstance(target, str) and target.startswith(OWN):
        try:
            made = hydra.utils.get_object(target)
        except (ImportError, ValueError) as error:
            if is_absent(target, error):
                yield f"{key}._target_={target}"
        else:
            parameters = inspect.signature(made).parameters
            unknown = [name for name in config if name[:1] != "_" and name not in parameters]
            if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
                yield f"{key}.{unknown[0]}"
    for name, node in config.items():
        if isinstance(node, Mapping):
            yield from lacks(node, f"{key}.{name}" if key else str(name))


def is_absent(target: str, error: BaseException) -> bool:
    """Whether a target of this package was not found for itself, and not for want of a library."""
    cause = str(error.__cause__ or error)
    attributes = (f"has no attribute '{part}'" in cause for part in target.split("."))
    return f"No module named '{OWN}" in cause or any(attributes)


def absent(error: BaseException) -> str | None:
    """The name in this package that Hydra has not found; None for an error of another kind."""
    found = re.match(r"Error loading '(nas_lightning\.[^']+)'", str(error))
    return found[1] if found and is_absent(found[1], error) else None


def written_by(folder: Path) -> str:
    """The version that a run was searched with, in words, as far as its folder tells."""
    from nas_lightning.files import read_json
    from nas_lightning.runs import stretches
    from nas_lightning.runs.config import at
    from nas_lightning.runs.folder import BEST

    known, _ = stretches.read(folder)
    versions = known[-1].versions if known else at(read_json(folder / BEST), "provenance")
    if not isinstance(versions, Mapping) or "nas-lightning" not in versions:
        return "another version of nas-lightning (unknown)"
    commit = f", commit {versions['commit']}" if "commit" in versions else ""
    return f"another version of nas-lightning ({versions['nas-lightning']}{commit})"
