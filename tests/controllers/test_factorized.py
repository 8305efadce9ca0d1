"""The controller without recurrence: independent decisions, and what it therefore cannot learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from nas_lightning.controllers import FactorizedPolicy, LeaveOneOut, LSTMPolicy, Policy, Reinforce
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace


class Equal(SearchSpace):
    """Two decisions of three options."""

    decisions = tuple(Decision(name, "letter", ("a", "b", "c")) for name in ("one", "two"))

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        return str(architecture)


COMMON: dict[str, Any] = {
    "space": Equal(),
    "init_range": 0.1,
    "temperature": None,
    "tanh_constant": None,
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(policy: FactorizedPolicy) -> Reinforce:
    """The policy with a learner."""
    return Reinforce(
        policy=policy,
        baseline=LeaveOneOut(),
        optimizer=torch.optim.Adam,
        entropy_weight=0,
        entropy_in="loss",
    )


def make_controller(**changes: Any) -> FactorizedPolicy:
    controller = FactorizedPolicy(**(COMMON | changes))
    controller.reset_parameters(seeded(0))
    return controller


@pytest.mark.parametrize(("temperature", "constant"), [(None, None), (2.0, None), (0.5, 1.5)])
def test_it_is_a_softmax_of_its_logits(temperature: float | None, constant: float | None) -> None:
    controller = make_controller(init_range=2.0, temperature=temperature, tanh_constant=constant)
    rollout = controller.ask(5, seeded(0))
    for t, logits in enumerate(controller.logits):
        z = logits.detach().double() / (temperature or 1)
        z = z if constant is None else constant * torch.tanh(z)
        p = z.exp() / z.exp().sum()
        expected = p[rollout.architectures[:, t]].log().float()
        torch.testing.assert_close(rollout.log_probs[:, t].detach(), expected)


def test_decisions_are_independent() -> None:
    """What comes before changes no distribution."""
    controller = make_controller(init_range=2.0)
    rollout = controller.evaluate(torch.tensor([[0, 1], [2, 1]]))
    assert rollout.hidden_states is None
    for log_p in rollout.distributions:
        assert torch.equal(log_p[0], log_p[1])


def test_its_gradient_is_reinforces() -> None:
    """d(-A log p(a)) / d logit_k = A (p_k - [k = a]), averaged over the architectures."""
    controller = make_controller(init_range=2.0)
    rollout = controller.ask(6, seeded(0))
    rewards = torch.rand(6, generator=seeded(1))
    loss = trained(controller).tell(rollout, rewards, None, seeded(0))  # type: ignore[arg-type]
    assert loss is not None
    torch.autograd.backward(loss)
    advantages = (rewards - rewards.mean()) * 6 / 5
    for t, logits in enumerate(controller.logits):
        chosen = torch.nn.functional.one_hot(rollout.architectures[:, t], 3)
        expected = (advantages.unsqueeze(1) * (logits.detach().softmax(0) - chosen)).mean(dim=0)
        torch.testing.assert_close(logits.grad, expected)


def likelihood(controller: Policy, rate: float) -> float:
    """The probability that it gives to equal pairs, after it was made to propose all three."""
    optimizer = torch.optim.Adam(controller.parameters(), lr=rate)
    pairs = torch.tensor([[0, 0], [1, 1], [2, 2]])
    for _ in range(300):
        loss = -controller.evaluate(pairs).log_probs.sum(dim=1).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return float(controller.evaluate(pairs).log_probs.detach().sum(dim=1).exp().sum())


def test_it_cannot_condition_and_the_lstm_can() -> None:
    """Three pairs of nine: independent decisions propose them a third of the time at best."""
    recurrent = LSTMPolicy(
        **COMMON,
        hidden_size=16,
        num_layers=1,
        heads="per_decision",
    )
    recurrent.reset_parameters(seeded(0))
    assert likelihood(recurrent, 0.01) > 0.95
    assert likelihood(make_controller(), 0.05) == pytest.approx(1 / 3, abs=1e-3)
