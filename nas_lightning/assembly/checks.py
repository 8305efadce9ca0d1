"""What is refused of a whole configuration before anything is made or trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.messages import one_line
from nas_lightning.errors import Remedy, UserError

if TYPE_CHECKING:
    from nas_lightning.controllers.base import Controller
    from nas_lightning.estimators.base import Estimator
    from nas_lightning.search_spaces.base import SearchSpace


def refuse_nameless(config: Mapping[str, Any], key: str = "") -> None:
    """Raise UserError for a part of one's own that only the present process can find by its name.

    A search could use it, but its workers, a resume and the retraining could not.
    """
    for name, value in config.items():
        below = f"{key}.{name}" if key else str(name)
        if isinstance(value, Mapping):
            refuse_nameless(value, below)
        elif isinstance(value, list):
            refuse_nameless({str(n): item for n, item in enumerate(value)}, below)
        elif name == "_target_" and re.match(r"__main__\.|.*<(locals|lambda)>", str(value)):
            raise UserError(
                f"{below}={value}: no other process would find it, so that its run could not be "
                "resumed or retrained; put it into a module, a file my_parts.py say, and give "
                f"my_parts.{str(value).rpartition('.')[2].strip('<>')}, with PYTHONPATH=FOLDER "
                "before the command"
            )


def refuse_contradictions(cfg: DictConfig) -> None:
    """Raise UserError if the child network is told of another space than the one searched."""
    space, child = cfg.search_space, cfg.get("child") or {}
    for name in sorted(space.keys() & child.keys()):
        if not name.startswith("_") and child[name] != space[name]:
            raise UserError(
                f"child.{name}={child[name]}: search_space.{name} is {space[name]}; leave out "
                f"child.{name}, which follows it"
            )


def refuse_uncounted(space: SearchSpace) -> None:
    """Raise UserError if a space cannot count its architectures, so that none is sampled evenly."""
    try:
        sum(stage.size for stage in space.stages)
    except ValueError as error:
        raise UserError(f"search_space: {type(space).__name__}: {one_line(error)}") from error


def refuse_small_budget(cfg: DictConfig, controller: Controller, estimator: Estimator) -> None:
    """Raise UserError if a search ends before its controller has proposed what is not uniform."""
    epochs = cfg.trainer.max_epochs
    m = OmegaConf.select(cfg, "search.architectures_per_step")
    steps = estimator.phases.controller_steps
    known = isinstance(m, int)  # what else stands there is refused by the search itself
    settings = " and ".join(f"controller.{name}" for name in controller.begins_with)
    if known and controller.learns and 0 < epochs * steps * m < controller.least_budget:
        raise UserError(
            f"controller: needs {controller.least_budget} architectures before it proposes any but "
            f"uniform ones, and this search has {epochs} epochs × {steps} steps × {m} = "
            f"{epochs * steps * m}; give {f'a smaller {settings} or ' * bool(settings)}more "
            "trainer.max_epochs"
        )


def refuse_fewer_epochs(checkpoints: Sequence[Path], asked: int) -> None:
    """Raise UserError if a run has begun more epochs than are asked for; with as many it ends."""
    from nas_lightning.callbacks.checkpoint import fault_of
    from nas_lightning.runs.tensors import read

    whole = next((path for path in checkpoints if fault_of(path) is None), None)
    if whole is None:
        return  # it cannot go on at all, as will be said
    begun = int(read(whole)["search"]["counters"]["epoch"]) + 1
    if asked < begun:
        raise UserError(
            f"trainer.max_epochs={asked}: the run in {whole.parents[1]} has begun epoch "
            f"{begun}; give trainer.max_epochs={begun}, with which it ends, or a larger one, or "
            "another folder",
            Remedy.ANOTHER_FOLDER,
        )
