"""What a search makes of a predictor: ranks, and how far they can be trusted."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nas_lightning.predictors.base import Prediction, Predictor

AT_ONCE = 4096
"""Architectures that are predicted in one call; bounds memory."""


class Ranker:
    """A predictor whose predictions are numbers, whatever it gives.

    Args:
        predictor: What predicts, or what makes it.
    """

    def __init__(self, predictor: Predictor | partial[Any]) -> None:
        # One of a user's that asks for nothing has not been made yet.
        self.predictor = predictor() if isinstance(predictor, partial) else predictor
        self._said = False

    def fit(self, architectures: Tensor, values: Tensor, seed: int) -> None:
        """Fit anew; see `Predictor.fit`."""
        self.predictor.fit(architectures, values, torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def predict(self, architectures: Tensor) -> Prediction:
        """What is expected; an architecture for which there is no number is the last of all."""
        parts = [self.predictor.predict(rows) for rows in architectures.split(AT_ONCE)]
        mean = torch.cat([part.mean for part in parts])
        spread = torch.cat([part.spread for part in parts])
        bad = ~(mean.isfinite() & spread.isfinite())
        if bool(bad.any()) and not self._said:
            self._said = True
            name = type(self.predictor).__name__
            print(
                f"controller.predictor: {name} gives no number for {int(bad.sum())} of "
                f"{len(bad)} architectures, which are ranked last",
                file=sys.stderr,
            )
        mean, spread = mean.double(), spread.double()
        return Prediction(mean.masked_fill(bad, -torch.inf), spread.masked_fill(bad, 0))


def quality(prediction: Prediction, values: Tensor, prefix: str) -> dict[str, float]:
    """How well architectures that were not fitted are ranked, and what the spread is worth.

    Args:
        prediction: Of these architectures.
        values: Theirs, `(M,)`.
        prefix: Before the names.

    Returns:
        `spearman` between mean and value, and `spread_spearman` between spread and absolute error,
        each where it is defined.
    """
    good = prediction.mean.isfinite() & values.isfinite()
    mean, spread, values = prediction.mean[good], prediction.spread[good], values[good]
    found = {
        f"{prefix}/spearman": spearman(mean, values),
        f"{prefix}/spread_spearman": spearman(spread, (mean - values).abs()),
    }
    return {name: value for name, value in found.items() if value is not None}


def spearman(one: Tensor, other: Tensor) -> float | None:
    """Spearman's rank correlation; None where one of both has no ranks."""
    from scipy import stats

    if len(one) < 3 or one.unique().numel() < 2 or other.unique().numel() < 2:
        return None
    return float(stats.spearmanr(one.numpy(), other.numpy()).statistic)
