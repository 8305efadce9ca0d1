"""Whose architectures, whose weights? A difference between two searches, taken apart.

Under shared weights each controller's architectures are usually judged by the weights that were
trained for them. Judged under the other's weights too, the difference has two parts: what the
architectures contribute and what the weights do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Decomposition:
    """What the difference between two searches, each under its own weights, is made of.

    Attributes:
        total: `Y[one, one] - Y[other, other]`.
        architectures: The share of whose architectures they are, averaged over whose weights.
        weights: The share of whose weights judge, averaged over whose architectures. The two
            shares add up to the total.
        interaction: Half of what the architectures' difference is more under `one`'s weights than
            under `other`'s: how far either is at home.
    """

    total: float
    architectures: float
    weights: float
    interaction: float

    @property
    def abroad(self) -> float:
        """The difference under the other's weights, `Y[one, other] - Y[other, other]`.

        Where the other is random search these weights have served all architectures alike. The main
        effect `architectures` is no such judge: it also counts how badly the other's
        architectures do under weights that were trained for `one`'s, which any fixed set brings
        about, be it a single random architecture.
        """
        return self.architectures - self.interaction

    @property
    def at_home(self) -> float:
        """What `one`'s architectures gain from its own weights, `Y[one, one] - Y[one, other]`.

        With `abroad` it adds up to the total.
        """
        return self.weights + self.interaction


def decompose(y: Sequence[Sequence[float]]) -> Decomposition:
    """Take a 2 x 2 table apart, as the main effects of a two-way layout; L is one, R the other.

        architectures = 1/2 (Y[L,L] - Y[R,L] + Y[L,R] - Y[R,R])
        weights       = 1/2 (Y[L,L] - Y[L,R] + Y[R,L] - Y[R,R])
        interaction   = 1/2 (Y[L,L] - Y[R,L] - Y[L,R] + Y[R,R])

    Args:
        y: `y[c][w]`: mean loss, nats per token, of the architectures of controller c under the
            weights trained with controller w.
    """
    (ll, lr), (rl, rr) = y
    return Decomposition(
        total=ll - rr,
        architectures=(ll - rl + lr - rr) / 2,
        weights=(ll - lr + rl - rr) / 2,
        interaction=(ll - rl - lr + rr) / 2,
    )


def weighted_mean(losses: Tensor, counts: Tensor) -> float:
    """The mean loss of a sample whose duplicates were scored once.

    Args:
        losses: Of the distinct architectures `(U,)`.
        counts: How often each was drawn `(U,)`.
    """
    return float((losses.double() * counts).sum() / counts.sum())


def weighted_median(losses: Tensor, counts: Tensor) -> float:
    """The median likewise; of an even sample the lower of the two in the middle."""
    return float(torch.repeat_interleave(losses, counts).median())
