"""From a configuration to all the objects of a search, each handed those it asks for.

Heavy imports happen inside functions, so that `--help`, `--cfg job` and tab completion answer at
once.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.checks import (
    refuse_contradictions,
    refuse_small_budget,
    refuse_uncounted,
)
from nas_lightning.assembly.choices import by_choices
from nas_lightning.assembly.configuration import plain, whole
from nas_lightning.assembly.make import make, with_keys
from nas_lightning.assembly.messages import one_line
from nas_lightning.assembly.trainer_arguments import (
    check_arguments,
    check_devices,
    check_reach,
    devices_of,
)
from nas_lightning.errors import UserError

if TYPE_CHECKING:
    import pytorch_lightning as pl
    import torch
    from torch import nn

    from nas_lightning.data.base import Data
    from nas_lightning.engine.module import ArchitectureSearch
    from nas_lightning.estimators.base import Estimator, OptimizerFactory
    from nas_lightning.search_spaces.base import SearchSpace
    from nas_lightning.search_spaces.child import ChildNetwork


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
    whole(cfg, "trainer.max_epochs", at_least=1)
    check_arguments(cfg.trainer)
    search = make_search(cfg, folder)
    return make_trainer(cfg, folder), search


def make_search(cfg: DictConfig, folder: Path) -> ArchitectureSearch:
    """Make the search with all its collaborators; see `assembled`."""
    from nas_lightning.generators import Generators
    from nas_lightning.runs.ledger import Ledger, Metrics

    generators = Generators(whole(cfg, "seed", at_least=0))
    space = make(cfg, "search_space")
    refuse_uncounted(space)
    data = make(cfg, "data") if cfg.get("data") else None
    sizes = data.sizes if data else {}
    child = make(cfg, "child", space=space, **sizes) if data and cfg.get("child") else None
    refuse_contradictions(cfg)
    estimator = make(
        cfg,
        "estimator",
        space=space,
        **({"child": child or refuse_no_data} if cfg.get("child") else {}),
        data=data,
        executor=functools.partial(make, cfg, "executor"),
        generators=generators,
        folder=folder,
    )
    said = None
    if estimator.trains and child is not None and data is not None:
        said = preview(cfg, child, data, shared=estimator.shared is child)
    check_reach(cfg.trainer, shared_weights=estimator.uses_batches)
    controller = make(cfg, "controller", space=space)
    refuse_small_budget(cfg, controller, estimator)
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
    if said is not None and child is not None and data is not None:
        print(f"{said}\n{forecast(cfg, space, child, data, estimator)}", file=sys.stderr)
    return search


@functools.partial
def refuse_no_data() -> None:
    """Raise UserError; it stands where a child network would, for whoever asks for one."""
    raise UserError(
        "data=null is not allowed: must be what the networks of this search space learn; choose "
        "data=cifar10 or data=images data.source.path=PATH, or look them up by estimator=table"
    )


def preview(cfg: DictConfig, child: ChildNetwork, data: Data, *, shared: bool) -> str | None:
    """What the networks are, where they know; see `ChildNetwork.preview`.

    Raises:
        UserError: If they cannot be trained on the data.
    """
    try:
        return child.preview(data.train_batch(0), shared=shared)
    except ValueError as error:
        raise UserError(f"child: {one_line(error)}") from error
    except UserError as error:
        message = with_keys(str(error), cfg.search_space, "search_space")
        raise UserError(message, error.remedy) from error


def forecast(
    cfg: DictConfig, space: SearchSpace, child: ChildNetwork, data: Data, estimator: Estimator
) -> str:
    """In a line what a search is going to cost at most, from one training step of one network."""
    from nas_lightning.metrics import number

    epochs, search = cfg.trainer.max_epochs, cfg.search
    momentum = OmegaConf.select(cfg, "estimator.training.momentum") or 0
    make_optimizer = estimator.make_optimizer or functools.partial(_sgd, momentum=momentum)
    step = tried(space, child, data, make_optimizer)
    if step is None:
        return "forecast: unknown, since no network that was tried can be trained"
    each_step = f"{1000 * step.seconds:.1f} ms"
    if estimator.shared is child:
        steps = epochs * estimator.phases.child_steps
        memory = in_units(step.memory(sum(map(nbytes, child.parameters()))), BYTES)
        return (
            f"forecast: {steps:,} training steps of {each_step}, and what is judged; about "
            f"{memory} {OF_MEMORY}"
        )
    passes = OmegaConf.select(cfg, "estimator.training.epochs")
    memory = f"about {in_units(step.memory(step.weights), BYTES)} each {OF_MEMORY}"
    if passes is None:  # of an estimator of one's own
        return f"forecast: a training step of one network takes {each_step}; {memory}"
    judged = estimator.phases.controller_steps * search.architectures_per_step + search.candidates
    children = epochs * judged + search.uniform_candidates + (search.beside is not None)
    if not space.masked:
        children = min(children, space.largest.size)
    each = step.seconds * data.train_batches * passes
    return (
        f"forecast: at most {children:,} children of {number(each, 2)} s each, "
        f"{in_units(children * each, TIMES)} on one core; {memory}"
    )


BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
TIMES = ((3600, "hours"), (60, "minutes"), (1, "seconds"))

TRIED = 5
"""Architectures of which one that can be trained is taken for all."""

OF_MEMORY = "for weights, gradients, optimizer and activations, an estimate from one network"


@dataclass(frozen=True)
class Step:
    """What a training step of one network took.

    Attributes:
        seconds: Time.
        weights: Bytes of the network's parameters; its gradients have as many.
        optimizer: Bytes that the optimizer keeps.
        activations: Bytes that are kept for the backward pass.
    """

    seconds: float
    weights: int
    optimizer: int
    activations: int

    def memory(self, weights: int) -> float:
        """Bytes of a step with so many bytes of weights, of which one network's are used."""
        return weights * (2 + self.optimizer / max(1, self.weights)) + self.activations


def tried(
    space: SearchSpace, child: ChildNetwork, data: Data, make_optimizer: OptimizerFactory
) -> Step | None:
    """A training step of one of a few architectures; None if the networks of all fail."""
    import torch

    for architecture in space.sample(TRIED, torch.Generator().manual_seed(0)).split(1):
        try:
            return step_of(architecture, child, data, make_optimizer)
        except (ValueError, RuntimeError):  # that one fails; others may not
            continue
    return None


def step_of(
    architectures: torch.Tensor, child: ChildNetwork, data: Data, make_optimizer: OptimizerFactory
) -> Step:
    """A training step of one architecture's network: the time is that of the second of two."""
    import time

    import torch

    generator, batch = torch.Generator().manual_seed(0), data.train_batch(0)
    network = child.fresh(architectures, [generator]).train()
    optimizer = make_optimizer(network.parameters())
    own = {parameter.data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = nbytes(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = network.score(batch, architectures, None, generator).loss_sum.sum()
    loss.backward()
    optimizer.step()
    start = time.perf_counter()
    network.score(batch, architectures, None, generator).loss_sum.sum().backward()
    seconds = time.perf_counter() - start
    states = [value for state in optimizer.state.values() for value in state.values()]
    return Step(
        seconds=seconds,
        weights=sum(map(nbytes, network.parameters())),
        optimizer=sum(nbytes(value) for value in states if isinstance(value, torch.Tensor)),
        activations=sum(kept.values()),
    )


def _sgd(parameters: Iterable[nn.Parameter], *, momentum: float) -> torch.optim.Optimizer:
    """As children are trained from scratch."""
    import torch

    return torch.optim.SGD(parameters, lr=0.0, momentum=momentum)


def nbytes(tensor: torch.Tensor) -> int:
    """The bytes of a tensor."""
    return tensor.numel() * tensor.element_size()


def in_units(value: float, units: Sequence[tuple[float, str]]) -> str:
    """A quantity for people: in the first unit of which it has at least two, else in the last."""
    from nas_lightning.metrics import number

    size, unit = next(((s, u) for s, u in units if value >= 2 * s), units[-1])
    return f"{number(value / size, 2)} {unit}"


def make_trainer(cfg: DictConfig, folder: Path) -> pl.Trainer:
    """Make the trainer with its callbacks and its logger; see `assembled`."""
    from pytorch_lightning.callbacks import Checkpoint, ProgressBar

    from nas_lightning.callbacks.checkpoint import AtomicCheckpointIO

    callbacks = [make(cfg, f"callbacks.{name}") for name in cfg.callbacks]
    trainer: pl.Trainer = make(
        cfg,
        "trainer",
        devices=devices_of(cfg),
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
    check_devices(trainer.world_size, cfg.trainer.devices)
    return trainer
