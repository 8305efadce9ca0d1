"""Training children from random weights: a plain loop, and a pure function of its arguments.

The same architectures, data, budget and seeds give the same results in any process, so that it
does not matter where a child is trained, nor when. A Lightning Trainer for each child would cost
more than training a small one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nas_lightning.data.base import Data
from nas_lightning.errors import require_number, require_one_of, require_whole
from nas_lightning.generators import seed_of
from nas_lightning.search_spaces.base import ChildNetwork, metrics_of, score_all


@dataclass(frozen=True)
class ChildResult:
    """What became of one child.

    Attributes:
        status: `ok`, or in a word or two what went wrong.
        history: Metric -> its value on the validation split after every epoch.
    """

    status: str
    history: dict[str, list[float]]


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
        self, child: ChildNetwork, data: Data, architectures: Tensor, seed: int
    ) -> list[ChildResult]:
        """Train M children side by side, each on its own weights.

        Args:
            child: Makes the networks.
            data: Training and validation data.
            architectures: int64 `(M, T)`.
            seed: What all randomness follows from.

        Returns:
            M results.
        """
        history = [metrics for _, metrics in self.epochs_of(child, data, architectures, seed)]
        return [
            ChildResult(
                status="ok" if math.isfinite(history[-1]["loss"][m]) else "diverged",
                history={name: [at[name][m] for at in history] for name in history[0]},
            )
            for m in range(len(architectures))
        ]

    def epochs_of(
        self, child: ChildNetwork, data: Data, architectures: Tensor, seed: int
    ) -> Iterator[tuple[ChildNetwork, dict[str, list[float]]]]:
        """Train, and stop after every epoch; ends early when every child has diverged.

        A child's weights start from `seed` and its architecture; dropout and augmentation draw the
        same numbers for all. So who else is trained beside it makes no difference to a child.

        Yields:
            The network as it is now, and its metrics on the validation split, M values each.
        """
        actions = architectures.tolist()
        starts = [torch.Generator().manual_seed(seed_of(seed, "child", a)) for a in actions]
        network = child.fresh(architectures, starts)
        noise = torch.Generator().manual_seed(seed_of(seed, "noise"))
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )
        for epoch in range(self.epochs):
            self._train_epoch(network, optimizer, data, architectures, epoch, noise)
            network.eval()
            with torch.no_grad():
                score = score_all(network, data.validation_batches(), architectures)
            yield network, {name: v.tolist() for name, v in metrics_of(score).items()}
            if not torch.isfinite(score.loss_sum).any():
                return

    def _train_epoch(
        self,
        network: ChildNetwork,
        optimizer: torch.optim.Optimizer,
        data: Data,
        architectures: Tensor,
        epoch: int,
        noise: torch.Generator,
    ) -> None:
        network.train()
        state = None
        steps = data.train_batches
        for step in range(epoch * steps, (epoch + 1) * steps):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * self._factor(step / (self.epochs * steps))
            batch = data.augment(data.train_batch(step), noise)
            score = network.score(batch, architectures, state if batch.continues else None, noise)
            state = score.state
            optimizer.zero_grad()
            torch.autograd.backward((score.loss_sum / score.count).sum())
            if self.gradient_clip is not None:
                network.clip_gradients(self.gradient_clip)
            optimizer.step()

    def _factor(self, progress: float) -> float:
        """The learning rate's share of its start at a progress from 0 to 1."""
        return 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1.0
