"""What the rewards of architectures on minibatches are made of: two-way analysis of variance."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from nas_lightning.errors import require


class Components(NamedTuple):
    """Standard deviations of the parts of R_mb = mean + a_m + b_b + e_mb.

    R_mb is the reward of architecture m on minibatch b.

    Attributes:
        architecture: Of a, what a controller can learn.
        minibatch: Of b, which is the same for all architectures judged together.
        interaction: Of e, what still differs on a common minibatch.
    """

    architecture: float
    minibatch: float
    interaction: float


def components(rewards: Tensor) -> Components:
    """The components of rewards `(M, B)`, M and B at least 2.

    From the mean squares of a two-way layout with one observation a cell (Searle, Casella &
    McCulloch 1992, section 4.3): estimates of variances without bias, but not below 0.
    """
    m, b = rewards.shape
    require(min(m, b) > 1, "shape", tuple(rewards.shape), "at least (2, 2)")
    rewards = rewards.double()
    rows, columns = rewards.mean(dim=1), rewards.mean(dim=0)
    rest = rewards - rows[:, None] - columns + rewards.mean()
    interaction = float(rest.square().sum()) / ((m - 1) * (b - 1))
    return Components(
        architecture=max(0.0, float(rows.var()) - interaction / b) ** 0.5,
        minibatch=max(0.0, float(columns.var()) - interaction / m) ** 0.5,
        interaction=interaction**0.5,
    )
