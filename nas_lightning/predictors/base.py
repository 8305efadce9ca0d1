"""The contract of a predictor: fit what was judged, predict what was not.

A predictor knows no search. It is fitted anew whenever it is asked to, and what it is then depends
on nothing but the architectures, their values and the generator, so that no checkpoint holds it: a
resumed search fits it again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from nas_lightning.search_spaces.base import SearchSpace


class Prediction(NamedTuple):
    """What is expected of M architectures.

    Attributes:
        mean: The expected value, float64 `(M,)`.
        spread: How uncertain that is, in the same unit, float64 `(M,)`.
    """

    mean: Tensor
    spread: Tensor


class Predictor(ABC):
    """Predicts values of architectures; the greater the better.

    Args of both methods are on the CPU. Architectures are int64 `(M, t)`: they may be beginnings,
    of t decisions, and -1 stands where a decision has not been made.
    """

    @abstractmethod
    def fit(self, architectures: Tensor, values: Tensor, generator: torch.Generator) -> None:
        """Learn from N judged architectures, and from nothing before.

        Args:
            architectures: `(N, t)`.
            values: Finite, float64 `(N,)`.
            generator: All that is random.

        Raises:
            ValueError: If there are fewer than two.
        """

    @abstractmethod
    def predict(self, architectures: Tensor) -> Prediction:
        """What is expected of architectures `(M, t)`."""


def require_points(values: Tensor) -> None:
    """Raise ValueError unless there are two finite values at least."""
    if len(values) < 2:
        raise ValueError(f"a predictor is fitted on 2 architectures at least, not on {len(values)}")
    if not bool(torch.isfinite(values).all()):
        raise ValueError("a predictor is fitted on finite values; leave the others out")


def one_hot(space: SearchSpace, architectures: Tensor) -> Tensor:
    """Every option of every decision: 1 where it is chosen, float64 `(M, options)`.

    A decision that has not been made has none.
    """
    choices = torch.tensor(space.largest.num_choices)
    first = choices.cumsum(dim=0) - choices
    whole = pad(architectures, (0, len(choices) - architectures.shape[1]), value=-1)
    found = torch.zeros(len(whole), int(choices.sum()) + 1, dtype=torch.float64)
    found.scatter_(1, torch.where(whole < 0, found.shape[1] - 1, whole + first), 1.0)
    return found[:, :-1]


def shares(space: SearchSpace, architectures: Tensor) -> Tensor:
    """How large a part of its decisions chooses each option of each kind, float64 `(M, options)`.

    By these a layer or a node that no architecture had so far is known by its like.
    """
    decisions = space.largest.decisions
    names = [(d.kind, choice) for d in decisions for choice in d.choices]
    place = {name: i for i, name in enumerate(dict.fromkeys(names))}
    kinds = torch.tensor([place[name] for name in names])
    chosen = one_hot(space, architectures)
    found = torch.zeros(len(chosen), len(place), dtype=torch.float64).index_add_(1, kinds, chosen)
    return found / chosen.sum(dim=1, keepdim=True).clamp_min(1)
