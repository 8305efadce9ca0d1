"""Gradients of the validation loss by the logits of a relaxation, of first and second order.

Liu et al. 2019, section 2.3. With w the shared weights, a the logits and u the step that the
optimizer would take on the training loss, the second order takes the gradient of
L_validation(w + u(a), a). How u depends on a is a mixed second derivative times a vector, and so a
difference of two gradients by the logits, with w shifted there and back along the vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Step:
    """The step that SGD would take.

    Attributes:
        shifts: By how much it would change each parameter.
        rate: What the gradient of the training loss is multiplied by in it, with the other sign.
    """

    shifts: list[Tensor]
    rate: float


def sgd_step(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    gradients: Sequence[Tensor],
    *,
    clip: float | None,
    capped: bool,
) -> Step:
    """The step of SGD on gradients scaled down to a norm, which is taken to be constant.

    Args:
        optimizer: SGD with whatever momentum and weight decay; it is left as it is.
        parameters: Those of its parameters that have a gradient.
        gradients: Theirs.
        clip: The norm, or None.
        capped: Whether the factor of the rate is at most 1, as that of the step is.
    """
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    uncapped = 1.0
    if clip is not None:
        uncapped = clip / (float(nn.utils.get_total_norm(gradients)) + 1e-6)
    factor = min(1.0, uncapped)
    shifts, rate = [], 0.0
    for parameter, gradient in zip(parameters, gradients, strict=True):
        group = groups[id(parameter)]
        change = gradient * factor + group["weight_decay"] * parameter.detach()
        before = optimizer.state[parameter].get("momentum_buffer")
        momentum = group["momentum"]
        gathered = change if before is None else change + momentum * before
        nesterov = momentum if group["nesterov"] else 0
        shifts.append(-group["lr"] * (change + nesterov * gathered if nesterov else gathered))
        rate = group["lr"] * (1 + nesterov) * (factor if capped else uncapped)
    return Step(shifts, rate)


@contextmanager
def shifted(parameters: Sequence[nn.Parameter], by: Sequence[Tensor]) -> Iterator[None]:
    """Within it the parameters are shifted; afterwards they are what they were, to the last bit."""
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter, shift in zip(parameters, by, strict=True):
                parameter.add_(shift)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


def second_order(
    training: Callable[[bool], Tensor],
    validation: Callable[[], Tensor],
    *,
    parameters: Sequence[nn.Parameter],
    logits: nn.Parameter,
    step: Callable[[Sequence[nn.Parameter], Sequence[Tensor]], Step],
    epsilon: float,
    clip_vector: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The validation loss after a step of the shared weights, and its gradient by the logits.

    Args:
        training: The training loss, whether it is asked for once more, with the same draws.
        validation: The validation loss.
        parameters: The shared weights.
        logits: Of the relaxation.
        step: The step that would be taken on gradients.
        epsilon: Divided by the norm of the vector: how far the weights are shifted along it.
        clip_vector: The norm to which the vector is scaled down; None, which is exact, for none.
    """
    found = torch.autograd.grad(training(False), parameters, allow_unused=True)
    used = [(p, g) for p, g in zip(parameters, found, strict=True) if g is not None]
    weights, gradients = [p for p, _ in used], [g for _, g in used]
    taken = step(weights, gradients)
    with shifted(weights, taken.shifts):
        loss = validation()
        direct, *vector = torch.autograd.grad(
            loss, [logits, *weights], allow_unused=True, materialize_grads=True
        )
    norm = float(nn.utils.get_total_norm(vector))
    if norm == 0:
        return loss.detach(), direct
    scale = 1.0 if clip_vector is None else min(1.0, clip_vector / (norm + 1e-6))
    ends = []
    for sign in (1, -1):
        with shifted(weights, [v * (sign * epsilon / norm) for v in vector]):
            ends.append(torch.autograd.grad(training(True), logits)[0])
    mixed = (ends[0] - ends[1]) * (scale * norm / (2 * epsilon))
    return loss.detach(), direct - taken.rate * mixed
