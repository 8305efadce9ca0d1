"""Relaxations: what the weights of the options are at a step. Each is one small class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_lightning.controllers.early_stop import EarlyStop
from nas_lightning.controllers.relaxation import TINY, Relaxation
from nas_lightning.errors import require_number, require_whole
from nas_lightning.estimators.base import OptimizerFactory
from nas_lightning.search_spaces.base import SearchSpace


class DARTS(Relaxation):
    """The softmax of each group (Liu et al. 2019)."""

    def weights(self, epoch: int, generator: torch.Generator) -> Tensor:
        """The expected weights; nothing is drawn."""
        return self.expected()


class GDAS(Relaxation):
    """One option of each group, drawn by Gumbel noise (Dong & Yang 2019, "GDAS").

    Forward its weight is 1 and the others' 0; backward it is that of the softmax at a temperature
    that falls linearly from epoch to epoch. Options that were not drawn have no part in either.

    Args:
        temperature_start: In the first epoch.
        temperature_end: From epoch `epochs` on.
        epochs: How many there are.
        space: See `Relaxation`, as all below.
        optimizer: See there.
        order: See there.
        epsilon: See there.
        init_scale: See there.
        as_published: See there.
        early_stop: See there.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    dense = False

    def __init__(
        self,
        *,
        temperature_start: float,
        temperature_end: float,
        epochs: int,
        space: SearchSpace,
        optimizer: OptimizerFactory,
        order: int,
        epsilon: float,
        init_scale: float,
        as_published: bool,
        early_stop: EarlyStop | None,
    ) -> None:
        require_number("temperature_start", temperature_start, above=0)
        require_number("temperature_end", temperature_end, above=0)
        require_whole("epochs", epochs, at_least=1)
        super().__init__(
            space=space,
            optimizer=optimizer,
            order=order,
            epsilon=epsilon,
            init_scale=init_scale,
            as_published=as_published,
            early_stop=early_stop,
        )
        self.temperature_start = temperature_start
        self.temperature_end = temperature_end
        self.epochs = epochs

    def temperature_at(self, epoch: int) -> float:
        """The temperature in an epoch, counted from 0."""
        done = min(1.0, epoch / max(1, self.epochs - 1))
        return self.temperature_start + done * (self.temperature_end - self.temperature_start)

    def weights(self, epoch: int, generator: torch.Generator) -> Tensor:
        """A 1 in each group, whose gradient is that of the softmax at the present temperature."""
        noise = torch.empty(len(self.logits)).exponential_(generator=generator).clamp_min(TINY)
        noisy = self.groups.softmax(self.logits).log() - noise.log().to(self.logits)
        soft = self.groups.softmax(noisy / self.temperature_at(epoch))
        hard = torch.cat(
            [
                F.one_hot(group.argmax(), len(group)).to(soft)
                for group in noisy.detach().split(self.groups.sizes)
            ]
        )
        return hard * (soft - soft.detach() + 1)


class DrNAS(Relaxation):
    """Weights drawn from a Dirichlet distribution a group (Chen et al. 2021, "DrNAS").

    Its concentrations are elu(logits) + 1. What is drawn is differentiated by reparametrisation.
    """

    def concentrations(self) -> Tensor:
        """Of all options `(N,)`."""
        return (F.elu(self.logits) + 1).clamp_min(1e-6)

    def weights(self, epoch: int, generator: torch.Generator) -> Tensor:
        """A draw; gamma variates, normalised in each group."""
        drawn = torch._standard_gamma(self.concentrations().cpu(), generator=generator)
        return self.groups.normalised(drawn.clamp_min(TINY).to(self.logits))

    def expected(self) -> Tensor:
        """The mean of the distribution."""
        return self.groups.normalised(self.concentrations())
