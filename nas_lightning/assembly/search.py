"""From a configuration to a finished run: `build` makes everything, `run` brings it to its end.

Only `command.py`, `retrain.py`, `evaluations.py`, `ground_truth.py` and `benchmarks/` know Hydra
beside it. Heavy imports happen inside functions, so that `--help`, `--cfg job` and tab completion
answer at once.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import re
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from nas_lightning.assembly.choices import by_choices, not_composed
from nas_lightning.assembly.trainer_arguments import check_arguments, check_reach
from nas_lightning.errors import UserError
from nas_lightning.terminal import called, here, shown

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from rich.console import RenderableType

    from nas_lightning.engine.module import ArchitectureSearch
    from nas_lightning.estimators.base import Estimator
    from nas_lightning.runs.folder import RunFolder
    from nas_lightning.search_spaces.base import SearchSpace

MENDABLE = (UserError, HydraException, OmegaConfBaseException)
"""What the user can mend; everything else is a bug."""

ASIDE = ("budget", "hints")
"""Nodes of a configuration that no object is made of: the others read them."""

PACKAGE = Path(__file__).parents[1]
CONF = PACKAGE / "conf" if (PACKAGE / "conf").exists() else PACKAGE.parent / "conf"


def build(cfg: DictConfig, folder: Path) -> tuple[pl.Trainer, ArchitectureSearch]:
    """`assembled`, whose refusals name what the user chose, and no key that came with it."""
    try:
        return assembled(cfg, folder)
    except UserError as error:
        said = by_choices(error)
        if said is error:
            raise  # from itself it would have no end of causes
        raise said from error


def assembled(cfg: DictConfig, folder: Path) -> tuple[pl.Trainer, ArchitectureSearch]:
    """Make everything a run needs; nothing is written yet.

    Args:
        cfg: A composed configuration.
        folder: Where the run will write.

    Raises:
        UserError: If a value is not allowed; the message names its key.
    """
    from pytorch_lightning.callbacks import Checkpoint, ProgressBar

    from nas_lightning.callbacks.checkpoint import AtomicCheckpointIO
    from nas_lightning.generators import Generators
    from nas_lightning.runs.ledger import Ledger, Metrics

    generators = Generators(whole(cfg, "seed", at_least=0))
    whole(cfg, "trainer.max_epochs", at_least=1)
    check_arguments(cfg.trainer)
    space = make(cfg, "search_space")
    refuse_uncounted(space)
    data = make(cfg, "data") if cfg.get("data") else None
    sizes = data.sizes if data else {}
    child = make(cfg, "child", space=space, **sizes) if cfg.get("child") else None
    refuse_contradictions(cfg)
    estimator = make(
        cfg,
        "estimator",
        space=space,
        child=child,
        data=data,
        executor=functools.partial(make, cfg, "executor"),
        generators=generators,
        folder=folder,
    )
    check_reach(cfg.trainer, shared_weights=estimator.uses_batches)
    controller = make(cfg, "controller", space=space)
    memory = make(
        cfg, "memory", space=space, controller=controller, max_epochs=cfg.trainer.max_epochs
    )
    search: ArchitectureSearch = make(
        cfg,
        "search",
        space=space,
        controller=controller,
        estimator=estimator,
        reward=make(cfg, "reward"),
        memory=memory,
        data=data,
        ledger=Ledger(folder / "ledger.jsonl"),
        metrics=Metrics(folder / "metrics.csv"),
        generators=generators,
    )
    callbacks = [make(cfg, f"callbacks.{name}") for name in cfg.callbacks]
    trainer: pl.Trainer = make(
        cfg,
        "trainer",
        callbacks=callbacks,
        logger=make(cfg, "logger", folder=folder, run_config=plain(cfg)),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        # Lightning would put its own in the place of those that are left out.
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
        enable_model_summary=False,
        log_every_n_steps=1,  # the search logs by itself; this keeps Lightning from a warning
    )
    if trainer.world_size != 1:
        raise UserError(
            f"trainer.devices={cfg.trainer.devices} is not allowed: must be 1, or [NUMBER]; a run "
            "uses one device, several runs at once take a launcher (-m hydra/launcher=joblib)"
        )
    return trainer, search


def make(cfg: DictConfig, key: str, **offers: Any) -> Any:
    """Instantiate the node at `key`, handing it those of the offers that its target asks for.

    A node within it that says `_partial_: true` is handed them, too, if it asks for any; others
    stay factories, like optimizers. An offer that is a `functools.partial` is called, and only if
    it is asked for.

    Raises:
        UserError: If there is no such node, or its target refuses its arguments.
    """
    refuse_words(cfg, key)
    node = OmegaConf.select(cfg, key)
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise UserError(f"{key}: nothing is chosen; it needs a _target_, see --help for options")
    try:
        # Two steps: what is offered must not pass through Hydra, which would copy and convert it.
        factory = hydra.utils.instantiate(node, _convert_="all", _partial_=True)
        refuse_unknown(factory, key, offers)
        return handed(factory, key, offers)
    except UserError:
        raise
    except InstantiationException as error:  # raised by a node within this one
        cause = error.__cause__ or error
        within = re.search(r"full_key: ([\w.]+)", str(error))
        key = within[1] if within else key
    except Exception as error:
        cause = error
    raise mendable(cause, key)


def handed(factory: functools.partial[Any], key: str, offers: Mapping[str, Any]) -> Any:
    """Call a factory with those of the offers that it, and the factories given to it, ask for.

    Raises:
        UserError: If a factory within it refuses its arguments; the message names its key.
    """
    parts = {}
    for name, part in factory.keywords.items():
        if isinstance(part, functools.partial) and asked_of(part, offers):
            try:
                parts[name] = handed(part, f"{key}.{name}", offers)
            except Exception as error:
                raise mendable(error, f"{key}.{name}") from error
    given = {
        name: offers[name]() if isinstance(offers[name], functools.partial) else offers[name]
        for name in asked_of(factory, offers)
    }
    return factory(**{**parts, **given})


def asked_of(factory: functools.partial[Any], offers: Mapping[str, Any]) -> list[str]:
    """The names of the offers that a factory asks for."""
    return [name for name in inspect.signature(factory.func).parameters if name in offers]


def refuse_words(cfg: DictConfig, key: str) -> None:
    """Raise UserError if a word stands at `key` or below it where a group has its option."""
    for folder in CONF.joinpath(*key.split(".")).glob("**/"):
        group = folder.relative_to(CONF).as_posix()
        dotted = group.replace("/", ".")
        word = OmegaConf.select(cfg, dotted)
        if isinstance(word, str):
            raise UserError(f"{dotted}={word}: write {group}={word}")


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


def refuse_unknown(factory: functools.partial[Any], key: str, offers: Mapping[str, Any]) -> None:
    """Raise UserError if YAML gives what the target, or one still to be called in it, lacks."""
    wanted = inspect.signature(factory.func).parameters
    for name, value in factory.keywords.items():
        if name not in wanted:
            known = ", ".join(sorted(wanted.keys() - offers.keys() - {"args", "kwargs", "params"}))
            raise UserError(f"{key}.{name}={value}: no such key; {key} has {known or 'none'}")
        if isinstance(value, functools.partial):
            refuse_unknown(value, f"{key}.{name}", offers)


def mendable(error: BaseException, key: str) -> BaseException:
    """What a constructor raised, as a UserError that names the key, or as it is if it is a bug."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    if not isinstance(error, (ValueError, TypeError, ImportError, MisconfigurationException)):
        return error
    lacks = re.search(r"missing \d+ required keyword-only arguments?: (.+)", str(error))
    if lacks:
        given = "nothing that is chosen gives it; other data=… or search_space=… may"
        return UserError(f"{key}: needs {lacks[1]}, and {given}")
    if isinstance(error, ModuleNotFoundError) or isinstance(error.__cause__, ModuleNotFoundError):
        hint = "; if it is a file of yours: PYTHONPATH=FOLDER python train.py …, or PYTHONPATH=."
        return UserError(f"{key}: {one_line(error)}{hint}")
    joint = "." if re.match(r"[\w.]+=", str(error)) else ": "  # our own messages start with name=
    return UserError(f"{key}{joint}{one_line(error)}")


def run(cfg: DictConfig, folder: Path) -> None:
    """Enter the run's folder and bring the run to its end.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from nas_lightning.runs.folder import RunFolder

    entered = RunFolder(folder)
    with entered.locked():
        ended = search_in(entered, cfg)
    if ended is None:
        line = f"finished already: {shown(folder)} (another study=… or seed=… starts a new run)"
        print(line, file=sys.stderr)
        return
    search, table = ended
    if table is None:
        epoch = search.counters["epoch"] + 1
        print(
            f"stopped in epoch {epoch} of {cfg.trainer.max_epochs} (trainer.max_time or a callback "
            f"has ended it); {entered.way_on}; with trainer.max_epochs={epoch} it ends there",
            file=sys.stderr,
        )
        return

    from rich.console import Console

    from nas_lightning.report.terminal import next_steps

    Console().print(table)
    print(next_steps(search, folder))
    report(folder, search)


def report(folder: Path, search: ArchitectureSearch) -> None:
    """Write the run's page. The run has finished: what goes wrong here is said, and no more."""
    try:
        from nas_lightning.report.page import page_of, write_page
        from nas_lightning.studies.study import read_study

        page = page_of(read_study(folder), search.space)
        (path,) = write_page(page, folder, markdown=False)
        print(f"look at    {shown(path)}")
    except Exception as error:
        again = called("report", shlex.quote(shown(folder)))
        reason = f"{type(error).__name__}: {one_line(error)}"
        print(f"warning: no report.html ({reason}); once mended: {again}", file=sys.stderr)


def search_in(
    folder: RunFolder, cfg: DictConfig
) -> tuple[ArchitectureSearch, RenderableType | None] | None:
    """Search in a locked folder and leave the verdict; None if it is finished already.

    DONE says that every epoch asked for was searched and derived. Without it a run goes on later. A
    failure leaves its reason at whatever stage, but for one: a run that is there already is not
    harmed by who may not enter it. Who was told to stop has not failed.

    Returns:
        The search and its table; no table where the search was stopped before its last epoch.
    """
    started = time.monotonic()
    entered = not (folder.begun or folder.checkpoints)  # nothing there to harm
    try:
        config = plain(cfg)
        refuse_nameless(config)
        if folder.enter(config) == "finished":
            return None
        entered = True
        search = fit(cfg, folder, config)
        if search.epochs_derived < cfg.trainer.max_epochs:
            return search, None

        from nas_lightning.report.terminal import summary

        table = summary(search, time.monotonic() - started)
        folder.finish("DONE")
    except BaseException as error:
        refused = folder.refused(error) if isinstance(error, Exception) else None
        if entered and isinstance(error, Exception):
            with contextlib.suppress(OSError):  # where the disk is full, too
                folder.finish("FAILED", failure(refused or error))
        if refused is not None:
            raise refused from None
        if isinstance(error, SystemExit):
            print(f"stopped; {folder.way_on}", file=sys.stderr)
        raise
    return search, table


def failure(error: BaseException) -> str:
    """What `FAILED` says: the reason in a line; of a multirun's job what it was, of a bug where."""
    _, reason = verdict(error)
    parts = [reason]
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        parts.append("job: " + shlex.join(HydraConfig.get().overrides.task))
    if reason.startswith("bug: "):
        parts.append("".join(traceback.format_exception(error)))
    return "\n\n".join(parts)


def fit(cfg: DictConfig, folder: RunFolder, config: dict[str, Any]) -> ArchitectureSearch:
    """Build the run and train it, from its last checkpoint where there is one."""
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.callbacks import LambdaCallback

    from nas_lightning.callbacks.checkpoint import refuse_fewer_epochs, usable
    from nas_lightning.generators import seed_of
    from nas_lightning.runs.folder import DATA, DECLARED, refuse_other_data, write_json

    quiet_lightning()
    if cfg.threads is not None:
        torch.set_num_threads(threads(cfg))
    # The package draws from generators of its own; these are for what a user adds.
    seed = whole(cfg, "seed", at_least=0)
    pl.seed_everything(seed_of(seed, "global") % 2**32, verbose=False)
    for name in ("best", "checkpoint"):
        if not OmegaConf.select(cfg, f"callbacks.{name}"):
            raise UserError(
                f"callbacks.{name}: cannot be left out: a run is resumed and retrained from it"
            )
    trainer, search = build(cfg, folder.path)
    data = search.data.fingerprint if search.data else None
    refuse_other_data(folder.path, data)
    if weights := OmegaConf.select(cfg, "estimator.weights"):
        refuse_other_data(
            Path(weights),
            data,
            key=f"estimator.weights={weights}",
            otherwise="take the weights of a run on these",
        )
    checkpoint = usable(folder.checkpoints)
    if checkpoint is None:
        search.ledger.truncate(0)
        search.metrics.truncate(0)
    else:
        refuse_fewer_epochs(checkpoint, cfg.trainer.max_epochs)

    def begin(*_: object) -> None:
        folder.begin(config, data)
        describe(search, folder.path / DATA)
        write_json(folder.path / DECLARED, declared(search.estimator))

    if folder.done:  # and stays it until everything is restored
        trainer.callbacks.insert(0, LambdaCallback(on_train_start=begin))  # type: ignore[attr-defined]
    else:
        begin()
    try:
        trainer.fit(search, ckpt_path=checkpoint)
    finally:
        with contextlib.ExitStack() as last:  # each of them, whatever becomes of the others
            last.callback(search.metrics.close)
            last.callback(search.ledger.close)
            last.callback(search.estimator.close)
    return search


def describe(search: ArchitectureSearch, path: Path) -> None:
    """Say once what the data are, and write it down."""
    from nas_lightning.data.base import in_words
    from nas_lightning.runs.folder import SCHEMA, write_json

    if search.data_description:
        print(f"data: {in_words(search.data_description)}", file=sys.stderr)
        write_json(path, {"schema": SCHEMA, **search.data_description})


def declared(estimator: Estimator) -> dict[str, Any]:
    """What a run's metrics are, for those who read its records."""
    from nas_lightning.runs.folder import SCHEMA

    return {
        "schema": SCHEMA,
        "objectives": [metric.name for metric in estimator.objectives],
        "metrics": [asdict(m) for m in (*estimator.metrics, *estimator.cost_metrics)],
    }


def quiet_lightning() -> None:
    """Silence what Lightning says of itself at every start; a user can do nothing about it."""
    import pytorch_lightning  # noqa: F401  (it sets the level anew when it is first imported)

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # But for a profiler's table, which it logs.
    logging.getLogger("pytorch_lightning.profilers.profiler").setLevel(logging.INFO)
    # Its own use of a deprecated torch function.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


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
    for key in ("data.path", "estimator.weights", "estimator.path"):
        path = OmegaConf.select(cfg, key)
        if path:
            OmegaConf.update(cfg, key, os.path.abspath(here() / Path(str(path)).expanduser()))


def threads(cfg: DictConfig) -> int:
    """How many CPU threads are asked for; with more than a machine has torch would break down."""
    return whole(cfg, "threads", at_least=1, at_most=1024)


def whole(cfg: DictConfig, key: str, *, at_least: int, at_most: int | None = None) -> int:
    """The whole number at `key`; raises UserError."""
    from nas_lightning.errors import require_whole

    value = OmegaConf.select(cfg, key)
    try:
        require_whole(key, value, at_least=at_least, at_most=at_most)
    except ValueError as error:
        raise UserError(str(error)) from None
    return int(value)


# --------------------------------------------------------------------- what goes wrong, in words


def verdict(error: BaseException) -> tuple[int, str]:
    """The exit code for an exception, and its reason as one line."""
    if isinstance(error, MENDABLE):
        return 2, explained(error)
    if isinstance(error, Exception):
        return 1, f"bug: {type(error).__name__}: {one_line(error)}"
    return 1, f"stopped before its end ({type(error).__name__})"


def explained(error: BaseException) -> str:
    """What the user can mend as one line: the key, the value, what is allowed."""
    cause = error.__cause__
    said = re.search(r"UserError raised while resolving interpolation: (.+)", str(error))
    if said:  # by a resolver of ours
        return said[1]
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option}: no such option; {group} has {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as KEY=VALUE: {one_line(error)}"
    if isinstance(error, (MissingMandatoryValue, InterpolationToMissingValueError)):
        return f"{error.full_key}: has no value; give {error.full_key}=…"
    if isinstance(error, ConfigCompositionException) and (
        combined := not_composed(one_line(error))
    ):
        return combined
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ValidationError):
        return f"{one_line(error)}: {str(cause).splitlines()[0]}"
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and cause.parent_node is not None:
        asked = one_line(error).rpartition("use +")[2]
        names = [str(name) for name in cause.parent_node if name != "hydra"]
        group, _, name = str(cause.full_key).rpartition(".")
        for inner, node in cause.parent_node.items():
            if inner not in ASIDE and isinstance(node, DictConfig) and name in node:
                return f"{asked}: no such key; did you mean {group}.{inner}.{name}?".replace(
                    " .", " "
                )
        group = group or "the configuration"
        return f"{asked}: no such key; {group} has {', '.join(names) or f'none; +{asked} adds it'}"
    return one_line(error)


def one_line(error: BaseException) -> str:
    """An exception's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__
