"""The optimizers of a search, one for each side that learns, and steps on two losses at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    learns = controller.learns or controller.as_relaxation is not None
    if learns and controller.make_optimizer is not None:
        parameters = [*controller.parameters(), *memory.parameters()]
        made["controller"] = controller.make_optimizer(parameters)
    for optimizer in made.values():
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
    return made


def settle(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Put what optimizers remember where their parameters are.

    Lightning moves all of it to the search's device, also that of parameters on the processor.
    """
    memories = [memory for optimizer in optimizers for memory in optimizer.state.items()]
    for parameter, state in memories:
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dim() > 0:  # a count of steps is where it was
                state[name] = value.to(parameter.device)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Make the rate of each group `factor` times its initial one."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def step_on_both(
    losses: Sequence[Tensor | None],
    parameters: Sequence[torch.nn.Parameter],
    *,
    of: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    backward: Callable[[Tensor], None],
) -> list[Tensor]:
    """One step on the sum of losses, None for 0, each with a backward of its own.

    Args:
        losses: Their graphs share nothing but parameters.
        parameters: All that the optimizer steps.
        of: Those of them whose gradient's norm is asked for.
        optimizer: What steps.
        backward: How gradients are taken.

    Returns:
        The norm of each loss's gradient.
    """
    gradients, norms = [], []
    for loss in losses:
        optimizer.zero_grad()
        if loss is not None:
            backward(loss)
        gradients.append([parameter.grad for parameter in parameters])
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in of if p.grad is not None]))
    add_up(parameters, *gradients)
    optimizer.step()
    return norms


def add_up(parameters: Sequence[torch.nn.Parameter], *gradients: Sequence[Tensor | None]) -> None:
    """Give each parameter the sum of its gradients, None where it has none."""
    for parameter, *both in zip(parameters, *gradients, strict=True):
        there = [gradient for gradient in both if gradient is not None]
        parameter.grad = torch.stack(there).sum(dim=0) if there else None
