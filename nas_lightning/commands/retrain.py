"""The final number: an architecture trained from scratch at full budget, and its test score.

    python scripts/retrain.py run=RUN                                        one training
    python scripts/retrain.py -m run=RUN retrain.learning_rate=0.1,0.05 seed=0,1      a grid
    python scripts/retrain.py run=RUN architecture=darts_v1                  a published one, alike

`run=RUN` is rewritten into the run's own configuration, changed by its `retrain_with`, so that
every key of it can be overridden: `retrain` is the full budget. Beside the architecture a network
made by hand, the configuration's `reference`, is trained by the same code and tuned over the same
grid. For each of the two the settings are chosen on validation, averaged over seeds, and the test
split is read once, by what was chosen. A killed training goes on from its last finished epoch when
the command is repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.composition import quoted
from nas_lightning.assembly.make import make
from nas_lightning.assembly.messages import ending
from nas_lightning.assembly.retraining import (
    NODES,
    RESULT,
    architecture_in,
    conclude,
    full_budget,
    refuse_foreign,
    result_in,
    retrain,
)
from nas_lightning.assembly.trainer_arguments import check_retraining
from nas_lightning.commands.application import ListFailures, Outcome, command, job
from nas_lightning.commands.script import helped
from nas_lightning.errors import UserError
from nas_lightning.runs import stopping
from nas_lightning.runs.config import at
from nas_lightning.search_spaces.published import PUBLISHED, published
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from nas_lightning.search_spaces.base import SearchSpace

FINAL = "final{}.json"

OTHER_DATA = ("data=", "data.source", "data._target_=")
"""How an argument begins that asks for other data than those of the search."""


def task(cfg: DictConfig) -> Outcome:
    """One job: in a multirun the choice is made when all are done."""
    return job(cfg, _run)


def _run(cfg: DictConfig, folder: Path) -> float | None:
    """Returns the objective on validation: a sweeper shall not look at the test split."""
    try:
        retrain(cfg, folder)
    except SystemExit as told:
        if told.code in stopping.CODES:
            print("stopped; the same command goes on", file=sys.stderr)
        raise
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        conclude([folder], folder / FINAL.format(""))
    result = result_in(folder)
    value = at(result, f"networks.architecture.validation.{result['objective']}")
    return value if isinstance(value, float) else None


class ConcludeGrid(Callback):
    """At the end of a multirun chooses among its jobs, if all of them have finished.

    The best of a part may not be the best of the grid, and the test split is read once.

    Jobs may run in other processes, to which Hydra sends a copy of this object: they meet in a
    file, which is there only until the end.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Choose the file."""
        name = f".jobs-{secrets.token_hex(4)}"
        self._file = Path(config.hydra.sweep.dir).absolute() / name

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note a job of a multirun."""
        if config.hydra.mode == RunMode.MULTIRUN:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{Path(config.hydra.runtime.output_dir).absolute()}\n")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Choose among the jobs; what goes wrong becomes the command's exit code.

        The verdict's file is named by a hash of the jobs' names, so that the same grid writes it
        again and another one leaves it alone.
        """
        if not self._file.exists():
            return
        folders = sorted({Path(f) for f in self._file.read_text(encoding="utf-8").splitlines()})
        self._file.unlink()
        finished = sum((folder / RESULT).exists() for folder in folders)
        if finished < len(folders):
            print(
                f"not concluded: {finished} of {len(folders)} jobs have finished; mend and repeat "
                "the command",
                file=sys.stderr,
            )
            return
        grid = hashlib.sha256("\n".join(f.name for f in folders).encode()).hexdigest()[:8]
        try:
            conclude(folders, Path(config.hydra.sweep.dir) / FINAL.format(f"-{grid}"))
        except Exception as error:  # Hydra would make a warning of it
            code, reason = ending(error)
            if code == 1:
                traceback.print_exc()
            print(f"error: {reason}", file=sys.stderr)
            ListFailures.exit_code = code


def rewritten(arguments: list[str]) -> list[str]:
    """Rewrite `run=RUN`, `architecture=JSON`, or `run=RUN architecture=NAME` into Hydra's flags.

    The configuration of that run, changed by its `retrain_with`, is written into `retrain/` beside
    it, or into `retrain_NAME/`, so that a published architecture's numbers do not pass for the
    run's; jobs lie there under the names of their overrides, with a hash of architecture and
    configuration, so that the same command finds them again and another one none of them.

    Raises:
        UserError: If neither is given, no search has found anything there, or something has no
            effect.
    """
    from nas_lightning.files import write
    from nas_lightning.runs.config import CONFIG

    wanted = asked(arguments)
    config = full_budget(wanted.run / CONFIG)
    actions = wanted.actions_in(make(config, "search_space"))
    folder = wanted.run / wanted.folder
    try:
        folder.mkdir(exist_ok=True)
        write(folder / CONFIG, OmegaConf.to_yaml(config))
    except OSError as error:
        raise UserError(
            f"{wanted.given[0]}: {shown(folder)} cannot be written ({error.strerror}); copy "
            f"{wanted.file.name} and {CONFIG} to where it can, and give that"
        ) from error
    elsewhere = any(a.lstrip("+~").startswith(OTHER_DATA) for a in arguments)
    decisive = [actions, OmegaConf.to_container(OmegaConf.masked_copy(config, list(NODES)))]
    identity = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]
    name = f"${{slug:${{hydra:job.override_dirname}}}}-{identity}"
    return [
        f"--config-path={folder}",
        "--config-name=config",
        *(a for a in arguments if a not in wanted.given),
        f"hydra.run.dir={quoted(folder / name)}",
        f"hydra.sweep.dir={quoted(folder)}",
        f"hydra.sweep.subdir='{name}'",
        "hydra.job.config.override_dirname.exclude_keys=[architecture,searched]",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
        "+hydra.callbacks.failures._target_=nas_lightning.commands.application.ListFailures",
        "+hydra.callbacks.conclude._target_=nas_lightning.commands.retrain.ConcludeGrid",
        f"+architecture={actions}".replace(" ", ""),
        *([] if elsewhere else [f"+searched={quoted(wanted.run)}"]),
    ]


@dataclass(frozen=True)
class Asked:
    """What is to be retrained.

    Attributes:
        given: The arguments that say so.
        file: Where its architecture stands, beside the configuration that is to be used.
        found: The architecture in the file; None for a published one.
        name: Of a published one.
    """

    given: list[str]
    file: Path
    found: list[int] | None
    name: str = ""

    @property
    def run(self) -> Path:
        """By whose configuration."""
        return self.file.parent

    @property
    def folder(self) -> str:
        """Where its jobs lie in the run."""
        return f"retrain_{self.name}" if self.name else "retrain"

    def actions_in(self, space: SearchSpace) -> list[int]:
        """The architecture; raises UserError if it is none of the run's space."""
        if self.found is not None:
            refuse_foreign(space, self.found, f"{self.given[0]}: {shown(self.file)}")
            return self.found
        try:
            return published(self.name, space)
        except ValueError as error:
            raise UserError(f"run={shown(self.run)}: {error}") from None


def asked(arguments: list[str]) -> Asked:
    """What is to be retrained.

    Raises:
        UserError: As `rewritten`.
    """
    from nas_lightning.runs.config import CONFIG
    from nas_lightning.runs.folder import BEST
    from nas_lightning.runs.state import state_of

    given = [a for a in arguments if a.startswith(("run=", "architecture="))]
    names = [a.partition("=")[2] for a in given if a.startswith("architecture=")]
    by_name = len(names) == 1 and names[0] in PUBLISHED and not os.path.exists(names[0])
    if by_name and len(given) == 2:
        return _published(arguments, given, names[0])
    if by_name or len(given) != 1:
        raise UserError(
            "give one of run=FOLDER and architecture=FILE.json, the result of a search; or, with "
            f"run=FOLDER, for its settings, architecture={' or '.join(PUBLISHED)}"
        )
    check_retraining(arguments)
    key, _, value = given[0].partition("=")
    file = Path(value).expanduser().absolute()
    if key == "run":
        file = file / BEST
    state = state_of(file.parent)
    if not (os.path.isfile(file) and os.path.isfile(file.parent / CONFIG)):
        why = f"; the one there {state.said}" if state else ""
        raise UserError(
            f"{given[0]}: no search has found anything there; after its first epoch it leaves a "
            f"{BEST} beside its {CONFIG}{why}"
        )
    try:
        actions, epoch = architecture_in(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{given[0]}: {shown(file)} {error}") from error
    if key == "run" and (state is None or state.name != "done"):
        words = state.words if state else "has not finished"
        print(
            f"{given[0]}: this search {words}; its best architecture so far is from epoch {epoch}",
            file=sys.stderr,
        )
    return Asked(given, file, actions)


def _published(arguments: list[str], given: list[str], name: str) -> Asked:
    """A published architecture, by the settings of a run, which need not have found anything."""
    from nas_lightning.runs.config import CONFIG
    from nas_lightning.runs.folder import BEST

    check_retraining(arguments)
    (run,) = (a for a in given if a.startswith("run="))
    folder = Path(run.partition("=")[2]).expanduser().absolute()
    if not os.path.isfile(folder / CONFIG):
        raise UserError(f"{run}: no run there, whose {CONFIG} says how {name} is trained")
    return Asked([run, *(a for a in given if a != run)], folder / BEST, None, name)


def main() -> None:
    """The command `python scripts/retrain.py …`."""
    if not helped(str(__doc__), ("run", "architecture", "reference", "seed")):
        command(task, rewritten)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.retrain import main as imported

    imported()
