"""What a finished run has come to, made again from its folder: its data, weights and controller."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.given import TARGET
from nas_lightning.assembly.make import make
from nas_lightning.assembly.versions import refuse_other_version
from nas_lightning.errors import UserError
from nas_lightning.runs.config import read_config
from nas_lightning.runs.folder import refuse_other_data
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from nas_lightning.controllers.base import Controller
    from nas_lightning.data.base import Data
    from nas_lightning.runs.run import Run
    from nas_lightning.search_spaces.child import ChildNetwork
    from nas_lightning.studies.study import Study


def runs_of(study: Path) -> list[Run]:
    """The finished runs of a study; what else lies there is said on standard error, a line each.

    Raises:
        UserError: If there is none.
    """
    return study_of(study).finished


def study_of(folder: Path) -> Study:
    """A study with finished runs; what is left out is said on standard error, a line each.

    Raises:
        UserError: If there is none.
    """
    from nas_lightning.studies.study import finished_study

    study = finished_study(folder)
    for line in [*study.left_out, *study.damage]:
        print(f"note: {line}", file=sys.stderr)
    return study


def configuration(run: Path, *made: str) -> DictConfig:
    """What the run in a folder was configured by.

    Args:
        run: The folder.
        made: The nodes of which objects are to be made.

    Raises:
        UserError: If it cannot be read, or this version of nas-lightning cannot make those nodes.
    """
    config = read_config(run)
    refuse_other_version(run, {name: config[name] for name in made if name in config})
    return OmegaConf.create(config)


def data_of(run: Path) -> Data:
    """The run's data; the last one made serves all runs that have the same.

    Raises:
        UserError: If they cannot be had, or are others than when it was searched.
    """
    config = configuration(run, "data")
    node = json.dumps(OmegaConf.to_container(config.data, resolve=True))
    made = _data.__wrapped__ if TARGET in node else _data  # of what is handed over none is kept
    data = made(node)
    refuse_other_data(run, data.fingerprint)
    return data


@functools.lru_cache(maxsize=1)
def _data(node: str) -> Data:
    data: Data = make(OmegaConf.create({"data": json.loads(node)}), "data")
    return data


def child_of(run: Path) -> ChildNetwork:
    """The run's child network with the shared weights of its end, in evaluation mode.

    Raises:
        UserError: If it has none, or they are damaged.
    """
    from nas_lightning.estimators.weight_sharing import shared_weights

    config = configuration(run, "search_space", "child")
    space = make(config, "search_space")
    child: ChildNetwork = make(config, "child", space=space, **data_of(run).sizes)
    try:
        child.load_state_dict(shared_weights(run, child))
    except ValueError as error:  # as the estimator says it, which takes them by a key of its own
        raise UserError(str(error)) from error
    return child.eval()


def controller_of(run: Path) -> Controller:
    """The run's controller as it is at its end.

    Raises:
        UserError: If its checkpoint is damaged, or another controller's.
    """
    from nas_lightning.runs.tensors import read

    config = configuration(run, "search_space", "controller")
    controller: Controller = make(config, "controller", space=make(config, "search_space"))
    path = run / "checkpoints" / "last.ckpt"
    prefix = "controller."
    try:
        saved: dict[str, Any] = read(path)["state_dict"]
        own = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
        controller.load_state_dict(own)
    except Exception as error:  # whatever damaged bytes make of it
        raise UserError(
            f"{shown(path)}: holds no controller as config.yaml has it, or is damaged "
            f"({type(error).__name__}); put it back, or move the run away"
        ) from error
    return controller
