"""The contract of a child network: what an architecture stands for, and how it is scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.metrics import Metric

LOSS = Metric(name="loss", unit="nats per target", direction="less")
PERPLEXITY = Metric(name="perplexity", unit="", direction="less")
ACCURACY = Metric(name="accuracy", unit="", direction="more")
PARAMETERS = Metric(name="parameters", unit="", direction="less")
MULTIPLY_ADDS = Metric(name="multiply_adds", unit="per input", direction="less")


@dataclass(frozen=True)
class ChildScore:
    """How M architectures did on one minibatch.

    Attributes:
        loss_sum: Summed negative log-likelihood of the targets, nats, `(M,)`.
        count: How many targets were scored, the same for all M.
        correct: How many were predicted right, `(M,)`, or None where that is not counted.
        state: What a recurrent child hands to the next minibatch, `(M, ...)`, or None.
        predictions: What was predicted, `(M, N, …)`, where a metric takes all of it together.
        targets: What it should have been, `(N, …)`, likewise.
    """

    loss_sum: Tensor
    count: int
    correct: Tensor | None
    state: Tensor | None
    predictions: Tensor | None = None
    targets: Tensor | None = None

    def __add__(self, later: ChildScore) -> ChildScore:
        """The score on both minibatches, with the later one's state."""
        counted = self.correct is not None and later.correct is not None
        return ChildScore(
            loss_sum=self.loss_sum + later.loss_sum,
            count=self.count + later.count,
            correct=self.correct + later.correct if counted else None,  # type: ignore[operator]
            state=later.state,
            predictions=joined(self.predictions, later.predictions, dim=1),
            targets=joined(self.targets, later.targets, dim=0),
        )


def joined(first: Tensor | None, second: Tensor | None, *, dim: int) -> Tensor | None:
    """Both, one after the other; None where one of them is."""
    return None if first is None or second is None else torch.cat([first, second], dim)


def side_by_side(scores: Sequence[ChildScore]) -> ChildScore:
    """The score of all architectures on a minibatch, of the scores of some of them each."""
    first, *others = scores
    found = replace(first, state=None)
    for other in others:
        found = replace(
            found,
            loss_sum=torch.cat([found.loss_sum, other.loss_sum]),
            correct=joined(found.correct, other.correct, dim=0),
            predictions=joined(found.predictions, other.predictions, dim=0),
        )
    return found


class ChildNetwork(nn.Module, ABC):
    """The network an architecture stands for, for M architectures at once under shared weights.

    In training mode (`self.training`) the regularisation is on and draws from the generator it is
    given; in evaluation mode scoring is deterministic.

    Attributes:
        shares_weights: Whether the network holds weights that all architectures can share. One
            that does not has weights only after `fresh`.
        metrics: What `measure` gives for its scores.
        cost_metrics: What `costs` gives.
        counts: What targets are called where they are counted: `tokens`, `images`.
        capturable: Whether a training step of the same architectures always does the same
            operations, and waits for none of them: then it can be a CUDA graph.
    """

    shares_weights = True
    capturable = False
    metrics: tuple[Metric, ...]
    cost_metrics: tuple[Metric, ...] = (PARAMETERS,)
    counts: str = "targets"

    @property
    def averages_statistics(self) -> bool:
        """Whether shared weights leave with an architecture only after `recalibrated`."""
        return False

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the shared weights anew."""
        raise TypeError(f"{type(self).__name__} has no shared weights")

    def preview(self, batch: Batch, *, shared: bool) -> str | None:
        """What is to be said of the networks before any is trained; nothing by default.

        Args:
            batch: A training minibatch.
            shared: Whether all architectures will share weights.

        Raises:
            UserError: If they cannot be trained on such minibatches.
        """
        return None

    @abstractmethod
    def fresh(self, architectures: Tensor, generators: Sequence[torch.Generator]) -> ChildNetwork:
        """A network of the same settings in which each architecture has weights of its own.

        Its `score` takes these architectures only, in this order.

        Args:
            architectures: int64 `(M, T)`.
            generators: Where the weights of each are drawn from, M of them.
        """

    @abstractmethod
    def clip_gradients(self, limit: float) -> None:
        """Scale the gradient down to norm `limit`, for each set of weights apart."""

    def recalibrated(self, architectures: Tensor, batches: Sequence[Batch]) -> ChildNetwork:
        """The network with normalisation statistics that are each architecture's own.

        Statistics that training has averaged over all sampled architectures suit those that were
        sampled often. The network that is returned, itself where nothing is normalised, is in
        evaluation mode, and its `score` takes these architectures only, in this order.

        Args:
            architectures: int64 `(M, T)`.
            batches: Training minibatches to take the statistics from.
        """
        return self

    @abstractmethod
    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        """Score one minibatch under M architectures in one call, differentiably, once.

        A network may use up what it holds in the first backward.

        Args:
            batch: The minibatch, the same for all.
            architectures: int64 `(M, T)`.
            state: What the call on the preceding minibatch returned, or None for the start.
            generator: Where dropout masks are drawn from; needed in training mode only.
        """

    def at_once(self, batch: Batch) -> int | None:
        """How many architectures are scored fastest in one call; None for as many as there are.

        Args:
            batch: A minibatch on which they are scored.
        """
        return None

    def measure(self, score: ChildScore) -> dict[str, Tensor]:
        """The declared metrics `(M,)` that follow from a score.

        Loss, perplexity and accuracy are known here; who declares another adds it to these.
        """
        loss = score.loss_sum / score.count
        known = {LOSS: loss, PERPLEXITY: loss.exp()}
        if score.correct is not None:
            known[ACCURACY] = score.correct / score.count
        return {metric.name: known[metric] for metric in self.metrics if metric in known}

    def network(self, architecture: Sequence[int], place: int = 0) -> nn.Module:
        """The plain module of one architecture: ordinary PyTorch, a copy, in evaluation mode.

        What it computes is what `score` judges in evaluation mode. Where it has a method `prepare`,
        that is handed what `Data.preparation` says, so that it can read raw inputs; where it has
        `example_inputs`, the module is exported with those.

        Args:
            architecture: A vector `(T,)`.
            place: After `fresh` and `recalibrated`, which of their architectures it is.
        """
        raise TypeError(f"{type(self).__name__} makes no plain module: it does not have `network`")

    @abstractmethod
    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """What the network of one architecture costs: the values of `cost_metrics`."""


@dataclass(frozen=True)
class RelaxedLoss:
    """How a relaxed network did on one minibatch.

    Attributes:
        loss: Mean negative log-likelihood of the targets, nats per target, a scalar.
        penalty: What training adds to it, a scalar.
        state: What a recurrent network hands to the next minibatch, or None.
    """

    loss: Tensor
    penalty: Tensor
    state: Tensor | None


class Relaxable(ABC):
    """What a child network can do beside, that computes all options at once, each by its weight."""

    @abstractmethod
    def relaxed_loss(
        self,
        batch: Batch,
        weights: Tensor,
        state: Tensor | None,
        generator: torch.Generator | None,
    ) -> RelaxedLoss:
        """The loss on one minibatch, differentiable by the network's parameters and the weights.

        An option of weight 0 need not be computed.

        Args:
            batch: The minibatch.
            weights: `(N,)`, in the order of `SearchSpace.groups`. They need not sum to one: at the
                weights 0 and 1 of an architecture the loss is that of `score`.
            state: What the call on the preceding minibatch returned, or None for the start.
            generator: Where regularisation draws from; needed in training mode only.
        """

    def relaxed_multiply_adds(self, weights: Tensor) -> int | None:
        """Multiply-adds of one input at weights `(N,)`; None where they are not known."""
        return None


def measured(child: ChildNetwork, score: ChildScore) -> dict[str, Tensor]:
    """The metrics `(M,)` of a score, all that the network declares.

    Raises:
        TypeError: If it does not measure one of them.
    """
    found = child.measure(score)
    missing = [metric.name for metric in child.metrics if metric.name not in found]
    if missing:
        raise TypeError(
            f"{type(child).__name__} declares {missing[0]}, and does not measure it: it must "
            "override measure"
        )
    return found


def score_all(child: ChildNetwork, batches: Sequence[Batch], architectures: Tensor) -> ChildScore:
    """Sum the scores of minibatches, the state carried from each to the one that continues it."""
    first, *rest = batches
    total = child.score(first, architectures)
    for batch in rest:
        state = total.state if batch.continues else None
        total = total + child.score(batch, architectures, state)
    return total
