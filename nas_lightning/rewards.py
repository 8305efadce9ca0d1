"""Rewards: functions of an evaluation, `(M,)` numbers of which more is better.

A reward names the metric that it needs, so that a search can be refused before it starts.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from nas_lightning.errors import require_number
from nas_lightning.estimators.base import Evaluation


class Reward(Protocol):
    """What the search asks of a reward."""

    @property
    def metric(self) -> str | None:
        """What it needs; None for the objective, whatever that is."""

    def __call__(self, evaluation: Evaluation) -> Tensor:
        """Rewards `(M,)`."""


class Objective:
    """R = the objective, or minus it where less is better: for any metric.

    Args:
        scale: Factor on it.
    """

    metric = None

    def __init__(self, *, scale: float) -> None:
        require_number("scale", scale, above=0)
        self.scale = scale

    def __call__(self, evaluation: Evaluation) -> Tensor:
        """Rewards `(M,)`; the least of the finite ones, or 0, where it is not a number."""
        rewards = self.scale * evaluation.objective.sign * evaluation.values
        finite = torch.isfinite(rewards)
        least = torch.where(finite, rewards, torch.inf).min()
        return torch.where(finite, rewards, torch.where(finite.any(), least, 0.0))


class InversePerplexity:
    """R = scale / perplexity (Pham et al. 2018, section 3.1: scale 80).

    Args:
        scale: c. It scales the gradient of the policy, against the entropy's.
    """

    metric = "perplexity"

    def __init__(self, *, scale: float) -> None:
        require_number("scale", scale, above=0)
        self.scale = scale

    def __call__(self, evaluation: Evaluation) -> Tensor:
        """Rewards `(M,)`; 0 where the perplexity is not a number."""
        return torch.nan_to_num(self.scale / evaluation.of(self.metric), nan=0.0)


class AccuracyPower:
    """R = accuracy ** power (Zoph & Le 2017, section 4.1: the cube).

    Args:
        power: Above 1, differences between good architectures count for more.
    """

    metric = "accuracy"

    def __init__(self, *, power: float) -> None:
        require_number("power", power, above=0)
        self.power = power

    def __call__(self, evaluation: Evaluation) -> Tensor:
        """Rewards `(M,)`; 0 where there is no accuracy."""
        return torch.nan_to_num(evaluation.of(self.metric), nan=0.0) ** self.power
