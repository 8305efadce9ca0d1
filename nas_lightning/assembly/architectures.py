"""Architectures that a key names by a file or a run, put into the configuration in its place.

So `config.yaml` holds them: a resume and a retraining need the file no more, and a file that has
changed since is another configuration.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.make import make
from nas_lightning.errors import UserError
from nas_lightning.terminal import here

if TYPE_CHECKING:
    from nas_lightning.search_spaces.base import SearchSpace

BESIDE = "search.beside"
WARM_START = "controller.warm_start"

OF_A_RUN = 20
"""How many of a run's best architectures a warm start takes."""


def take_written(cfg: DictConfig) -> None:
    """Put architectures in the place of the names of files and runs.

    Raises:
        UserError: If what is named is not there, or holds no architecture of the space.
    """
    for key in (BESIDE, WARM_START):
        named = OmegaConf.select(cfg, key)
        if not isinstance(named, str):
            continue
        found = architectures_in(f"{key}={named}", named, make(cfg, "search_space"), key)
        OmegaConf.update(cfg, key, found if key == WARM_START else found[0])


def architectures_in(said: str, named: str, space: SearchSpace, key: str) -> list[list[int]]:
    """The actions of the architectures that a name stands for.

    Args:
        said: The key and the name, for messages.
        named: A file, a run's folder, or a published architecture.
        space: Of which they must be.
        key: What they are for: one for `BESIDE`, whole ones of any number for `WARM_START`.

    Raises:
        UserError: If there are none.
    """
    from nas_lightning.search_spaces.published import PUBLISHED
    from nas_lightning.search_spaces.written import actions_of

    path = Path(os.path.abspath(here() / Path(named).expanduser()))
    if not path.exists() and named in PUBLISHED:
        path = PUBLISHED[named]
    rows = in_run(said, path, space, key) if path.is_dir() else in_file(said, path)
    if key == BESIDE and len(rows) != 1:
        raise UserError(f"{said}: holds {len(rows)} architectures; give a file of one")
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(actions_of(row, space))
        except ValueError as error:
            of = f"architecture {number}: " if len(rows) > 1 else ""
            raise UserError(f"{said}: {of}{error}") from None
    return found


def in_file(said: str, path: Path) -> list[Any]:
    """What a JSON file holds: one architecture, or a list of them."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else f"is no JSON in UTF-8 ({error})"
        raise UserError(
            f"{said}: {why}; give a file that holds decisions in words, or actions, as a "
            "best_architecture.json does"
        ) from None
    rows = content if isinstance(content, list) else [content]
    if not rows:
        raise UserError(f"{said}: holds no architecture")
    return rows


def in_run(said: str, folder: Path, space: SearchSpace, key: str) -> list[Any]:
    """Of a run the best architecture, or for a warm start the best whole ones of its ledger."""
    from nas_lightning.runs.config import read_config
    from nas_lightning.runs.folder import BEST, LEDGER
    from nas_lightning.runs.records import declared_by, read_ledger
    from nas_lightning.runs.run import objective_of, read_best

    if key == BESIDE:
        return in_file(said, folder / BEST)
    if not (folder / LEDGER).is_file():
        raise UserError(f"{said}: no run there; give the folder of one, or a file")
    name = objective_of(folder, read_config(folder), read_best(folder / BEST))
    best = read_ledger(folder / LEDGER, declared_by(folder, name))[0].best
    whole = [row for row in best if len(row["actions"]) == len(space.largest.decisions)]
    if not whole:
        raise UserError(f"{said}: its ledger holds no architecture with a finite {name}")
    return [{"actions": row["actions"]} for row in whole[:OF_A_RUN]]
