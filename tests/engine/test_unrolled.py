"""The gradients of a relaxed search, against the exact ones by autograd through the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.engine.unrolled import Step, second_order, sgd_step, shifted


class Tiny:
    """Two layers, between which three smooth functions are mixed; float64."""

    def __init__(self, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.first, self.last = (
            nn.Parameter(torch.randn(shape, generator=g, dtype=torch.float64))
            for shape in ((4, 5), (5, 1))
        )
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.logits = nn.Parameter(torch.randn(3, generator=g, dtype=torch.float64))
        self.x, self.y, self.vx, self.vy = (
            torch.randn(shape, generator=g, dtype=torch.float64)
            for shape in ((8, 4), (8, 1), (6, 4), (6, 1))
        )

    @property
    def weights(self) -> list[nn.Parameter]:
        return [self.first, self.last, self.unused]

    def loss(self, x: Tensor, y: Tensor, first: Tensor, last: Tensor) -> Tensor:
        h = x @ first
        mixed = torch.stack([h.tanh(), h.sigmoid(), h.sin()])
        w = self.logits.softmax(dim=0)[:, None, None]
        return (((w * mixed).sum(dim=0) @ last - y) ** 2).mean()

    def training(self, again: bool = False) -> Tensor:
        return self.loss(self.x, self.y, self.first, self.last)

    def validation(self) -> Tensor:
        return self.loss(self.vx, self.vy, self.first, self.last)


RATE, CLIP, DECAY, MOMENTUM = 0.3, 0.5, 1e-2, 0.9


def sgd(tiny: Tiny, *, momentum: float = 0, nesterov: bool = False) -> torch.optim.SGD:
    return torch.optim.SGD(
        tiny.weights, lr=RATE, weight_decay=DECAY, momentum=momentum, nesterov=nesterov
    )


def exact(tiny: Tiny, *, clip: float | None) -> Tensor:
    """By autograd through the step, the factor of the clipping taken to be constant."""
    gradients = torch.autograd.grad(tiny.training(), tiny.weights[:2], create_graph=True)
    norm = torch.cat([g.flatten() for g in gradients]).norm().item()
    factor = 1 if clip is None else min(1, clip / (norm + 1e-6))
    first, last = (
        w - RATE * (factor * g + DECAY * w)
        for w, g in zip(tiny.weights[:2], gradients, strict=True)
    )
    (found,) = torch.autograd.grad(tiny.loss(tiny.vx, tiny.vy, first, last), tiny.logits)
    return found


def approximate(tiny: Tiny, *, clip: float | None, epsilon: float) -> Tensor:
    step: Callable[[Sequence[nn.Parameter], Sequence[Tensor]], Step] = partial(
        sgd_step, sgd(tiny), clip=clip, capped=True
    )
    _, found = second_order(
        tiny.training,
        tiny.validation,
        parameters=tiny.weights,
        logits=tiny.logits,
        step=step,
        epsilon=epsilon,
    )
    return found


@pytest.mark.parametrize("clip", [None, CLIP, 1e3])
def test_second_order_is_the_exact_gradient(clip: float | None) -> None:
    """Its relative error falls with the square of epsilon, until rounding shows."""
    tiny = Tiny()
    expected = exact(tiny, clip=clip)
    errors = {
        epsilon: float((approximate(tiny, clip=clip, epsilon=epsilon) - expected).norm())
        / float(expected.norm())
        for epsilon in (1.0, 0.1, 0.01, 0.001)
    }
    assert errors[0.01] < 1e-4, errors
    assert errors[0.1] / errors[0.01] == pytest.approx(100, rel=0.3), errors
    assert errors[0.001] < 1e-6, errors
    first = torch.autograd.grad(tiny.validation(), tiny.logits)[0]
    assert float((first - expected).norm() / expected.norm()) > 0.05, "the step is of no account"


@pytest.mark.parametrize(("momentum", "nesterov"), [(0, False), (MOMENTUM, False), (0.9, True)])
def test_the_virtual_step_is_the_optimizers(momentum: float, nesterov: bool) -> None:
    tiny = Tiny()
    optimizer = sgd(tiny, momentum=momentum, nesterov=nesterov)
    for _ in range(3):  # the second and third have a momentum to go on with
        optimizer.zero_grad()
        tiny.training().backward()
        gradients = [p.grad.clone() for p in tiny.weights[:2] if p.grad is not None]
        step = sgd_step(optimizer, tiny.weights[:2], gradients, clip=CLIP, capped=True)
        expected = [w.detach() + s for w, s in zip(tiny.weights, step.shifts, strict=False)]
        nn.utils.clip_grad_norm_(tiny.weights, CLIP)
        optimizer.step()
        for weight, value in zip(tiny.weights, expected, strict=False):
            torch.testing.assert_close(weight.detach(), value)


def test_the_rate_is_capped_unless_as_published() -> None:
    tiny = Tiny()
    gradients = [torch.full_like(w, 1e-3) for w in tiny.weights[:2]]
    rates = [
        sgd_step(sgd(tiny), tiny.weights[:2], gradients, clip=CLIP, capped=capped).rate
        for capped in (True, False)
    ]
    norm = float(nn.utils.get_total_norm(gradients))
    assert rates == pytest.approx([RATE, RATE * CLIP / (norm + 1e-6)])


def test_shifted_weights_come_back_to_the_last_bit() -> None:
    tiny = Tiny()
    before = [w.detach().clone() for w in tiny.weights]
    with shifted(tiny.weights, [torch.full_like(w, 1e-9) for w in tiny.weights]):
        assert not torch.equal(tiny.first, before[0])
    assert all(torch.equal(w, b) for w, b in zip(tiny.weights, before, strict=True))
