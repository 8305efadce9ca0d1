"""From a configuration to a finished run: `build`, `run`, and the command line.

With `train.py` the only place that knows Hydra. Heavy imports happen inside functions, so that
`--help`, `--cfg job` and tab completion answer at once.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas_lightning.errors import UserError

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from nas_lightning.search import ArchitectureSearch

PACKAGE = Path(__file__).parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").exists() else PACKAGE.parent / "conf"


def slug(overrides: str) -> str:
    """A short readable folder name for a job's overrides, unique by a hash of all of them."""
    readable = re.sub(r"[^\w=.,-]+", "_", overrides).strip("_,")[:80]
    return f"{readable or 'defaults'}-{hashlib.sha256(overrides.encode()).hexdigest()[:8]}"


OmegaConf.register_new_resolver("slug", slug, replace=True)


# --------------------------------------------------------------------- building and running


def build(cfg: DictConfig, folder: Path) -> tuple[pl.Trainer, ArchitectureSearch]:
    """Make everything a run needs.

    Args:
        cfg: A composed configuration.
        folder: Where the run writes.

    Raises:
        UserError: If a value is not allowed; the message names its key.
    """
    import pytorch_lightning as pl

    from nas_lightning.callbacks.checkpoint import AtomicCheckpointIO
    from nas_lightning.generators import Generators
    from nas_lightning.ledger import Ledger, Metrics

    space = make(cfg, "search_space")
    data = make(cfg, "data") if cfg.get("data") else None
    child = make(cfg, "child", **(data.sizes if data else {})) if cfg.get("child") else None
    search: ArchitectureSearch = make(
        cfg,
        "search",
        space=space,
        controller=make(cfg, "controller", space=space),
        estimator=make(cfg, "estimator", space=space, child=child, data=data),
        reward=make(cfg, "reward"),
        memory=make(cfg, "memory", space=space),
        data=data,
        ledger=Ledger(folder / "ledger.jsonl"),
        metrics=Metrics(folder / "metrics.csv"),
        generators=Generators(whole(cfg, "seed", at_least=0)),
    )
    plain = OmegaConf.to_container(cfg, resolve=True)
    trainer: pl.Trainer = make(
        cfg,
        "trainer",
        callbacks=[make(cfg, f"callbacks.{name}") for name in cfg.callbacks],
        logger=make(cfg, "logger", folder=folder, run_config=plain),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        enable_model_summary=False,
    )
    return trainer, search


def make(cfg: DictConfig, key: str, **offers: Any) -> Any:
    """Instantiate the node at `key`, handing it those of the offers that its target asks for.

    Raises:
        UserError: If the target refuses its arguments.
    """
    node = OmegaConf.select(cfg, key)
    try:
        # Two steps: what is offered must not pass through Hydra, which would copy and convert it.
        factory = hydra.utils.instantiate(node, _convert_="all", _partial_=True)
        wanted = inspect.signature(factory.func).parameters
        return factory(**{name: offer for name, offer in offers.items() if name in wanted})
    except InstantiationException as error:
        cause: BaseException | None = error.__cause__
        where = re.search(r"full_key: ([\w.]+)", str(error))
        key = where[1] if where else key
        if not isinstance(cause, (UserError, ValueError, TypeError)):
            raise
    except (UserError, ValueError, TypeError) as error:
        cause = error
    raise cause if isinstance(cause, UserError) else UserError(f"{key}: {one_line(cause)}")


def run(cfg: DictConfig, folder: Path) -> None:
    """Enter the run's folder and bring the run to its end.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from nas_lightning.run_folder import RunFolder

    started = time.monotonic()
    entered = RunFolder(folder)
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    state = entered.enter(config)
    if state == "finished":
        print(f"finished already: {folder} (another study=… or seed=… starts a new run)")
        return
    try:
        search = fit(cfg, entered)
    except BaseException as error:
        entered.finish("FAILED", one_line(error))
        raise
    entered.finish("DONE")

    from rich.console import Console

    from nas_lightning.report.summary import summary

    shown = Path(os.path.relpath(folder))
    Console().print(summary(search, shown, time.monotonic() - started))


def fit(cfg: DictConfig, folder: Any) -> ArchitectureSearch:
    """Build the run and train it, from its last checkpoint where there is one."""
    import logging
    import warnings

    import pytorch_lightning  # noqa: F401 (its import sets the level that is lowered here)
    import torch

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Lightning's own use of a deprecated torch function; the user can do nothing about it.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    if cfg.threads is not None:
        torch.set_num_threads(whole(cfg, "threads", at_least=1))
    trainer, search = build(cfg, folder.path)
    trainer.fit(search, ckpt_path=folder.checkpoint)
    search.ledger.close()
    search.metrics.close()
    return search


def whole(cfg: DictConfig, key: str, *, at_least: int) -> int:
    """A whole number at the top of the configuration; raises UserError."""
    from nas_lightning.errors import require_whole

    try:
        require_whole(key, cfg[key], at_least=at_least)
    except ValueError as error:
        raise UserError(str(error)) from None
    return int(cfg[key])


# --------------------------------------------------------------------- the command line


def task(cfg: DictConfig) -> None:
    """One job. In a multirun a failure is written down, and the other jobs go on."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    try:
        run(cfg, folder)
    except Exception as error:
        if hydra_config.mode != RunMode.MULTIRUN:
            raise
        reason = one_line(error)
        if not isinstance(error, UserError):
            traceback.print_exc()
        (folder / "FAILED").write_text(reason + "\n", encoding="utf-8")


class ListFailures(Callback):
    """At the end of a multirun names the failed jobs and makes the command's exit code say so."""

    found: list[str] = []

    def __init__(self) -> None:
        self._started = time.time()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """List the reasons that this multirun's jobs left."""
        for path in sorted(Path(config.hydra.sweep.dir).glob("*/FAILED")):
            if path.stat().st_mtime >= self._started - 1:
                self.found.append(f"failed: {path.parent}: {path.read_text().strip()}")
        for line in self.found:
            print(line, file=sys.stderr)


def resumed(arguments: list[str]) -> list[str]:
    """Rewrite `resume=F` into Hydra's own flags: the configuration and the folder of run F.

    Raises:
        UserError: If F is no run, or another override stands beside it.
    """
    folders = [a.removeprefix("resume=") for a in arguments if a.startswith("resume=")]
    if not folders:
        return arguments
    folder = Path(folders[-1]).expanduser().resolve()
    others = [a for a in arguments if not a.startswith("resume=")]
    refused = [a for a in others if not a.startswith("trainer.max_epochs=")]
    if refused:
        raise UserError(
            f"{refused[0]}: resume={folders[-1]} goes on with the run's own configuration; only "
            "trainer.max_epochs=… may stand beside it"
        )
    if not (folder / "config.yaml").is_file():
        raise UserError(f"resume={folders[-1]}: no run there; give a folder that holds a config.yaml")
    quoted = "'" + str(folder).replace("\\", "\\\\").replace("'", "\\'") + "'"
    return [
        f"--config-path={folder}",
        "--config-name=config",
        f"hydra.run.dir={quoted}",
        "hydra.output_subdir=null",
        *others,
    ]


def one_line(error: BaseException) -> str:
    """An exception as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def main() -> None:
    """The command `python train.py …`, or `nas-lightning …`.

    Exit codes: 0 finished, 1 a bug, 2 the user can mend it.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra raises, and we say it in one line
    try:
        sys.argv[1:] = resumed(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        sys.exit(complain(error))
    sys.exit(2 if ListFailures.found else 0)


def complain(error: BaseException) -> int:
    """Say what is wrong on one line; the exit code."""
    culprit = f"{error.override}: " if isinstance(error, OverrideParseException) else ""
    print(f"error: {culprit}{one_line(error)}", file=sys.stderr)
    return 2
