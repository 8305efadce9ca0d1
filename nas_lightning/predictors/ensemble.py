"""Several predictors of one kind, each on another part of what was judged.

PNAS has five, each on four fifths (Liu et al. 2018, section 4.2).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from nas_lightning.errors import require_whole
from nas_lightning.predictors.base import Prediction, Predictor, require_points


class Ensemble(Predictor):
    """Members; the prediction is their mean, the spread their standard deviation.

    Args:
        member: What they are copies of.
        members: How many, n: each is fitted without another n-th part.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, member: Predictor, members: int) -> None:
        require_whole("members", members, at_least=2)
        self.members = [copy.deepcopy(member) for _ in range(members)]

    def fit(self, architectures: Tensor, values: Tensor, generator: torch.Generator) -> None:
        """See the base class. Of too few to leave a part out all members get all."""
        require_points(values)
        n = len(self.members)
        place = torch.randperm(len(values), generator=generator)
        for number, member in enumerate(self.members):
            kept = place % n != number
            if len(values) < 2 * n:
                kept = torch.ones_like(kept)
            member.fit(architectures[kept], values[kept], generator)

    def predict(self, architectures: Tensor) -> Prediction:
        """See the base class."""
        each = torch.stack([member.predict(architectures).mean for member in self.members])
        return Prediction(each.mean(dim=0), each.std(dim=0, correction=0))
