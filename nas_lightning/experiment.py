"""From a configuration to a finished run: `build`, `run`, and the command line.

With `train.py` the only place that knows Hydra. Heavy imports happen inside functions, so that
`--help`, `--cfg job` and tab completion answer at once.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import secrets
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.utils import JobReturn
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from nas_lightning.errors import UserError

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from nas_lightning.run_folder import RunFolder
    from nas_lightning.search import ArchitectureSearch

MENDABLE = (UserError, HydraException, OmegaConfBaseException)
"""What the user can mend; everything else is a bug."""

PACKAGE = Path(__file__).parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").exists() else PACKAGE.parent / "conf"


def slug(overrides: str) -> str:
    """A short readable folder name for a job's overrides, unique by a hash of all of them."""
    names = re.sub(r"(^|,)[\w./]*[./](?=\w+=)", r"\1", overrides)  # controller.lr= -> lr=
    readable = re.sub(r"[^\w=.,-]+", "_", names, flags=re.ASCII).strip("_,")[:120]
    return f"{readable or 'defaults'}-{hashlib.sha256(overrides.encode()).hexdigest()[:8]}"


OmegaConf.register_new_resolver("slug", slug, replace=True)


# --------------------------------------------------------------------- building and running


def build(cfg: DictConfig, folder: Path) -> tuple[pl.Trainer, ArchitectureSearch]:
    """Make everything a run needs; nothing is written yet.

    Args:
        cfg: A composed configuration.
        folder: Where the run will write.

    Raises:
        UserError: If a value is not allowed; the message names its key.
    """
    from nas_lightning.callbacks.checkpoint import AtomicCheckpointIO
    from nas_lightning.generators import Generators
    from nas_lightning.ledger import Ledger, Metrics

    generators = Generators(whole(cfg, "seed", at_least=0))
    whole(cfg, "trainer.max_epochs", at_least=1)
    space = make(cfg, "search_space")
    data = make(cfg, "data") if cfg.get("data") else None
    sizes = data.sizes if data else {}
    child = make(cfg, "child", space=space, **sizes) if cfg.get("child") else None
    estimator = make(
        cfg,
        "estimator",
        space=space,
        child=child,
        data=data,
        executor=make(cfg, "executor"),
        generators=generators,
        folder=folder,
    )
    search: ArchitectureSearch = make(
        cfg,
        "search",
        space=space,
        controller=make(cfg, "controller", space=space),
        estimator=estimator,
        reward=make(cfg, "reward"),
        memory=make(cfg, "memory", space=space),
        data=data,
        ledger=Ledger(folder / "ledger.jsonl"),
        metrics=Metrics(folder / "metrics.csv"),
        generators=generators,
    )
    trainer: pl.Trainer = make(
        cfg,
        "trainer",
        callbacks=[make(cfg, f"callbacks.{name}") for name in cfg.callbacks],
        logger=make(cfg, "logger", folder=folder, run_config=plain(cfg)),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
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

    Raises:
        UserError: If there is no such node, or its target refuses its arguments.
    """
    node = OmegaConf.select(cfg, key)
    if "_target_" not in (node or {}):
        raise UserError(f"{key}: nothing is chosen; it needs a _target_, see --help for options")
    try:
        # Two steps: what is offered must not pass through Hydra, which would copy and convert it.
        factory = hydra.utils.instantiate(node, _convert_="all", _partial_=True)
        wanted = inspect.signature(factory.func).parameters
        for name in factory.keywords.keys() - wanted.keys():
            known = ", ".join(sorted(wanted.keys() - offers.keys() - {"args", "kwargs"}))
            raise UserError(f"{key}.{name}={node[name]}: no such key; {key} has {known or 'none'}")
        return factory(**{name: offer for name, offer in offers.items() if name in wanted})
    except InstantiationException as error:
        where = re.search(r"full_key: ([\w.]+)", str(error))
        raise mendable(error.__cause__ or error, where[1] if where else key) from error
    except Exception as error:
        raise mendable(error, key) from error


def mendable(error: BaseException, key: str) -> BaseException:
    """What a constructor raised, as a UserError that names the key, or as it is if it is a bug."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    if not isinstance(error, (ValueError, TypeError, ImportError, MisconfigurationException)):
        return error
    joint = "." if re.match(r"[\w.]+=", str(error)) else ": "  # our own messages start with name=
    return UserError(f"{key}{joint}{one_line(error)}")


def run(cfg: DictConfig, folder: Path) -> None:
    """Enter the run's folder and bring the run to its end.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from nas_lightning.run_folder import RunFolder

    started = time.monotonic()
    config = plain(cfg)
    entered = RunFolder(folder)
    if entered.enter(config) == "finished":
        line = f"finished already: {shown(folder)} (another study=… or seed=… starts a new run)"
        print(line, file=sys.stderr)
        return
    try:
        search = fit(cfg, entered, config)
    except BaseException as error:
        _, reason = verdict(error)
        details = f"\n\n{traceback.format_exc()}" if reason.startswith("bug: ") else ""
        entered.finish("FAILED", reason + details)
        raise
    entered.finish("DONE")

    from rich.console import Console

    from nas_lightning.report.summary import summary

    Console().print(summary(search, Path(shown(folder)), time.monotonic() - started))


def fit(cfg: DictConfig, folder: RunFolder, config: dict[str, Any]) -> ArchitectureSearch:
    """Build the run and train it, from its last checkpoint where there is one."""
    import logging
    import warnings

    import pytorch_lightning as pl
    import torch

    from nas_lightning.generators import seed_of

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Lightning's own use of a deprecated torch function; the user can do nothing about it.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    if cfg.threads is not None:
        torch.set_num_threads(whole(cfg, "threads", at_least=1))
    trainer, search = build(cfg, folder.path)
    # The package draws from generators of its own; these are for what a user adds.
    pl.seed_everything(seed_of(search.generators.seed, "global") % 2**32, verbose=False)
    if folder.checkpoint is None:
        search.ledger.truncate(0)
        search.metrics.truncate(0)
    folder.begin(config)
    try:
        trainer.fit(search, ckpt_path=folder.checkpoint)
    finally:
        search.estimator.close()
        search.ledger.close()
        search.metrics.close()
    return search


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain types, with a local path that holds everywhere."""
    config: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    data = config.get("data") or {}
    if data.get("path"):
        data["path"] = os.path.abspath(os.path.expanduser(str(data["path"])))
    return dict(config)


def whole(cfg: DictConfig, key: str, *, at_least: int) -> int:
    """The whole number at `key`; raises UserError."""
    from nas_lightning.errors import require_whole

    value = OmegaConf.select(cfg, key)
    try:
        require_whole(key, value, at_least=at_least)
    except ValueError as error:
        raise UserError(str(error)) from None
    return int(value)


# --------------------------------------------------------------------- the command line


def task(cfg: DictConfig) -> tuple[int, str] | None:
    """One job. In a multirun a failure is what it returns, so that the other jobs go on."""
    hydra_config = HydraConfig.get()
    try:
        run(cfg, Path(hydra_config.runtime.output_dir))
    except Exception as error:
        if hydra_config.mode != RunMode.MULTIRUN:
            raise
        if not isinstance(error, MENDABLE):
            traceback.print_exc()
        return verdict(error)
    return None


class ListFailures(Callback):
    """At the end of a multirun names the failed jobs, and gives the command its exit code.

    Jobs may run in other processes, to which Hydra sends a copy of this object: they meet in a
    file, which is there only if a job fails and only until the end.
    """

    exit_code = 0
    """What the last multirun of this process came to."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Choose the file."""
        name = f".failures-{secrets.token_hex(4)}.jsonl"
        self._file = Path(config.hydra.sweep.dir).absolute() / name

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note a failed job of a multirun."""
        if config.hydra.mode == RunMode.MULTIRUN and job_return.return_value:
            line = json.dumps([config.hydra.runtime.output_dir, *job_return.return_value])
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """List what failed."""
        if not self._file.exists():
            return
        lines = self._file.read_text(encoding="utf-8").splitlines()
        self._file.unlink()
        failures = sorted(json.loads(line) for line in lines)
        for folder, _, reason in failures:
            print(f"failed: {shown(folder)}: {reason}", file=sys.stderr)
        ListFailures.exit_code = min(code for _, code, _ in failures)


def resumed(arguments: list[str]) -> list[str]:
    """Rewrite `resume=F` into Hydra's own flags: the configuration and the folder of run F.

    Raises:
        UserError: If F is no run, or another override stands beside it.
    """
    from nas_lightning.run_folder import RunFolder

    folders = [a.removeprefix("resume=") for a in arguments if a.startswith("resume=")]
    if not folders:
        return arguments
    others = [a for a in arguments if not a.startswith("resume=")]
    refused = [a for a in others if not a.startswith("trainer.max_epochs=")]
    refused += [f"resume={folder}" for folder in folders[1:]]
    if refused:
        raise UserError(
            f"{refused[0]}: resume={folders[0]} goes on with the run's own configuration; only "
            "trainer.max_epochs=… may stand beside it"
        )
    folder = Path(folders[0]).expanduser().absolute()
    if not RunFolder(folder).begun:
        raise UserError(
            f"resume={folders[0]}: no run there; give a folder that holds its config.yaml and "
            "ledger.jsonl"
        )
    return [
        f"--config-path={folder}",
        "--config-name=config",
        f"hydra.run.dir={QuotedString(str(folder), Quote.single).with_quotes()}",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
        *others,
    ]


def main() -> None:
    """The command `python train.py …`, or `nas-lightning …`.

    Exit codes: 0 finished, 1 a bug, 2 the user can mend it.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra raises, and we say it in one line
    ListFailures.exit_code = 0
    try:
        sys.argv[1:] = resumed(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except MENDABLE as error:
        code, reason = verdict(error)
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(code)
    sys.exit(ListFailures.exit_code)


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
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option}: no such option; {group} has {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as KEY=VALUE: {one_line(error)}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: has no value; give {error.full_key}=…"
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and cause.parent_node is not None:
        asked = one_line(error).rpartition("use +")[2]
        names = [str(name) for name in cause.parent_node if name != "hydra"]
        group = str(cause.full_key).rpartition(".")[0] or "the configuration"
        return f"{asked}: no such key; {group} has {', '.join(names)}"
    return one_line(error)


def one_line(error: BaseException) -> str:
    """An exception's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def shown(folder: str | Path) -> str:
    """A folder as it is seen from here."""
    return os.path.relpath(folder)
