"""The controller: many architectures in one unroll, against one after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from benchmarks.timing import Aims, Comparison
from nas_lightning.controllers.reinforce import Reinforce, policy_gradient_loss


@contextmanager
def many_sampled(controller: Reinforce, *, architectures: int) -> Iterator[Comparison]:
    """Architectures drawn, with their likelihoods.

    Args:
        controller: Draws them.
        architectures: How many.
    """
    generator = torch.Generator().manual_seed(0)
    controller.reset_parameters(generator)

    @torch.no_grad()
    def one_by_one() -> None:
        for _ in range(architectures):
            controller.ask(1, generator)

    @torch.no_grad()
    def together() -> None:
        controller.ask(architectures, generator)

    yield Comparison(
        aims=Aims(ratio=25),
        plain=one_by_one,
        ours=together,
        amount=architectures,
        unit="architectures",
    )


@contextmanager
def policy_gradient(controller: Reinforce, *, architectures: int) -> Iterator[Comparison]:
    """The gradient of one policy-gradient step, architectures and advantages given.

    Args:
        controller: Whose gradient it is.
        architectures: How many are learned from.
    """
    generator = torch.Generator().manual_seed(0)
    controller.reset_parameters(generator)
    drawn = controller.space.sample(architectures, generator)
    advantages = torch.randn(architectures, generator=generator)
    yield Comparison(
        aims=Aims(ratio=25),
        plain=lambda: [
            gradients(controller, drawn[m : m + 1], advantages[m : m + 1])
            for m in range(architectures)
        ],
        ours=lambda: gradients(controller, drawn, advantages),
        amount=architectures,
        unit="architectures",
    )


def gradients(
    controller: Reinforce, architectures: Tensor, advantages: Tensor
) -> tuple[Tensor, ...]:
    """Of the policy-gradient loss with respect to all parameters.

    Args:
        controller: Whose parameters they are.
        architectures: `(M, T)`.
        advantages: `(M,)`.
    """
    loss = policy_gradient_loss(
        controller.policy.evaluate(architectures),
        advantages,
        entropy_weight=controller.entropy_weight,
        entropy_in=controller.entropy_in,
    )
    return torch.autograd.grad(loss, list(controller.parameters()))
