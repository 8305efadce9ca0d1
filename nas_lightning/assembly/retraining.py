"""A final number: an architecture trained from scratch at full budget, and its test score."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas_lightning.assembly.configuration import plain, whole
from nas_lightning.assembly.make import make
from nas_lightning.assembly.run import inputs, quiet_lightning
from nas_lightning.assembly.threads import asked, set_threads
from nas_lightning.assembly.trainer_arguments import check_arguments, check_devices, devices_of
from nas_lightning.assembly.versions import refuse_other_version
from nas_lightning.errors import UserError
from nas_lightning.runs.config import BESIDE, REFERENCES, at, read_config
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    import torch

    from nas_lightning.data.base import Data
    from nas_lightning.metrics import Metric
    from nas_lightning.search_spaces.base import SearchSpace
    from nas_lightning.search_spaces.child import ChildNetwork
    from nas_lightning.studies.retraining import Retraining
    from nas_lightning.training import ChildResult, ChildTraining, TrainingState


RESULT = "retrained.json"

UNFINISHED = "{}.unfinished.pt"

NODES = ("search_space", "data", "child", *REFERENCES, "retrain", "seed")
"""What of a configuration decides what a retraining comes to, beside the architecture."""


def retrain(cfg: DictConfig, folder: Path) -> None:
    """Train an architecture and its references with one setting and one seed.

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

    with RunFolder(folder).locked():
        if (folder / RESULT).exists():
            print(f"finished already: {shown(folder)}", file=sys.stderr)
            return
        asked(cfg)  # before anything expensive
        config = plain(cfg)
        actions = config["architecture"]
        refuse_foreign(make(cfg, "search_space"), actions, f"architecture={actions}")
        space, data, networks = parts(cfg)
        if cfg.get("searched"):  # its folder, unless other data were asked for
            refuse_other_data(Path(cfg.searched), data.fingerprint)
        set_threads(cfg, space=space, child=networks["architecture"], data=data)
        training, seed = make(cfg, "retrain"), whole(cfg, "seed", at_least=0)
        quiet_lightning()
        device = device_of(cfg)
        data = data.to(device)
        objective = objective_of(cfg, networks["architecture"])
        outcomes: dict[str, dict[str, Any]] = {}
        for name, network in networks.items():
            own = config[BESIDE] if name == BESIDE else actions
            state = training.begin(network, torch.tensor([own]), seed, device)
            results = trained(state, training, data, folder, name, objective)
            outcomes[name] = network.costs(own) | outcome(*results) | {"weights": f"{name}.pt"}
            if name == BESIDE:
                outcomes[name] |= {"actions": own, "description": "an architecture made by hand"}
            elif name in REFERENCES:
                outcomes[name]["description"] = network.describe(actions)
        result = {
            "schema": SCHEMA,
            "decisions": space.describe(actions),
            "actions": actions,
            "kind": "final",
            "objective": objective.name,
            "unit": objective.unit,
            "direction": objective.direction,
            "seed": seed,
            "config": {name: config[name] for name in NODES if name in config},
            "networks": outcomes,
            "data": dict(data.fingerprint),
            "inputs": inputs(data),
        }
        write_json(folder / RESULT, result)
        for name in networks:
            (folder / UNFINISHED.format(name)).unlink()


def objective_of(cfg: DictConfig, network: ChildNetwork) -> Metric:
    """The metric by which settings are compared; raises UserError if the network has none such."""
    declared = {metric.name: metric for metric in network.metrics}
    name = cfg.estimator.objective
    if name not in declared:
        raise UserError(f"estimator.objective={name}: no network that is retrained has it")
    return declared[name]


def device_of(cfg: DictConfig) -> torch.device:
    """Where the Trainer that is configured would compute; raises UserError at what it cannot do."""
    check_arguments(cfg.trainer)
    trainer = make(cfg, "trainer", devices=devices_of(cfg), logger=False)
    check_devices(trainer.world_size, cfg.trainer.devices)
    device: torch.device = trainer.strategy.root_device
    return device


def trained(
    state: TrainingState,
    training: ChildTraining,
    data: Data,
    folder: Path,
    name: str,
    objective: Metric,
) -> list[ChildResult]:
    """Train a network to the end, a line an epoch, and leave its weights in the folder."""
    from nas_lightning.training.child_training import save

    for _ in training.resumable(state, data, folder / UNFINISHED.format(name)):
        line = f"validation {objective.said(state.history[-1][objective.name][0])}"
        epoch = f"{len(state.history)}/{training.epochs}"
        print(f"{name}, epoch {epoch}: {line}", file=sys.stderr)
    save(state.network.state_dict(), folder / f"{name}.pt")
    return state.results()


def parts(cfg: DictConfig) -> tuple[SearchSpace, Data, dict[str, Any]]:
    """Space, data, and the networks to be trained: the child, and references if there are any."""
    if not cfg.get("child"):
        raise UserError(
            "run: its search space has no network to train: architectures were looked up; what the "
            "table knows of them stands in best_architecture.json"
        )
    space, data = make(cfg, "search_space"), make(cfg, "data")
    child = make(cfg, "child", space=space, **data.sizes)
    references = {
        name: child if name == BESIDE else make(cfg, name, space=space, child=child, **data.sizes)
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


def tested(job: Retraining, name: str) -> dict[str, float]:
    """The metrics on the test split of one of a job's two networks."""
    import torch

    from nas_lightning.search_spaces.child import measured, score_all

    space, data, networks = parts(OmegaConf.create(job.result["config"]))
    refuse_foreign(space, job.result["actions"], shown(job.folder / RESULT))
    if job.result.get("data", data.fingerprint) != data.fingerprint:
        raise UserError(
            f"{shown(job.folder)}: the data have changed since it was trained; put them back as "
            f"they were, or delete {shown(job.folder)} and repeat the command"
        )
    architectures = torch.tensor([actions_of(job, name)])
    network = restored(job, networks[name], name)
    with torch.no_grad():
        score = score_all(network, data.test_batches(), architectures)
    return {metric: float(value) for metric, value in measured(network, score).items()}


def actions_of(job: Retraining, name: str) -> list[int]:
    """Of what architecture one of a job's networks is."""
    actions: list[int] = job.result["networks"][name].get("actions", job.result["actions"])
    return actions


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
    from nas_lightning.runs.config import REFERENCES
    from nas_lightning.studies.retraining import Retraining, concluded, final_table

    jobs = [Retraining(folder, result_in(folder)) for folder in folders]
    final = concluded(jobs, tested)
    for network in filter(None, (final, *map(final.get, REFERENCES))):
        network["weights"] = [shown(path) for path in network.get("weights", [])]
    write_json(file, final)
    Console().print(final_table(final))
    print(f"written  {shown(file)}")


def restored(job: Retraining, template: ChildNetwork, name: str) -> ChildNetwork:
    """One of a job's networks with its weights, in evaluation mode.

    Raises:
        UserError: If they are gone or damaged.
    """
    import torch

    from nas_lightning.runs.tensors import read

    network = template.fresh(torch.tensor([actions_of(job, name)]), [torch.Generator()])
    weights = job.folder / job.result["networks"][name]["weights"]
    try:
        network.load_state_dict(read(weights))
    except Exception as error:  # whatever damaged bytes make of it
        why = "is gone" if isinstance(error, FileNotFoundError) else "is damaged"
        raise UserError(
            f"{shown(weights)}: {why} ({type(error).__name__}); delete {shown(job.folder)} "
            "and repeat the command"
        ) from error
    return network.eval()


def result_in(folder: Path) -> dict[str, Any]:
    """What a finished job has left; raises UserError if it cannot be read."""
    from nas_lightning.files import read_json

    result = read_json(folder / RESULT)
    needed = {"decisions", "actions", "kind", "objective", "seed", "config", "networks"}
    if result is None or not needed <= result.keys():
        raise UserError(f"{shown(folder / RESULT)}: is damaged; delete it, and repeat the command")
    return result


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
        UserError: If `retrain_with` names a key that the configuration does not have, or another
            version has written that.
    """
    searched = read_config(path.parent)
    refuse_other_version(path.parent, {n: searched[n] for n in NODES[:3] if n in searched})
    config = OmegaConf.create(searched)
    changes = config.pop("retrain_with", None) or {}
    if beside := at(searched, f"search.{BESIDE}"):
        config[BESIDE] = beside
    OmegaConf.set_struct(config, True)
    try:
        config.merge_with(changes)
    except OmegaConfBaseException as error:
        raise UserError(
            f"retrain_with.{error.full_key}: no such key in {shown(path)} that it could change"
        ) from error
    return config
