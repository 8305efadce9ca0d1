"""The network that a run has found, as an ordinary module, made without the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.make import make
from nas_lightning.assembly.rebuild import configuration, data_of
from nas_lightning.assembly.retraining import refuse_foreign, restored, result_in
from nas_lightning.assembly.run import INPUTS, inputs
from nas_lightning.errors import UserError, require_one_of
from nas_lightning.files import read_json
from nas_lightning.runs.config import at
from nas_lightning.runs.folder import BEST
from nas_lightning.terminal import called, shown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nas_lightning.runs.run import Run
    from nas_lightning.search_spaces.base import SearchSpace
    from nas_lightning.search_spaces.child import ChildNetwork

Weights = Literal["retrained", "shared", "fresh"]
WEIGHTS = ("retrained", "shared", "fresh")

STATISTICS = 20
"""Training minibatches of which a network with shared weights takes its own statistics."""


def network_of(run: Run, weights: Weights | None) -> nn.Module:
    """The best architecture's network as an ordinary module, in evaluation mode.

    Args:
        run: The run.
        weights: `retrained`: those of its final number, of the first seed. `shared`: those that all
            architectures had at the end of the search. `fresh`: those with which a training from
            scratch starts. None: the first of these that the run has.

    Raises:
        UserError: If there are no such weights.
    """
    weights = weights or most_trained(run)
    try:
        require_one_of("weights", weights, WEIGHTS)
    except ValueError as error:
        raise UserError(str(error)) from None
    if weights == "retrained":
        return retrained(run)
    actions = best_of(run)
    config = configuration(run.folder, "search_space", "child")
    if not config.get("child"):
        raise UserError(f"{shown(run.folder)}: its architectures have no networks")
    known = kept(read_json(run.folder / INPUTS)) or inputs(data_of(run.folder))
    child = child_in(config, known, actions, run.folder)
    if weights == "shared":
        take_shared(child, run.folder)
        child = own_statistics(child, actions, run.folder)
    else:
        child = begun(child, actions, run.seed)
    return plain(child, actions, known)


def most_trained(run: Run) -> Weights:
    """Which weights a run has to give."""
    if run.finals[0]:
        return "retrained"
    return "shared" if at(run.config, "estimator.child_steps") else "fresh"


def retrained(run: Run) -> nn.Module:
    """The network of the run's final number; see `network_of`."""
    from nas_lightning.studies.retraining import Retraining

    job = folder_of(*final_of(run))
    result = result_in(job)
    config = OmegaConf.create(result["config"])
    known = kept(result.get("inputs")) or inputs(make(config, "data"))
    actions = result["actions"]
    child = child_in(config, known, actions, job)
    return plain(restored(Retraining(job, result), child, "architecture"), actions, known)


def folder_of(path: Path, final: Mapping[str, Any]) -> Path:
    """Where the first of the trainings lies that a file of final numbers speaks of."""
    # The file's names are as from where it was made; the folders lie where it does.
    if path.name == "final.json":
        return path.parent
    return path.parent / Path(final["weights"][0]).parts[-2]


def final_of(run: Run) -> tuple[Path, dict[str, Any]]:
    """The run's final numbers and their file; of several the best on validation.

    Raises:
        UserError: If it was not retrained, or its file is damaged.
    """
    found, damaged = run.finals
    whole = [(path, final) for path, final in found if final.get("weights")]
    if not whole:
        again = called("retrain", f"run={shown(run.folder)}")
        why = f"{shown(damaged[0])} is damaged" if damaged else "no final.json is there"
        raise UserError(f"{shown(run.folder)}: was not retrained ({why}); first {again}")
    sign, name = run.objective.sign, run.objective.name

    def value(pair: tuple[Path, dict[str, Any]]) -> float:
        return sign * mean(of_seed.get(name) or 0.0 for of_seed in pair[1]["validation"])

    return max(whole, key=value)


def best_of(run: Run) -> list[int]:
    """The actions of the run's best architecture; raises UserError if there is none."""
    actions = (run.best or {}).get("actions")
    if not isinstance(actions, list):
        raise UserError(
            f"{shown(run.folder)}: has no {BEST} that can be read; the first epoch leaves one"
        )
    return actions


def space_of(run: Run) -> SearchSpace:
    """The run's search space; raises UserError if it can no longer be made."""
    space: SearchSpace = make(configuration(run.folder, "search_space"), "search_space")
    return space


def kept(known: object) -> Mapping[str, Any] | None:
    """What was kept of the inputs; None if nothing of use: then the data are read."""
    good = all(isinstance(at(known, part), Mapping) for part in ("sizes", "preparation"))
    return known if good and isinstance(known, Mapping) else None


def child_in(
    config: DictConfig, known: Mapping[str, Any], actions: Sequence[int], where: Path
) -> ChildNetwork:
    """The child network of a configuration.

    Raises:
        UserError: If the architecture is not of its space.
    """
    space = make(config, "search_space")
    refuse_foreign(space, actions, shown(where))
    child: ChildNetwork = make(config, "child", space=space, **known["sizes"])
    return child


def take_shared(child: ChildNetwork, folder: Path) -> None:
    """Load the shared weights of a run's end; raises UserError if there are none."""
    from nas_lightning.estimators.weight_sharing import shared_weights

    if not child.shares_weights:
        raise UserError(
            f"weights=shared: {shown(folder)} trained each architecture from scratch, and kept no "
            "weights; give weights=retrained or weights=fresh"
        )
    try:
        child.load_state_dict(shared_weights(folder, child))
    except ValueError as error:
        raise UserError(str(error)) from error


def own_statistics(child: ChildNetwork, actions: Sequence[int], folder: Path) -> ChildNetwork:
    """The network with normalisation statistics of this architecture, where it keeps averages."""
    import torch

    if not child.averages_statistics:
        return child
    data = data_of(folder)
    batches = [data.train_batch(number) for number in range(min(STATISTICS, data.train_batches))]
    return child.recalibrated(torch.tensor([list(actions)]), batches)


def example_of(run: Run, weights: Weights | None) -> tuple[torch.Tensor, ...] | None:
    """Inputs as a network takes them, a batch of two, without the data; None if not known."""
    import torch

    known = read_json(run.folder / INPUTS)
    if (weights or most_trained(run)) == "retrained":
        path, final = final_of(run)
        known = result_in(folder_of(path, final)).get("inputs")
    shape, kind = at(known, "inputs.shape"), at(known, "inputs.type")
    if not isinstance(shape, list) or kind not in ("float32", "int64"):
        return None
    return (torch.zeros(2, *shape, dtype=getattr(torch, kind)),)


def begun(child: ChildNetwork, actions: Sequence[int], seed: int) -> ChildNetwork:
    """The network with the weights with which its training from scratch starts."""
    import torch

    from nas_lightning.generators import seed_of

    start = torch.Generator().manual_seed(seed_of(seed, "child", list(actions)))
    return child.fresh(torch.tensor([actions]), [start])


def plain(child: ChildNetwork, actions: Sequence[int], known: Mapping[str, Any]) -> nn.Module:
    """The plain module, told how raw inputs become its own."""
    try:
        network = child.network(actions)
    except TypeError as error:
        raise UserError(f"child: {error}") from error
    prepare = getattr(network, "prepare", None)
    if callable(prepare) and known["preparation"]:
        prepare(**known["preparation"])
    return network
