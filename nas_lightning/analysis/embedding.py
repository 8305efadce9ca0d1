"""Whether architectures that are alike have embeddings that are near each other.

Adam & Lorraine 2019 asked it with Spearman's rank correlation over all pairs. It ignores scale: it
reads a difference in the tenth digit like a large one. So `state_spread` stands beside it, and so
does a code that knows the architecture exactly, the one-hot code of all decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from threadpoolctl import threadpool_limits
from torch import Tensor

from nas_lightning.analysis.similarity import one_hot

Floats = NDArray[np.float64]

SATURATED = 0.9
"""From this |h| on a unit is called saturated: the slope of tanh, 1 - h², is below a fifth."""

QUANTILE = 1.96
"""Of the normal distribution, for intervals that hold the true value 95 times of 100."""


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation of two things known of every pair of architectures.

    Attributes:
        value: The correlation; NaN where it is undefined, because one of the two is constant.
        low: Lower end of its 95 % interval.
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
    embeddings: Mapping[str, Tensor], similarities: Mapping[str, Tensor]
) -> dict[str, dict[str, Agreement]]:
    """Spearman's correlation of L2 distances between embeddings with similarities.

    The right sign is negative for what is counted in common, positive for distances. Pairs for
    which one of the similarities is not finite are left out of all.

    The interval is over architectures, not over pairs: two pairs that share an architecture are
    not independent, and all others are (Aronow, Samii & Assenova 2015, on dyadic data). It is
    symmetric in the correlation's artanh (Fisher), and holds from some hundred architectures on.
    A bootstrap over architectures makes it half as wide again where distances know little of
    similarity: of architectures drawn c and d times the pair is there c d times.

    Args:
        embeddings: Name -> `(M, H)`.
        similarities: Name -> symmetric `(M, M)`.

    Returns:
        Name of the embedding -> name of the similarity -> the correlation.
    """
    size = len(next(iter(similarities.values())))
    one, other = np.triu_indices(size, k=1)
    alike = [m.detach().cpu().double().numpy()[one, other] for m in similarities.values()]
    with threadpool_limits(1):  # small matrices: more threads would only wait for each other
        far = [pdist(e.detach().cpu().double().numpy()) for e in embeddings.values()]
    known = np.isfinite(alike).all(axis=0)
    members = one[known], other[known]
    distances = {name: _Ranks.of(pairs[known]) for name, pairs in zip(embeddings, far, strict=True)}
    measures = {
        name: _Ranks.of(pairs[known]) for name, pairs in zip(similarities, alike, strict=True)
    }
    return {
        name: {of: _agreement(x, y, members) for of, y in measures.items()}
        for name, x in distances.items()
    }


@dataclass(frozen=True)
class _Ranks:
    """Ranks of one quantity over all pairs, ties averaged.

    Attributes:
        levels: For each pair how many different values are smaller.
        scores: Its rank, with mean 0 and mean square 1; NaN if all pairs are equal.
        scale: What the ranks, as fractions of all, were divided by.
    """

    levels: NDArray[np.int64]
    scores: Floats
    scale: float

    @classmethod
    def of(cls, pairs: Floats) -> _Ranks:
        levels = np.unique(pairs, return_inverse=True)[1]
        times = np.bincount(levels)
        if len(times) < 2:
            return cls(levels, np.full(len(pairs), np.nan), np.nan)
        ranks = (np.cumsum(times) - times / 2) / len(pairs) - 0.5
        scale = float(np.sqrt(ranks**2 @ times / len(pairs)))
        return cls(levels, (ranks / scale)[levels], scale)

    @cached_property
    def own(self) -> Floats:
        """How half of `sum(self.scores**2)` moves with a pair's weight."""
        return self.scores**2 / 2 + self.moved(self.scores)

    def moved(self, scores: Floats) -> Floats:
        """How `sum(self.scores * scores)` moves, beside the pair's own term, with a pair's weight.

        A pair lifts the ranks of all that are greater, and by half of those that are equal.
        """
        sums = np.bincount(self.levels, scores)
        above: Floats = sums.sum() - np.cumsum(sums) + sums / 2
        return above[self.levels] / (self.scale * len(scores))


def _agreement(x: _Ranks, y: _Ranks, members: tuple[NDArray[np.int64], ...]) -> Agreement:
    """The correlation of two quantities of the same pairs.

    Args:
        x: The one.
        y: The other.
        members: The first architecture of every pair, and the second.
    """
    value = float((x.scores * y.scores).mean().clip(-1, 1)) if len(x.scores) else np.nan
    if not -1 < value < 1:  # perfect or undefined: nothing varies
        return Agreement(value, value, value)
    influence = _influence(x, y, value)
    size = max(map(np.max, members)) + 1
    of_each = np.sum([np.bincount(m, influence, minlength=size) for m in members], axis=0)
    alone = float(influence @ influence)
    variance = max(float(of_each @ of_each) - alone, alone) / len(influence) ** 2
    half = QUANTILE * np.sqrt(variance) / (1 - value**2)
    low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
    return Agreement(value, float(low), float(high))


def _influence(x: _Ranks, y: _Ranks, value: float) -> Floats:
    """How the correlation `value` moves with the weight of each pair, times their number."""
    influence: Floats = x.scores * y.scores + x.moved(y.scores) + y.moved(x.scores)
    for ranks in (x, y):
        influence -= value * ranks.own
    return influence
