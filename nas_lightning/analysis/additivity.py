"""How much of a table of all architectures its decisions explain one by one, and in pairs.

What single decisions explain a policy without memory can learn; what is left says whether it can
pay at all to condition a decision on those before it. All architectures are there once, so that the
analysis of variance of a balanced design takes the values apart exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor


class Additivity(NamedTuple):
    """Of what a table's variance is made.

    Attributes:
        main: The share that decisions explain one by one, R² of the main effects.
        pairs: The share that they explain with all their pairs.
        best: The value of the architecture that is the best by main effects alone.
    """

    main: float
    pairs: float
    best: float


def additivity(values: Tensor, num_choices: Sequence[int]) -> Additivity:
    """Take the values of all architectures apart; the greater they are the better.

    Args:
        values: In the order of `SearchSpace.architectures`, `(size,)`.
        num_choices: Options of each decision, whose product is the size: no option is ever closed.

    Raises:
        ValueError: If it is not.
    """
    table = values.double().reshape(tuple(num_choices))
    rest = table - table.mean()
    total = rest.square().mean()
    places = range(table.ndim)
    effects = {t: _mean_over(rest, [p for p in places if p != t]) for t in places}
    main = sum(effects[t].square().mean() for t in places)
    pairs = torch.zeros_like(total)
    for one, other in combinations(places, 2):
        both = _mean_over(rest, [p for p in places if p not in (one, other)])
        pairs += (both - effects[one] - effects[other]).square().mean()
    best = tuple(int(effects[t].argmax()) for t in places)
    return Additivity(float(main / total), float((main + pairs) / total), float(table[best]))


def _mean_over(table: Tensor, places: Sequence[int]) -> Tensor:
    return table.mean(dim=list(places), keepdim=True) if places else table
