"""Networks of a user's own, each with its own weights, trained side by side."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces import RelaxedLoss
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import ACCURACY, LOSS, ChildNetwork, ChildScore
from nas_lightning.search_spaces.choices.parts import Part, weighing
from nas_lightning.search_spaces.choices.recipe import seeded
from nas_lightning.search_spaces.choices.task import Loss, Task


class OwnNetworks(ChildNetwork):
    """What networks of a user's own have in common, shared weights or not.

    By default they give logits `(B, num_classes)` and are scored by cross-entropy; see `Task`. What
    they draw in training is the same for all architectures: one seed for each minibatch.

    Args:
        space: Whose architectures they are.
        num_classes: Classes of the data; 0 where targets are numbers.
        loss: See `Task`.
        metrics: See `Task`.
    """

    shares_weights = False
    counts = "examples"

    def __init__(
        self,
        *,
        space: SearchSpace,
        num_classes: int,
        loss: Loss | None,
        metrics: Sequence[str] | None,
    ) -> None:
        super().__init__()
        self.space = space
        self.task = Task(num_classes=num_classes, loss=loss, metrics=metrics)
        self.metrics = self.task.metrics
        self.networks = nn.ModuleList()

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with."""
        task = self.task
        return {
            "space": self.space,
            "num_classes": task.num_classes,
            "loss": task.own_loss,
            "metrics": task.names,
        }

    @abstractmethod
    def built(self, architecture: Sequence[int], seed: int) -> nn.Module:
        """The ordinary module of one architecture, its weights drawn from a seed.

        Raises:
            ValueError: If it cannot be built.
        """

    @abstractmethod
    def without_weights(self) -> OwnNetworks:
        """One of the same settings that has no weights yet."""

    def fresh(self, architectures: Tensor, generators: Sequence[torch.Generator]) -> OwnNetworks:
        """One network for each architecture; see the base class."""
        child = self.without_weights()
        for actions, generator in zip(architectures.tolist(), generators, strict=True):
            child.networks.append(self.built(actions, drawn(generator)))
        return child

    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        """Score a minibatch; see the base class."""
        seed = 0 if generator is None or not self.training else drawn(generator)
        task, targets = self.task, batch.targets
        losses, correct, predictions = [], [], []
        for number, actions in enumerate(architectures.tolist()):
            with seeded(seed, batch.inputs.device), self.as_one(number, actions) as network:
                outputs = network(batch.inputs)
            if refusal := task.refusal(outputs, targets):
                raise ValueError(f"the network {refusal}")
            losses.append(task.total_loss(outputs, targets))
            correct.append(task.correct(outputs, targets))
            if task.keeps_predictions and not self.training:
                predictions.append(outputs.detach())
        right = [one for one in correct if one is not None]
        return ChildScore(
            torch.stack(losses),
            len(targets),
            torch.stack(right) if right else None,
            None,
            *((torch.stack(predictions), targets) if predictions else ()),
        )

    def measure(self, score: ChildScore) -> dict[str, Tensor]:
        """Loss, accuracy where there are classes, and what else was asked for."""
        found = {LOSS.name: score.loss_sum / score.count}
        if score.correct is not None:
            found[ACCURACY.name] = score.correct / score.count
        if score.predictions is not None and score.targets is not None:
            found |= self.task.measure(score.predictions, score.targets)
        return found

    def mixed_loss(
        self,
        model: nn.Module,
        batch: Batch,
        weights: Mapping[Part, Tensor],
        generator: torch.Generator | None,
    ) -> RelaxedLoss:
        """The loss of a model whose parts are mixtures, each by its weights `(options,)`."""
        seed = 0 if generator is None or not self.training else drawn(generator)
        with seeded(seed, batch.inputs.device), weighing(weights):
            outputs = model(batch.inputs)
        if refusal := self.task.refusal(outputs, batch.targets):
            raise ValueError(f"the network {refusal}")
        loss = self.task.total_loss(outputs, batch.targets) / len(batch.targets)
        return RelaxedLoss(loss, torch.zeros_like(loss), None)

    @contextmanager
    def as_one(self, number: int, actions: Sequence[int]) -> Iterator[nn.Module]:
        """Within it, what computes one of the architectures: the network of its number."""
        yield self.networks[number]

    def network(self, architecture: Sequence[int], place: int = 0) -> nn.Module:
        """A copy of one of the networks, which are ordinary modules; see the base class."""
        return copy.deepcopy(self.networks[place]).eval()

    def clip_gradients(self, limit: float) -> None:
        """Scale each network's gradient down to norm `limit`."""
        for network in self.networks:
            nn.utils.clip_grad_norm_(network.parameters(), limit)


def drawn(generator: torch.Generator) -> int:
    """A seed from a generator."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))
