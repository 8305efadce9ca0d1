"""Whether architectures that are alike have embeddings that are near each other.

Adam & Lorraine 2019 asked it with Spearman's rank correlation over all pairs. It ignores scale: it
reads a difference in the tenth digit like a large one. So `state_spread` stands beside it, and so
does a code that knows the architecture exactly, the one-hot code of all decisions.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from threadpoolctl import threadpool_limits
from torch import Tensor

from nas_lightning.analysis.similarity import one_hot
from nas_lightning.errors import require_whole

Floats = NDArray[np.float64]

SATURATED = 0.9
"""From this |h| on a unit is called saturated: the slope of tanh, 1 - h², is below a fifth."""

LEVEL = 0.95
"""How often a confidence interval shall hold the true value: the custom."""


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation of two things known of every pair of architectures.

    Attributes:
        value: The correlation; NaN where it is undefined, because one of the two is constant.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class StateSpread:
    """How much states say at all.

    Attributes:
        std: Standard deviation between architectures: root of the variance averaged over units.
        saturated: Fraction of the entries with `|h| > SATURATED`.
    """

    std: float
    saturated: float


def embeddings(hidden_states: Tensor | None, architectures: Tensor) -> dict[str, Tensor]:
    """What may be called the embedding of an architecture, by name.

    Args:
        hidden_states: `(M, T + 1, H)` of `controllers.base.Rollout`; None without recurrence.
        architectures: int64 `(M, T)`.

    Returns:
        `before_last` `(M, H)`: the state from which the last decision is drawn, which Adam &
        Lorraine 2019 used and which cannot hold that decision; `final` `(M, H)`: the state after
        it; `mean` `(M, H)` of all states; `all` `(M, (T + 1) H)`; and `one_hot`, the reference,
        which alone is there without recurrence.
    """
    reference = {"one_hot": one_hot(architectures)}
    if hidden_states is None:
        return reference
    return {
        "before_last": hidden_states[:, -2],
        "final": hidden_states[:, -1],
        "mean": hidden_states.mean(dim=1),
        "all": hidden_states.flatten(start_dim=1),
        **reference,
    }


def state_spread(states: Tensor) -> StateSpread:
    """Standard deviation between architectures and saturated fraction of states `(M, H)`."""
    states = states.detach().double()
    return StateSpread(
        std=float(states.var(dim=0, correction=0).mean().sqrt()),
        saturated=float((states.abs() > SATURATED).double().mean()),
    )


def agreement(
    embeddings: Mapping[str, Tensor],
    similarities: Mapping[str, Tensor],
    *,
    resamples: int,
    generator: torch.Generator,
) -> dict[str, dict[str, Agreement]]:
    """Spearman's correlation of L2 distances between embeddings with similarities.

    The right sign is negative for what is counted in common, positive for distances. Pairs for
    which one of the similarities is not finite are left out of all.

    The interval is a percentile bootstrap over architectures, not over pairs: those of one
    architecture are not independent. Pairs of an architecture with itself, which resampling makes,
    are left out; of architectures drawn c and d times the pair is there c d times. Resamples in
    which the correlation is undefined are left out.

    Args:
        embeddings: Name -> `(M, H)`.
        similarities: Name -> symmetric `(M, M)`.
        resamples: How often the architectures are resampled; 0 for no interval, which is then NaN.
        generator: Where resamples are drawn from, on the CPU.

    Returns:
        Name of the embedding -> name of the similarity -> the correlation.
    """
    require_whole("resamples", resamples, at_least=0)
    size = len(next(iter(similarities.values())))
    one, other = np.triu_indices(size, k=1)
    alike = [m.detach().cpu().double().numpy()[one, other] for m in similarities.values()]
    far = [pdist(e.detach().cpu().double().numpy()) for e in embeddings.values()]
    known = np.isfinite(alike).all(axis=0)
    one, other = one[known], other[known]
    far_levels = [_levels(pairs[known]) for pairs in far]
    alike_levels = [_levels(pairs[known]) for pairs in alike]

    def correlations(times: Floats) -> Floats:
        """`(embeddings, similarities)`, where architecture m is there times[m] times."""
        weights = times[one] * times[other]
        rows = np.array([_ranks(levels, weights) for levels in far_levels])
        columns = np.array([_ranks(levels, weights) for levels in alike_levels])
        products: Floats = (rows * weights) @ columns.T
        if not weights.any():
            products[:] = np.nan  # a sum over nothing would be 0
        return products.clip(-1, 1)  # rounding may lead beyond

    drawn = torch.randint(size, (resamples, size), generator=generator).numpy()
    with threadpool_limits(1):  # small matrices: more threads would only wait for each other
        values = correlations(np.ones(size))
        again = [correlations(np.bincount(row, minlength=size).astype(float)) for row in drawn]
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # if all are NaN
        ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low, high = np.nanquantile(again or [values * np.nan], ends, axis=0)
    return {
        name: {
            of: Agreement(float(values[i, k]), float(low[i, k]), float(high[i, k]))
            for k, of in enumerate(similarities)
        }
        for i, name in enumerate(embeddings)
    }


def _levels(pairs: Floats) -> NDArray[np.int64]:
    """For each entry how many different values are smaller."""
    levels: NDArray[np.int64] = np.unique(pairs, return_inverse=True)[1]
    return levels


def _ranks(levels: NDArray[np.int64], weights: Floats) -> Floats:
    """Ranks, ties averaged, where each entry is there `weights` times; weighted mean 0, norm 1.

    The product of two such, weighted, is Spearman's correlation. NaN if all entries are equal.
    """
    times = np.bincount(levels, weights)
    if np.count_nonzero(times) < 2:
        return np.full(len(levels), np.nan)
    ranks = np.cumsum(times) - times / 2  # up to a constant
    ranks -= ranks @ times / times.sum()
    ranks /= np.sqrt(ranks**2 @ times)
    return ranks[levels]
