"""Metric: distances between final states follow distances between architectures.

The distance asked for is that of one-hot codes, sqrt(number of decisions in which two architectures
differ): a set of points in a Euclidean space, so that states can have exactly these distances.
Whoever judges a controller by correlating state distances with counts of equal decisions should
know that this loss trains on nearly that measure: it is a reference for what such a correlation can
come to, and has to be judged by others too (probes, equal parts of graphs, performance).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from nas_lightning.controllers.base import Controller
from nas_lightning.errors import require_number
from nas_lightning.estimators.base import OptimizerFactory
from nas_lightning.memories.states import StateMemory


class Metric(StateMemory):
    """Normalised stress between state distances and architecture distances.

    Stress, unlike a correlation, knows scale: it is 1 where all states are equal, so states cannot
    collapse, and with a target well within the reach of the units these need not saturate.

    Args:
        controller: What shall remember.
        max_epochs: Epochs of the run.
        recall_from: From this epoch on the loss is added.
        warmup: Steps on this loss alone before it is first added to the controller's.
        optimizer: Of these steps.
        batch_size: Architectures drawn at each step; all their pairs count.
        weight: Of the loss.
        scale: Root mean square difference of a unit between two architectures that differ in every
            decision. Units lie between -1 and 1.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        controller: Controller,
        max_epochs: int,
        recall_from: int,
        warmup: int,
        optimizer: OptimizerFactory,
        batch_size: int,
        weight: float,
        scale: float,
    ) -> None:
        super().__init__(
            controller=controller,
            max_epochs=max_epochs,
            recall_from=recall_from,
            warmup=warmup,
            optimizer=optimizer,
            batch_size=batch_size,
            weight=weight,
        )
        require_number("scale", scale, above=0, at_most=2)
        self.scale = scale

    def state_loss(self, states: Tensor, architectures: Tensor) -> Tensor:
        """Sum of squared differences of distances over sum of squared targets (Kruskal 1964)."""
        decisions = architectures.shape[1]
        differing = F.pdist(architectures.to(states), p=0)  # counts
        target = self.scale * (states.shape[1] * differing / decisions).sqrt()
        stress = (F.pdist(states) - target).square().sum()
        return stress / target.square().sum().clamp_min(1e-12)
