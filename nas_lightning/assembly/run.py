"""From a configuration to a finished run: enters the folder, searches, leaves how it ended.

Heavy imports happen inside functions, so that `--help`, `--cfg job` and tab completion answer at
once.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.architectures import take_written
from nas_lightning.assembly.checks import refuse_fewer_epochs, refuse_nameless
from nas_lightning.assembly.configuration import plain, whole
from nas_lightning.assembly.messages import ending, one_line
from nas_lightning.assembly.search import build
from nas_lightning.assembly.seeds import search_seeds
from nas_lightning.assembly.threads import asked, share_out
from nas_lightning.assembly.versions import refuse_other_version
from nas_lightning.errors import UserError
from nas_lightning.runs import stopping
from nas_lightning.terminal import called, shown

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from rich.console import RenderableType

    from nas_lightning.data.base import Data
    from nas_lightning.engine.module import ArchitectureSearch
    from nas_lightning.estimators.base import Estimator
    from nas_lightning.runs.folder import RunFolder


INPUTS = "inputs.json"
"""What a network must know of its inputs: sizes, and a vocabulary or a normalisation."""


def run(cfg: DictConfig, folder: Path) -> float | None:
    """Enter the run's folder and bring the run to its end.

    Returns:
        The best value of its objective, if there is one.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from nas_lightning.runs.folder import RunFolder

    entered = RunFolder(folder)
    many = OmegaConf.select(cfg, "seeds") is not None
    with entered.locked():
        said = search_in(entered, cfg, search_seeds) if many else None
        ended = None if many else search_in(entered, cfg, search_whole)
    if said is not None:
        print(said)
    elif ended is not None:
        show(cfg, entered, *ended)
    else:
        line = f"finished already: {shown(folder)} (another study=… or seed=… starts a new run)"
        print(line, file=sys.stderr)
    return None if many else best_value(cfg, folder)


def best_value(cfg: DictConfig, folder: Path) -> float | None:
    """The value by which the best architecture of a run is the best; None without one."""
    from nas_lightning.files import read_json
    from nas_lightning.runs.config import at
    from nas_lightning.runs.folder import BEST

    found = read_json(folder / BEST)
    value = at(found, f"metrics.{at(found, 'objective') or cfg.estimator.objective}")
    return float(value) if isinstance(value, (int, float)) else None


def show(
    cfg: DictConfig, folder: RunFolder, search: ArchitectureSearch, table: RenderableType | None
) -> None:
    """Say what a search has come to, and what can be done next."""
    from rich.console import Console

    from nas_lightning.report.terminal import next_steps

    if table is not None:
        Console().print(table)
    if search.epochs_derived < cfg.trainer.max_epochs:
        epoch = search.counters["epoch"] + 1
        print(
            f"stopped in epoch {epoch} of {cfg.trainer.max_epochs} (trainer.max_time or a callback "
            f"has ended it); {folder.way_on}; with trainer.max_epochs={epoch} it ends there",
            file=sys.stderr,
        )
    else:
        print(next_steps(search, folder.path))
    if table is not None:
        report(folder.path, search)


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


Ended = TypeVar("Ended")


def search_in(
    folder: RunFolder,
    cfg: DictConfig,
    work: Callable[[DictConfig, RunFolder, dict[str, Any]], Ended],
) -> Ended | None:
    """Search in a locked folder and leave how it ended; None if it is finished already.

    DONE says that every epoch asked for was searched and derived. Without it a run goes on later. A
    failure leaves its reason at whatever stage, but for one: a run that is there already is not
    harmed by who may not enter it. Who was told to stop has not failed.

    Args:
        folder: Where.
        cfg: What.
        work: Searches, with the configuration as plain types beside it, and leaves DONE; returns
            what is to be shown.
    """
    entered = not (folder.begun or folder.checkpoints)  # nothing there to harm
    try:
        take_written(cfg)
        config = plain(cfg)
        refuse_nameless(config)
        if entering(folder, config) == "finished":
            return None
        if folder.checkpoints:
            refuse_fewer_epochs(folder.checkpoints, cfg.trainer.max_epochs)
        entered = True
        return work(cfg, folder, config)
    except BaseException as met:
        error = stopping.cause(met)
        refused = folder.refused(error) if isinstance(error, Exception) else None
        if entered and isinstance(error, Exception):
            with contextlib.suppress(OSError):  # where the disk is full, too
                folder.finish("FAILED", failure(refused or error))
        if refused is not None:
            raise refused from None
        if isinstance(error, SystemExit):
            lost = isinstance(met, Exception)
            beside = f" ({type(met).__name__} meanwhile: {one_line(met)})" if lost else ""
            print(f"stopped{beside}; {folder.way_on}", file=sys.stderr)
            raise error from None
        raise


def search_whole(
    cfg: DictConfig, folder: RunFolder, config: dict[str, Any]
) -> tuple[ArchitectureSearch, RenderableType | None]:
    """Search by Lightning; no table where the search was stopped before anything was derived."""
    started = time.monotonic()
    search = fit(cfg, folder, config)
    from nas_lightning.report.terminal import summary

    stopped = search.epochs_derived < cfg.trainer.max_epochs
    derived = "derive/reward" in search.latest
    table = summary(search, time.monotonic() - started, stopped=stopped) if derived else None
    if not stopped:
        folder.finish("DONE")
    return search, table


def entering(folder: RunFolder, config: dict[str, Any]) -> str:
    """The rule for entering the folder; a run of another version is refused as what it is."""
    from nas_lightning.runs.config import read_config

    try:
        return folder.enter(config)
    except UserError:
        if folder.begun:
            refuse_other_version(folder.path, read_config(folder.path))
        raise


def failure(error: BaseException) -> str:
    """What `FAILED` says: the reason in a line; of a multirun's job what it was, of a bug where."""
    _, reason = ending(error)
    parts = [reason]
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        parts.append("job: " + shlex.join(HydraConfig.get().overrides.task))
    if reason.startswith("bug: "):
        parts.append("".join(traceback.format_exception(error)))
    return "\n\n".join(parts)


def fit(cfg: DictConfig, folder: RunFolder, config: dict[str, Any]) -> ArchitectureSearch:
    """Build the run and train it, from its last checkpoint where there is one."""
    with contextlib.ExitStack() as last:  # each of them, whatever becomes of the others
        with stopping.deferred():
            trainer, search, checkpoint = prepared(cfg, folder, config)
            for part in (search.estimator, search.ledger, search.metrics):
                last.callback(part.close)
        trainer.fit(search, ckpt_path=checkpoint)
    return search


def prepared(
    cfg: DictConfig, folder: RunFolder, config: dict[str, Any]
) -> tuple[pl.Trainer, ArchitectureSearch, Path | None]:
    """What a run is built of, recorded in its folder, and the checkpoint that it goes on from."""
    asked(cfg)  # before anything expensive
    seed = whole(cfg, "seed", at_least=0)
    for name in ("best", "checkpoint"):
        if not OmegaConf.select(cfg, f"callbacks.{name}"):
            raise UserError(
                f"callbacks.{name}: cannot be left out: a run is resumed and retrained from it"
            )
    with uncollected():
        import pytorch_lightning as pl
        from pytorch_lightning.callbacks import LambdaCallback

        from nas_lightning.callbacks.checkpoint import usable
        from nas_lightning.files import write_json
        from nas_lightning.generators import seed_of
        from nas_lightning.runs.folder import DATA, DECLARED, refuse_other_data

        quiet_lightning()
        # The package draws from generators of its own; these are for what a user adds.
        pl.seed_everything(seed_of(seed, "global") % 2**32, verbose=False)
        trainer, search = build(cfg, folder.path)
    share_out(cfg, search)
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

    def begin(*_: object) -> None:
        folder.begin(config, data)
        describe(search, folder.path / DATA)
        if search.data:
            write_json(folder.path / INPUTS, inputs(search.data))
        write_json(folder.path / DECLARED, declared(search.estimator))

    if folder.done:  # and stays it until everything is restored
        trainer.callbacks.insert(0, LambdaCallback(on_train_start=begin))  # type: ignore[attr-defined]
    else:
        begin()
    return trainer, search, checkpoint


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Import and build without Python's garbage collector.

    It would look at half a million objects over and over, which all stay: a fifth of the time until
    the first step. What a process of this command's own has imported, it never looks at again.
    """
    own, before = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        import_module("nas_lightning.engine")
        if own:
            gc.freeze()
        yield
    finally:
        if before:
            gc.enable()


def describe(search: ArchitectureSearch, path: Path) -> None:
    """Say once what the data are, and write it down."""
    from nas_lightning.data.base import in_words
    from nas_lightning.files import write_json
    from nas_lightning.runs.folder import SCHEMA

    if search.data_description:
        print(f"data: {in_words(search.data_description)}", file=sys.stderr)
        write_json(path, {"schema": SCHEMA, **search.data_description})


def inputs(data: Data) -> dict[str, Any]:
    """What a network must know of its inputs, so that it can be made without the data."""
    from nas_lightning.runs.folder import SCHEMA

    first = data.train_batch(0).inputs
    return {
        "schema": SCHEMA,
        "sizes": dict(data.sizes),
        "preparation": dict(data.preparation),
        "inputs": {"shape": list(first.shape[1:]), "type": str(first.dtype).rpartition(".")[2]},
    }


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
