"""The final number: an architecture trained from scratch at full budget, and its test score.

    python scripts/retrain.py run=RUN                                        one training
    python scripts/retrain.py -m run=RUN retrain.learning_rate=0.1,0.05 seed=0,1      a grid

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
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas_lightning.assembly.search import make, plain, quiet_lightning, threads, verdict, whole
from nas_lightning.commands.train import ListFailures, command, helped, job, quoted
from nas_lightning.errors import UserError
from nas_lightning.runs.folder import read_config
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from nas_lightning.data.base import Data
    from nas_lightning.search_spaces.base import SearchSpace
    from nas_lightning.studies.retraining import Retraining

RESULT = "retrained.json"
UNFINISHED = "{}.unfinished.pt"
FINAL = "final{}.json"
REFERENCES = ("reference", "second_reference")
"""The nodes of networks made by hand, trained and tuned beside the architecture."""

NODES = ("search_space", "data", "child", *REFERENCES, "retrain", "seed")
"""What of a configuration decides what a retraining comes to, beside the architecture."""


# ------------------------------------------------------------- a job: one setting and one seed


def retrain(cfg: DictConfig, folder: Path) -> None:
    """Train an architecture and its reference with one setting and one seed.

    Leaves `retrained.json` and both networks' weights in the folder. The weights after the last
    epoch are the final ones: while the learning rate falls to zero there is little to gain by
    selecting an epoch, and it would flatter the validation number.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    import torch

    from nas_lightning.files import write_json
    from nas_lightning.runs.folder import SCHEMA, RunFolder, refuse_other_data
    from nas_lightning.studies.retraining import outcome
    from nas_lightning.training.child_training import save

    with RunFolder(folder).locked():
        if (folder / RESULT).exists():
            print(f"finished already: {shown(folder)}", file=sys.stderr)
            return
        if cfg.threads is not None:
            torch.set_num_threads(threads(cfg))
        config = plain(cfg)
        actions = config["architecture"]
        refuse_foreign(make(cfg, "search_space"), actions, f"architecture={actions}")
        space, data, networks = parts(cfg)
        if cfg.get("searched"):  # its folder, unless other data were asked for
            refuse_other_data(Path(cfg.searched), data.fingerprint)
        training, seed = make(cfg, "retrain"), whole(cfg, "seed", at_least=0)
        quiet_lightning()
        device = make(cfg, "trainer", logger=False).strategy.root_device
        data = data.to(device)
        objective = cfg.estimator.objective
        declared = {metric.name: metric for metric in networks["architecture"].metrics}
        if objective not in declared:
            raise UserError(
                f"estimator.objective={objective}: no network gives it, so there is nothing to "
                "retrain"
            )
        outcomes: dict[str, dict[str, Any]] = {}
        for name, network in networks.items():
            state = training.begin(network, torch.tensor([actions]), seed, device)
            for _ in training.resumable(state, data, folder / UNFINISHED.format(name)):
                line = f"validation {declared[objective].said(state.history[-1][objective][0])}"
                epoch = f"{len(state.history)}/{training.epochs}"
                print(f"{name}, epoch {epoch}: {line}", file=sys.stderr)
            save(state.network.state_dict(), folder / f"{name}.pt")
            outcomes[name] = {**network.costs(actions), **outcome(*state.results())}
            outcomes[name]["weights"] = f"{name}.pt"
        for name in networks.keys() & REFERENCES:
            outcomes[name]["description"] = networks[name].describe(actions)
        result = {
            "schema": SCHEMA,
            "decisions": space.describe(actions),
            "actions": actions,
            "kind": "final",
            "objective": objective,
            "unit": declared[objective].unit,
            "direction": declared[objective].direction,
            "seed": seed,
            "config": {name: config[name] for name in NODES if name in config},
            "networks": outcomes,
            "data": dict(data.fingerprint),
        }
        write_json(folder / RESULT, result)
        for name in networks:
            (folder / UNFINISHED.format(name)).unlink()


def parts(cfg: DictConfig) -> tuple[SearchSpace, Data, dict[str, Any]]:
    """Space, data, and the networks to be trained: the child, and the references there are."""
    space, data = make(cfg, "search_space"), make(cfg, "data")
    child = make(cfg, "child", space=space, **data.sizes)
    references = {
        name: make(cfg, name, space=space, child=child, **data.sizes)
        for name in REFERENCES
        if cfg.get(name)
    }
    return space, data, {"architecture": child, **references}


def refuse_foreign(space: SearchSpace, actions: object, where: str) -> None:
    """Raise UserError if what stands somewhere is no architecture of the space."""
    try:
        space.check(actions)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


# ------------------------------------------------------------- the choice among jobs


def tested(job: Retraining, name: str) -> dict[str, float]:
    """The metrics on the test split of one of a job's networks."""
    import torch

    from nas_lightning.runs.weights import read
    from nas_lightning.search_spaces.child import measured, score_all

    space, data, networks = parts(OmegaConf.create(job.result["config"]))
    refuse_foreign(space, job.result["actions"], shown(job.folder / RESULT))
    if job.result.get("data", data.fingerprint) != data.fingerprint:
        raise UserError(
            f"{shown(job.folder)}: the data have changed since it was trained; put them back as "
            f"they were, or delete {shown(job.folder)} and repeat the command"
        )
    architectures = torch.tensor([job.result["actions"]])
    network = networks[name].fresh(architectures, [torch.Generator()])
    weights = job.folder / job.result["networks"][name]["weights"]
    try:
        network.load_state_dict(read(weights))
    except Exception as error:  # whatever damaged bytes make of it
        raise UserError(
            f"{shown(weights)}: is damaged ({type(error).__name__}); delete {shown(job.folder)} "
            "and repeat the command"
        ) from error
    network.eval()
    with torch.no_grad():
        score = score_all(network, data.test_batches(), architectures)
    return {metric: float(value) for metric, value in measured(network, score).items()}


def conclude(folders: Iterable[Path], file: Path) -> None:
    """Choose the settings on validation, read the test split for them, and show the table.

    Args:
        folders: Folders of finished jobs of one architecture, any settings and seeds.
        file: What is written.

    Raises:
        UserError: If the architecture has diverged with every setting.
    """
    from rich.console import Console

    from nas_lightning.files import write_json
    from nas_lightning.studies.retraining import Retraining, final_table, references_of, verdict

    jobs = [Retraining(folder, result_in(folder)) for folder in folders]
    final = verdict(jobs, tested)
    for network in (final, *references_of(final)):
        network["weights"] = [shown(path) for path in network.get("weights", [])]
    write_json(file, final)
    Console().print(final_table(final))
    print(f"written  {shown(file)}")


def result_in(folder: Path) -> dict[str, Any]:
    """What a finished job has left; raises UserError if it cannot be read."""
    from nas_lightning.files import read_json

    result = read_json(folder / RESULT)
    needed = {"decisions", "actions", "kind", "objective", "seed", "config", "networks"}
    if result is None or not needed <= result.keys():
        raise UserError(f"{shown(folder / RESULT)}: is damaged; delete it, and repeat the command")
    return result


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
            code, reason = verdict(error)
            if code == 1:
                traceback.print_exc()
            print(f"error: {reason}", file=sys.stderr)
            ListFailures.exit_code = code


# ------------------------------------------------------------- python scripts/retrain.py


def task(cfg: DictConfig) -> tuple[int, str] | None:
    """One job: in a multirun the choice is made when all are done."""
    return job(cfg, _run)


def _run(cfg: DictConfig, folder: Path) -> None:
    retrain(cfg, folder)
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        conclude([folder], folder / FINAL.format(""))


def rewritten(arguments: list[str]) -> list[str]:
    """Rewrite `run=RUN` or `architecture=JSON` into Hydra's flags.

    The configuration of that run, changed by its `retrain_with`, is written into `retrain/` beside
    it; jobs lie there under the names of their overrides, with a hash of architecture and
    configuration, so that the same command finds them again and another one none of them.

    Raises:
        UserError: If neither is given, or no search has found anything there.
    """
    from nas_lightning.files import write
    from nas_lightning.runs.folder import BEST, CONFIG
    from nas_lightning.runs.state import state_of

    given = [a for a in arguments if a.startswith(("run=", "architecture="))]
    if len(given) != 1:
        raise UserError("give one of run=FOLDER and architecture=FILE.json, the result of a search")
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
    config = full_budget(file.parent / CONFIG)
    refuse_foreign(make(config, "search_space"), actions, f"{given[0]}: {shown(file)}")
    folder = file.parent / "retrain"
    try:
        folder.mkdir(exist_ok=True)
        write(folder / CONFIG, OmegaConf.to_yaml(config))
    except OSError as error:
        raise UserError(
            f"{given[0]}: {shown(folder)} cannot be written ({error.strerror}); copy {file.name} "
            f"and {CONFIG} to where it can, and give that"
        ) from error
    elsewhere = any(a.startswith(("data=", "data.path=", "data._target_=")) for a in arguments)
    decisive = [actions, OmegaConf.to_container(OmegaConf.masked_copy(config, list(NODES)))]
    identity = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]
    name = f"${{slug:${{hydra:job.override_dirname}}}}-{identity}"
    return [
        f"--config-path={folder}",
        "--config-name=config",
        *(a for a in arguments if a != given[0]),
        f"hydra.run.dir={quoted(folder / name)}",
        f"hydra.sweep.dir={quoted(folder)}",
        f"hydra.sweep.subdir='{name}'",
        "hydra.job.config.override_dirname.exclude_keys=[architecture,searched]",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
        "+hydra.callbacks.failures._target_=nas_lightning.commands.train.ListFailures",
        "+hydra.callbacks.conclude._target_=nas_lightning.commands.retrain.ConcludeGrid",
        f"+architecture={actions}".replace(" ", ""),
        *([] if elsewhere else [f"+searched={quoted(file.parent)}"]),
    ]


def architecture_in(file: Path) -> tuple[list[int], str]:
    """The architecture that a search has left, and the epoch it is from, counted from 0.

    Raises:
        ValueError: If the file holds none.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON in UTF-8 ({error})") from error
    actions = found.get("actions") if isinstance(found, dict) else None
    if not isinstance(actions, list) or not all(type(a) is int and a >= 0 for a in actions):
        raise ValueError("holds no list `actions` of whole numbers >= 0")
    epoch = found.get("found_in_epoch")
    return actions, str(epoch) if type(epoch) is int else "unknown"


def full_budget(path: Path) -> DictConfig:
    """A search's configuration, changed by what it has under `retrain_with`.

    Raises:
        UserError: If `retrain_with` names a key that the configuration does not have.
    """
    config = OmegaConf.create(read_config(path.parent))
    changes = config.pop("retrain_with", None) or {}
    OmegaConf.set_struct(config, True)
    try:
        config.merge_with(changes)
    except OmegaConfBaseException as error:
        raise UserError(
            f"retrain_with.{error.full_key}: no such key in {shown(path)} that it could change"
        ) from error
    return config


def main() -> None:
    """The command `python scripts/retrain.py …`."""
    if not helped(str(__doc__)):
        command(task, rewritten)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.retrain import main as imported

    imported()
