"""The contract of a controller that relaxes: weights over options instead of a choice among them.

Differentiable search (Liu et al. 2019, "DARTS") trains a network that computes every option, each
times its weight, and takes gradients of the loss by the weights. A relaxation says what the weights
are; the steps are taken by `engine/relaxation.py`. As a policy it is a product of distributions: a
decision is drawn by the expected weights of its options. What it derives is their greatest.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from nas_lightning.controllers.base import Rollout
from nas_lightning.controllers.early_stop import EarlyStop
from nas_lightning.controllers.policy import SequentialPolicy, State
from nas_lightning.errors import require, require_bool, require_number, require_optimizer
from nas_lightning.estimators.base import OptimizerFactory
from nas_lightning.search_spaces.base import SearchSpace

TINY = 1e-30
"""Weights are taken to be at least this where their logarithm is needed."""


class Relaxation(SequentialPolicy):
    """Weights of options, which gradients move.

    Args:
        space: What is searched; its groups are what is normalised together.
        optimizer: Makes the optimizer of the logits.
        order: 1: the gradient of the validation loss at the present shared weights. 2: after one
            more step of them, whose own dependence on the logits counts, too.
        epsilon: Of the finite difference of the second order: divided by the norm of the gradient
            it is how far the shared weights are shifted there and back.
        init_scale: Standard deviation of the logits at the start.
        as_published: Whether the second order departs from the exact gradient where the published
            code does: passes of one difference draw different dropout and change running
            statistics, and the factor of the clipped step is not capped at 1.
        early_stop: What is measured while it runs, and when it stops; None for nothing.

    Raises:
        ValueError: If an argument is outside what is allowed.

    Attributes:
        dense: Whether no weight is ever 0, and every option is computed at every step.
    """

    dense = True

    def __init__(
        self,
        *,
        space: SearchSpace,
        optimizer: OptimizerFactory,
        order: int,
        epsilon: float,
        init_scale: float,
        as_published: bool,
        early_stop: EarlyStop | None,
    ) -> None:
        require_optimizer("optimizer", optimizer)
        require(order in (1, 2) and type(order) is int, "order", order, "1 or 2")
        require_number("epsilon", epsilon, above=0)
        require_number("init_scale", init_scale, above=0)
        require_bool("as_published", as_published)
        super().__init__(space=space, init_range=init_scale, temperature=None, tanh_constant=None)
        self.make_optimizer = optimizer
        self.order = order
        self.epsilon = epsilon
        self.init_scale = init_scale
        self.as_published = as_published
        self.early_stop = early_stop

    def _allocate(self) -> None:
        self.groups = self.space.groups
        self.logits = nn.Parameter(torch.zeros(sum(self.groups.sizes)))

    # Its logits are a part of the network that it mixes, and lie where the network's weights do.
    _apply = nn.Module._apply

    @property
    def as_relaxation(self) -> Relaxation:
        """Itself."""
        return self

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the logits anew, normal around 0."""
        with torch.no_grad():
            self.logits.normal_(std=self.init_scale, generator=generator)

    @abstractmethod
    def weights(self, epoch: int, generator: torch.Generator) -> Tensor:
        """The weights `(N,)` of the next minibatch, differentiable by the logits.

        Args:
            epoch: Counted from 0.
            generator: A generator on the CPU, for all that is drawn.
        """

    def expected(self) -> Tensor:
        """What the weights `(N,)` are on average: by default the softmax of each group."""
        return self.groups.softmax(self.logits)

    @torch.no_grad()
    def derived(self) -> list[int]:
        """The architecture of the greatest expected weights."""
        weights = self.expected().cpu()
        chosen = torch.empty((1, 0), dtype=torch.int64)
        for places in self.groups.places[: len(self.space.decisions)]:
            open_ = self.space.open_options(chosen)
            of_options = weights[list(places)].masked_fill(~open_, -1)
            chosen = torch.cat([chosen, of_options.argmax(dim=1, keepdim=True)], dim=1)
        return [int(action) for action in chosen[0]]

    def candidates(self, n: int, generator: torch.Generator) -> Rollout:
        """The derived architecture, and others drawn."""
        drawn = self.ask(n, generator).architectures[1:]
        return self.evaluate(torch.cat([drawn.new_tensor([self.derived()]), drawn]))

    @property
    def _device(self) -> torch.device:
        """Where decisions are drawn and looked up: on the processor, wherever the weights are."""
        return torch.device("cpu")

    def _start(self, n: int) -> State:
        return []

    def _logits(self, t: int, state: State) -> Tensor:
        of_options = self.expected().cpu()[list(self.groups.places[t])]
        return of_options.clamp_min(TINY).log().unsqueeze(0)

    def _advance(self, t: int, action: Tensor, state: State) -> State:
        return []
