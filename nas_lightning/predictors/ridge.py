"""Ridge regression on decisions and on pairs of decisions, in closed form.

Two architectures that agree in s decisions have s one-hot features in common, and s (s - 1) / 2
pairs of them. So the features need not be written out: their inner products are all that ridge
regression asks for, and the posterior of the same model gives the spread.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.errors import require_bool
from nas_lightning.predictors.base import Prediction, Predictor, one_hot, require_points, shares
from nas_lightning.search_spaces.base import SearchSpace

PENALTIES = torch.logspace(-3, 4, 22, dtype=torch.float64)
"""Among which the one of the least error, each left out once, is taken."""


class Ridge(Predictor):
    """A weight for every option of every decision, and for every pair of them.

    Args:
        space: Whose architectures are predicted.
        pairs: Whether pairs have weights.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, space: SearchSpace, pairs: bool) -> None:
        require_bool("pairs", pairs)
        self.space = space
        self.pairs = pairs

    def fit(self, architectures: Tensor, values: Tensor, generator: torch.Generator) -> None:
        """See the base class. Nothing is random."""
        require_points(values)
        self._known = self._features(architectures)
        self._mean = values.mean()
        residuals = values - self._mean
        eigenvalues, vectors = torch.linalg.eigh(self._products(self._known))
        inverses = 1 / (eigenvalues.clamp_min(0) + PENALTIES.unsqueeze(1))  # (penalties, N)
        weights = (inverses * (vectors.T @ residuals)) @ vectors.T
        left_out = weights / (inverses @ (vectors.T**2))  # each one's error without itself
        errors = left_out.square().mean(dim=1)
        best = int(errors.argmin())
        self._weights = weights[best]
        self._inverse = vectors * inverses[best] @ vectors.T
        self._scale = errors[best] / PENALTIES[best]

    def predict(self, architectures: Tensor) -> Prediction:
        """See the base class."""
        asked = self._features(architectures)
        products = self._products(asked)
        own = self._own(asked)
        explained = (products @ self._inverse * products).sum(dim=1)
        variance = self._scale * (own - explained).clamp_min(0)
        return Prediction(self._mean + products @ self._weights, variance.sqrt())

    def _features(self, architectures: Tensor) -> tuple[Tensor, Tensor]:
        return one_hot(self.space, architectures), shares(self.space, architectures)

    def _products(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """Inner products with those that were fitted, `(M, N)`."""
        (asked, kinds), (known, known_kinds) = features, self._known
        return self._with_pairs(asked @ known.T) + kinds @ known_kinds.T

    def _own(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """Inner products with themselves, `(M,)`."""
        chosen, kinds = features
        return self._with_pairs(chosen.sum(dim=1)) + kinds.square().sum(dim=1)

    def _with_pairs(self, common: Tensor) -> Tensor:
        return common + common * (common - 1) / 2 if self.pairs else common
