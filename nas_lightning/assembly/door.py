"""A search begun from within Python: that of the command line, in somebody else's process."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from nas_lightning.assembly.composition import composed
from nas_lightning.assembly.given import giving, parted
from nas_lightning.assembly.messages import MENDABLE, ending, one_line
from nas_lightning.assembly.run import run
from nas_lightning.errors import Remedy, UserError
from nas_lightning.runs import stopping
from nas_lightning.terminal import here


def search_with(overrides: Mapping[str, Any], folder: Path | None) -> tuple[Path, dict[str, Any]]:
    """Search, or go on with the search in a folder.

    Args:
        overrides: What the command's arguments would be; objects may be among the values.
        folder: Of the run; None for that of the configuration, with the time in its name.

    Returns:
        The folder, and those of the objects that are no other process's: full key -> object.

    Raises:
        UserError: If the user can mend what is wrong.
        KeyboardInterrupt: After Ctrl-C; the run has stopped in order, and can go on.
    """
    plain, parts = parted(overrides)
    if any(not key.startswith("data.") for key in parts):  # which workers would need to know
        asked = any(key.split(".")[0] == "executor" for key in plain)
        plain = plain if asked else {"executor": "in_process", **plain}
    with (
        in_a_line(),
        giving(parts),
        composed(plain) as (cfg, hydra),
        undisturbed(),
        stoppable(),
    ):
        where = here() / (folder or Path(str(hydra.run.dir))).expanduser()
        run(cfg, where)
    return where, parts


def retrain_with(folder: Path, overrides: Mapping[str, Any], seeds: Sequence[int]) -> None:
    """Retrain the best architecture of a run at full budget, and conclude.

    Args:
        folder: Of the run.
        overrides: Keys of its configuration, and their values for the retraining.
        seeds: A training each.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from omegaconf import OmegaConf

    from nas_lightning.assembly.retraining import NODES, architecture_in, conclude, full_budget
    from nas_lightning.assembly.retraining import retrain as train
    from nas_lightning.runs.config import CONFIG
    from nas_lightning.runs.folder import BEST

    with in_a_line(), undisturbed(), stoppable():
        try:
            actions, _ = architecture_in(folder / BEST)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: has no {BEST} that can be read; search first") from error
        config = full_budget(folder / CONFIG)
        for key, value in overrides.items():
            if OmegaConf.select(config, key) is None:
                raise UserError(f"{key}={value}: no such key in the run's configuration")
            OmegaConf.update(config, key, value)
        OmegaConf.set_struct(config, False)
        config.architecture, config.searched = actions, str(folder)
        decisive = OmegaConf.to_container(OmegaConf.masked_copy(config, list(NODES)))
        identity = hashlib.sha256(json.dumps([actions, decisive]).encode()).hexdigest()[:8]
        jobs = []
        for seed in seeds:
            config.seed = seed
            jobs.append(folder / "retrain" / f"seed={seed}-{identity}")
            jobs[-1].mkdir(parents=True, exist_ok=True)
            train(config, jobs[-1])
        conclude(jobs, folder / "retrain" / f"final-{identity}.json")


@contextmanager
def in_a_line() -> Iterator[None]:
    """What the user can mend is raised as a UserError of a line, without what led to it."""
    try:
        yield
    except MENDABLE as error:
        if isinstance(error, UserError) and error.remedy is Remedy.ANOTHER_FOLDER:
            raise UserError(f"{one_line(error)} (folder=…)") from None
        raise UserError(ending(error)[1]) from None


@contextmanager
def undisturbed() -> Iterator[None]:
    """What a search sets for its whole process is afterwards as it was before."""
    import torch
    from pytorch_lightning.utilities.seed import isolate_rng

    threads = torch.get_num_threads()
    main = sys.modules["__main__"]
    # Workers that train children would else begin by running the caller's script once more. No part
    # of a search is in it (`checks.refuse_nameless`).
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        with isolate_rng():
            yield
    finally:
        sys.modules["__main__"] = main
        torch.set_num_threads(threads)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and Ctrl-C stop a search in order, as they do a command; afterwards as before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    try:
        with stopping.listening():
            yield
    except SystemExit as stopped:
        if stopped.code != 128 + signal.SIGINT:
            raise
        raise KeyboardInterrupt from None
