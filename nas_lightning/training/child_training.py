"""Training children from random weights: a plain loop, and a pure function of its arguments.

The same architectures, data, budget and seeds give the same results in any process, so that it
does not matter where a child is trained, nor when. To the last bit on a CPU; a GPU draws other
random numbers for dropout and augmentation. A Lightning Trainer for each child would cost
more than training a small one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nas_lightning.data.base import Batch, Data
from nas_lightning.errors import (
    Remedy,
    UserError,
    require_bool,
    require_number,
    require_one_of,
    require_whole,
)
from nas_lightning.files import whole_file
from nas_lightning.generators import seed_of
from nas_lightning.runs.tensors import read
from nas_lightning.search_spaces.child import ChildNetwork, measured, score_all
from nas_lightning.training.captured import Captured, Step


@dataclass(frozen=True)
class ChildResult:
    """What became of one child.

    Attributes:
        status: `ok`, or in a word or two what went wrong.
        history: Metric -> its value on the validation split after every epoch.
    """

    status: str
    history: dict[str, list[float]]


@dataclass
class TrainingState:
    """M children between two epochs of their training, and all that decides how it goes on.

    Attributes:
        architectures: int64 `(M, T)`, on the CPU, where networks read them.
        network: Holds the weights of all M.
        optimizer: Steps them.
        noise: Where dropout and augmentation draw from.
        gradients: Leaves those of a minibatch at the network's parameters.
        history: For every finished epoch, metric -> M values on the validation split.
    """

    architectures: Tensor
    network: ChildNetwork
    optimizer: torch.optim.Optimizer
    noise: torch.Generator
    gradients: Step
    history: list[dict[str, list[float]]] = field(default_factory=list)

    @property
    def diverged(self) -> list[bool]:
        """For each of the M children whether its last validation loss is no finite number."""
        if not self.history:
            return [False] * len(self.architectures)
        return [not math.isfinite(loss) for loss in self.history[-1]["loss"]]

    def results(self) -> list[ChildResult]:
        """What has become of each of the M children."""
        return [
            ChildResult(
                status="diverged" if diverged else "ok",
                history={name: [at[name][m] for at in self.history] for name in self.history[0]},
            )
            for m, diverged in enumerate(self.diverged)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain types, to be saved."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "noise": self.noise.get_state(),
            "device": self.noise.device.type,
            "history": self.history,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave: training goes on as if it had never stopped.

        Raises:
            UserError: If it stopped on another kind of device, whose random numbers are others.
        """
        began, here = saved["device"], self.noise.device.type
        if began != here:
            raise UserError(
                f"this training has begun on {began} and cannot go on on {here}",
                Remedy.SAME_DEVICE,
            )
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.noise.set_state(saved["noise"])
        self.history = saved["history"]


class ChildTraining:
    """How children are trained, by stochastic gradient descent with momentum.

    Args:
        epochs: Passes over the training split.
        learning_rate: At the start.
        schedule: `cosine` falls to zero within the budget (Loshchilov & Hutter 2017); `constant`.
        momentum: Of the gradient.
        nesterov: Whether the momentum looks ahead.
        weight_decay: Factor on the weights, added to the gradient.
        gradient_clip: A child's gradient is scaled down to this norm; None for no limit.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        epochs: int,
        learning_rate: float,
        schedule: Literal["cosine", "constant"],
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        gradient_clip: float | None,
    ) -> None:
        require_whole("epochs", epochs, at_least=1)
        require_number("learning_rate", learning_rate, above=0)
        require_one_of("schedule", schedule, ("cosine", "constant"))
        require_number("momentum", momentum, at_least=0, below=1)
        require_bool("nesterov", nesterov)
        require_number("weight_decay", weight_decay, at_least=0)
        if gradient_clip is not None:
            require_number("gradient_clip", gradient_clip, above=0)
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip

    @property
    def budget(self) -> str:
        """A short key of all that decides what a child becomes, beside itself, data and seed."""
        return hashlib.sha256(repr(sorted(vars(self).items())).encode()).hexdigest()[:16]

    def train(
        self,
        child: ChildNetwork,
        data: Data,
        architectures: Tensor,
        seed: int,
        device: torch.device | str,
    ) -> list[ChildResult]:
        """Train M children side by side, each on its own weights.

        Args:
            child: Makes the networks.
            data: Training and validation data, on the device.
            architectures: int64 `(M, T)`, on the CPU.
            seed: What all randomness follows from.
            device: Where to train.

        Returns:
            M results.
        """
        state = self.begin(child, architectures, seed, device)
        for _ in self.epochs_of(state, data):
            pass
        return state.results()

    def begin(
        self, child: ChildNetwork, architectures: Tensor, seed: int, device: torch.device | str
    ) -> TrainingState:
        """M children with random weights on a device, to be trained by `epochs_of`.

        A child's weights start from `seed` and its architecture; dropout and augmentation draw the
        same numbers for all. So who else is trained beside it makes no difference to a child.
        """
        actions = architectures.tolist()
        starts = [torch.Generator().manual_seed(seed_of(seed, "child", a)) for a in actions]
        network = child.fresh(architectures, starts).to(device)
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=True,
        )
        noise = torch.Generator(device).manual_seed(seed_of(seed, "noise"))
        gradients: Step = partial(self._gradients, network, architectures, noise)
        if noise.device.type == "cuda" and network.capturable:
            gradients = Captured(gradients, [*network.parameters()], noise)
        return TrainingState(architectures, network, optimizer, noise, gradients)

    def epochs_of(self, state: TrainingState, data: Data) -> Iterator[TrainingState]:
        """Train on from where `state` stands, changing it, to the end of the budget.

        Stops after every epoch, and ends early when every child has diverged. Nothing is selected
        among epochs: what counts is the network after the last one.

        Yields:
            The same state, one epoch further.
        """
        while len(state.history) < self.epochs and not all(state.diverged):
            self._train_epoch(state, data)
            state.network.eval()
            with torch.no_grad():
                score = score_all(state.network, data.validation_batches(), state.architectures)
            metrics = measured(state.network, score)
            state.history.append({name: v.tolist() for name, v in metrics.items()})
            yield state

    def resumable(self, state: TrainingState, data: Data, path: Path) -> Iterator[TrainingState]:
        """`epochs_of`, saved after every epoch; where the file is there already, it goes on.

        On one machine the end is the same, to the last bit, as that of a training never stopped.

        Args:
            state: As `begin` gave it.
            data: What is learned.
            path: A file for this training alone, written whole or not at all.
        """
        if path.exists():
            try:
                saved = read(path)
            except OSError:
                raise
            except Exception as error:  # whatever damaged bytes make of it
                raise UserError(
                    f"{path}: is damaged ({type(error).__name__}); delete it, and the training "
                    "starts anew"
                ) from error
            state.load_state_dict(saved)
        for epoch in self.epochs_of(state, data):
            save(epoch.state_dict(), path)
            yield epoch

    def _train_epoch(self, at: TrainingState, data: Data) -> None:
        at.network.train()
        carried = None
        steps, epoch = data.train_batches, len(at.history)
        for step in range(epoch * steps, (epoch + 1) * steps):
            for group in at.optimizer.param_groups:
                group["lr"] = self.learning_rate * self._factor(step / (self.epochs * steps))
            batch = data.augment(data.train_batch(step), at.noise)
            state = carried if batch.continues else None
            carried = at.gradients(batch.inputs, batch.targets, state)
            at.optimizer.step()

    def _gradients(
        self,
        network: ChildNetwork,
        architectures: Tensor,
        noise: torch.Generator,
        inputs: Tensor,
        targets: Tensor,
        state: Tensor | None,
    ) -> Tensor | None:
        """Leave the gradients of a minibatch at the parameters; returns the next state."""
        batch = Batch(inputs, targets, continues=state is not None)
        score = network.score(batch, architectures, state, noise)
        network.zero_grad()
        torch.autograd.backward((score.loss_sum / score.count).sum())
        if self.gradient_clip is not None:
            network.clip_gradients(self.gradient_clip)
        return score.state

    def _factor(self, progress: float) -> float:
        """The learning rate's share of its start at a progress from 0 to 1."""
        return 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1.0


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain types whole or not at all."""
    with whole_file(path) as file:
        torch.save(content, file)
