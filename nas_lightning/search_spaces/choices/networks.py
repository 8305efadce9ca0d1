"""Classifiers of a user's own, each with its own weights, trained side by side."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces import RelaxedLoss
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import ACCURACY, LOSS, ChildNetwork, ChildScore
from nas_lightning.search_spaces.choices.parts import Part, weighing
from nas_lightning.search_spaces.choices.recipe import seeded


class OwnNetworks(ChildNetwork):
    """What networks of a user's own have in common, shared weights or not.

    They give logits `(B, num_classes)`, and are scored by cross-entropy. What they draw in training
    is the same for all architectures: one seed for each minibatch.

    Args:
        space: Whose architectures they are.
        num_classes: Classes of the data.
    """

    shares_weights = False
    metrics = (LOSS, ACCURACY)
    counts = "examples"

    def __init__(self, *, space: SearchSpace, num_classes: int) -> None:
        super().__init__()
        self.space = space
        self.num_classes = num_classes
        self.networks = nn.ModuleList()

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
        losses, correct = [], []
        for number, actions in enumerate(architectures.tolist()):
            with seeded(seed, batch.inputs.device), self.as_one(number, actions) as network:
                logits = network(batch.inputs)
            if refusal := self.other_shape(logits, len(batch.targets)):
                raise ValueError(f"the network {refusal}")
            losses.append(F.cross_entropy(logits, batch.targets, reduction="sum"))
            correct.append((logits.argmax(dim=1) == batch.targets).sum())
        return ChildScore(torch.stack(losses), len(batch.targets), torch.stack(correct), None)

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
            logits = model(batch.inputs)
        if refusal := self.other_shape(logits, len(batch.targets)):
            raise ValueError(f"the network {refusal}")
        loss = F.cross_entropy(logits, batch.targets)
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

    def other_shape(self, logits: object, examples: int) -> str | None:
        """What is wrong with what a network gives; None if it is logits for every example."""
        wanted = (examples, self.num_classes)
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if shape == wanted:
            return None
        return (
            f"gives {shape} for {examples} examples of {self.num_classes} classes, must give "
            f"logits {wanted}"
        )


def drawn(generator: torch.Generator) -> int:
    """A seed from a generator."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))
