"""A random forest on one-hot decisions (Breiman 2001), that of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas_lightning.errors import require_number, require_whole
from nas_lightning.predictors.base import Prediction, Predictor, one_hot, require_points, shares
from nas_lightning.search_spaces.base import SearchSpace


class Forest(Predictor):
    """Trees; the spread is their standard deviation. A tree finds pairs by itself.

    Args:
        space: Whose architectures are predicted.
        trees: How many.
        features: Which part of the features a split chooses among.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, space: SearchSpace, trees: int, features: float) -> None:
        require_whole("trees", trees, at_least=1)
        require_number("features", features, above=0, at_most=1)
        self.space = space
        self.trees = trees
        self.features = features
        self._forest: Any = None

    def fit(self, architectures: Tensor, values: Tensor, generator: torch.Generator) -> None:
        """See the base class."""
        from sklearn.ensemble import RandomForestRegressor  # a second, which few searches need

        require_points(values)
        self._forest = RandomForestRegressor(
            n_estimators=self.trees,
            max_features=self.features,
            random_state=int(torch.randint(2**31, (), generator=generator)),
            n_jobs=1,
        )
        self._forest.fit(self._input(architectures), values.numpy())

    def predict(self, architectures: Tensor) -> Prediction:
        """See the base class."""
        rows = self._input(architectures)
        # Their own `predict`, without checking again for each tree what was made here.
        each = np.stack([tree.tree_.predict(rows)[:, 0] for tree in self._forest.estimators_])
        return Prediction(torch.from_numpy(each.mean(axis=0)), torch.from_numpy(each.std(axis=0)))

    def _input(self, architectures: Tensor) -> Any:
        parts = one_hot(self.space, architectures), shares(self.space, architectures)
        return torch.cat(parts, dim=1).float().numpy()
