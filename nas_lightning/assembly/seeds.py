"""Many seeds in one process and one folder: `seeds=100`.

For estimators that only look up (`estimator=table`), where the start of a process costs more than a
search. Each seed is a search of its own (`engine.seeds`), as `seed=…` alone would make it.

Heavy imports happen inside functions, as everywhere here.
"""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from hydra.utils import get_object
from omegaconf import DictConfig

from nas_lightning.assembly.checks import refuse_small_budget, refuse_uncounted
from nas_lightning.assembly.choices import by_choices
from nas_lightning.assembly.configuration import whole
from nas_lightning.assembly.make import make, mendable
from nas_lightning.assembly.threads import set_threads
from nas_lightning.errors import UserError
from nas_lightning.terminal import called, shown

if TYPE_CHECKING:
    from nas_lightning.controllers.base import Controller
    from nas_lightning.estimators.base import Estimator
    from nas_lightning.memories.base import Memory
    from nas_lightning.rewards import Reward
    from nas_lightning.runs.folder import RunFolder
    from nas_lightning.search_spaces.base import SearchSpace


def search_seeds(cfg: DictConfig, folder: RunFolder, config: dict[str, Any]) -> str:
    """Search with seeds `seed` to `seed + seeds - 1`, but for those that are on record.

    Returns:
        What they came to, in words.

    Raises:
        UserError: If a value is not allowed, or the estimator does more than look up.
    """
    from nas_lightning.assembly.run import declared
    from nas_lightning.engine.seeds import search
    from nas_lightning.files import write_json
    from nas_lightning.runs import seeds as record
    from nas_lightning.runs.folder import DECLARED
    from nas_lightning.studies.seeds import summary

    first, count = whole(cfg, "seed", at_least=0), whole(cfg, "seeds", at_least=1)
    try:
        controller, estimator, reward, memory = _parts(cfg)
    except UserError as error:
        said = by_choices(error)
        raise said from (error if said is not error else None)  # never from itself
    set_threads(cfg, space=controller.space, child=None, data=None)
    steps = whole(cfg, "trainer.max_epochs", at_least=1) * estimator.phases.controller_steps
    per_step = whole(cfg, "search.architectures_per_step", at_least=1)
    proposals = steps * per_step
    record.cut(folder.path)
    folder.begin(config, None)
    write_json(folder.path / DECLARED, declared(estimator))
    known, _ = record.read(folder.path)
    done = {found.seed for found in known if found.proposals == proposals}
    started = time.monotonic()
    left = [seed for seed in range(first, first + count) if seed not in done]
    for seed in left:
        found = search(
            controller=controller,
            estimator=estimator,
            reward=reward,
            memory=memory,
            seed=seed,
            proposals=proposals,
            architectures_per_step=per_step,
        )
        record.append(folder.path, found)
    took = time.monotonic() - started
    folder.finish("DONE")
    lines = [
        summary(record.read(folder.path)[0], estimator.objective),
        f"folder     {shown(folder.path)}: {count} seeds, {len(left)} of them now, "
        f"{took / max(1, len(left)):.2g} s each",
        f"look at    {called('report', shown(folder.path))}",
    ]
    return "\n".join(lines)


def _parts(cfg: DictConfig) -> tuple[Controller, Estimator, Reward, Memory]:
    """What searches are made of.

    Raises:
        UserError: If they do not go together, or need more than asking, looking up and telling.
    """
    from nas_lightning.engine.judge import require_given

    space = make(cfg, "search_space")
    refuse_uncounted(space)
    refuse_more_than_look_ups(cfg, space)
    estimator: Estimator = make(cfg, "estimator", space=space)
    controller: Controller = make(cfg, "controller", space=space)
    reward: Reward = make(cfg, "reward")
    epochs = cfg.trainer.max_epochs
    memory: Memory = make(cfg, "memory", space=space, controller=controller, max_epochs=epochs)
    refuse_small_budget(cfg, controller, estimator)
    require_given(reward, estimator)
    try:
        controller.require_enough("architectures_per_step", cfg.search.architectures_per_step)
    except ValueError as error:
        raise mendable(error, "search") from error
    return controller, estimator, reward, memory


def refuse_more_than_look_ups(cfg: DictConfig, space: SearchSpace) -> None:
    """Raise UserError for what takes more than asking, looking up and telling."""
    estimator = get_object(str(cfg.estimator._target_))
    lacks = {
        "estimators that look up, as estimator=table does": bool(
            inspect.signature(estimator).parameters.keys() & {"child", "data"}
        ),
        "search spaces that do not grow": len(space.stages) > 1,
        "searches without search.beside": cfg.search.beside is not None,
    }
    for what, lacking in lacks.items():
        if lacking:
            raise UserError(
                f"seeds={cfg.seeds} is for {what}; leave it out (seeds=null), and take a run for "
                "each seed: -m seed=0,1,2"
            )
