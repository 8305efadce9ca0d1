"""How many CPU threads a process computes with: as many as pay.

Threads that wait for each other cost time, and the more so beside other work. With the small
networks of a default run a second thread is worth nothing: docs/performance-processors.md. Another
processor is worth something all the same: architectures are judged there, `estimators/forks.py`.
This is for searches and retrainings; workers that train children or score a study have a thread
each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from nas_lightning.assembly.configuration import whole
from nas_lightning.errors import UserError

if TYPE_CHECKING:
    from nas_lightning.data.base import Data
    from nas_lightning.engine.module import ArchitectureSearch
    from nas_lightning.search_spaces.base import SearchSpace
    from nas_lightning.search_spaces.child import ChildNetwork

PAYS = 1e10
"""Multiply-adds of a training minibatch from which on all processors are used: with fewer a second
thread gains nothing, or makes a step slower, measured in docs/performance-processors.md."""

AUTO = "auto"


def share_out(cfg: DictConfig, search: ArchitectureSearch) -> None:
    """Have a search train with the threads that pay, and judge with processes; says how many.

    Raises:
        UserError: As `set_threads`.
    """
    trained = search.estimator.shared
    threads = set_threads(cfg, space=search.space, child=trained, data=search.data)
    search.estimator.processes = processes(cfg)
    if trained is not None and search.estimator.processes > 1 and sys.platform == "linux":
        print(
            f"processors: {threads} to train, up to {search.estimator.processes} to judge "
            f"(threads={cfg.threads})",
            file=sys.stderr,
        )


def set_threads(
    cfg: DictConfig, *, space: SearchSpace, child: ChildNetwork | None, data: Data | None
) -> int:
    """Have torch use the threads that are asked for, or as many as pay; returns how many.

    Args:
        cfg: Its `threads` is a number, or `auto`.
        space: Whose architectures the child computes.
        child: What is trained in this process, or None.
        data: What it is trained on.

    Raises:
        UserError: If the number is none that torch can work with.
    """
    import torch

    number = asked(cfg)
    if number is None:
        pays = child is not None and data is not None and work(space, child, data) >= PAYS
        number = share(os.environ) if pays else 1
    torch.set_num_threads(number)
    return number


def asked(cfg: DictConfig) -> int | None:
    """The number of threads asked for, None for `auto`; raises UserError for anything else."""
    value = cfg.threads
    if value is None or value == AUTO:
        return None
    if isinstance(value, str):
        raise UserError(f"threads={value} is not allowed: must be auto or a whole number >= 1")
    # With more than a machine has torch would break down.
    return whole(cfg, "threads", at_least=1, at_most=1024)


def processes(cfg: DictConfig) -> int:
    """How many processes of a run judge at a time: threads asked for, or its share of processors.

    Raises:
        UserError: As `set_threads`.
    """
    return asked(cfg) or share(os.environ)


def share(environment: Mapping[str, str]) -> int:
    """How many processors are this process's: what launchers of several say, joblib's too, counts.

    Args:
        environment: Its variables.
    """
    said = environment.get("OMP_NUM_THREADS", "")
    return min(processors(), int(said)) if said.isdigit() and int(said) > 0 else processors()


def work(space: SearchSpace, child: ChildNetwork, data: Data) -> float:
    """Multiply-adds of one training minibatch under one architecture.

    Where a child counts none, each of its parameters is taken to be used once a target.
    """
    import torch

    actions = space.largest.sample(1, torch.Generator().manual_seed(0))[0].tolist()
    costs = child.costs(actions)
    each = costs.get("multiply_adds", costs.get("parameters", 0))
    return float(each) * data.train_batch(0).targets.numel()


def processors() -> int:
    """How many processors this process may use, also where a container or a job is given few."""
    from joblib import cpu_count

    return int(cpu_count())
