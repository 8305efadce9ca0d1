"""The optimizers of a search, one for each side that learns, and steps on two losses at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller
from nas_lightning.estimators.base import Estimator
from nas_lightning.memories.base import Memory


def make_optimizers(
    estimator: Estimator, controller: Controller, memory: Memory
) -> dict[str, torch.optim.Optimizer]:
    """One optimizer for the shared weights, one for controller and memory, where there are any.

    Each group knows its `initial_lr`, from which schedules start.
    """
    made = {}
    if estimator.make_optimizer is not None:
        made["estimator"] = estimator.make_optimizer(estimator.parameters())
    if controller.learns and controller.make_optimizer is not None:
        parameters = [*controller.parameters(), *memory.parameters()]
        made["controller"] = controller.make_optimizer(parameters)
    for optimizer in made.values():
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
    return made


def add_up(parameters: Sequence[torch.nn.Parameter], *gradients: Sequence[Tensor | None]) -> None:
    """Give each parameter the sum of its gradients, None where it has none."""
    for parameter, *both in zip(parameters, *gradients, strict=True):
        there = [gradient for gradient in both if gradient is not None]
        parameter.grad = torch.stack(there).sum(dim=0) if there else None
