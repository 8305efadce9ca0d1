"""The LSTM controller against a naive loop, and where its parameters are shared.

The loop below goes architecture by architecture through the LSTM's published equations, in
float64, and shares no code with the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.controllers import LeaveOneOut, LSTMPolicy, RandomPolicy, Reinforce
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace

HIDDEN = 3


class Growing(SearchSpace):
    """Letters and numbers in turn; the longer lists of options come later."""

    def __init__(self, depth: int = 2) -> None:
        self.depth = depth

    @property
    def decisions(self) -> tuple[Decision, ...]:
        found = []
        for layer in range(self.depth):
            numbers = tuple(range(layer + 1))
            found.append(Decision(f"letter {layer}", "letter", ("a", "b")))
            found.append(Decision(f"number {layer}", "number", numbers))
        return tuple(found)

    @property
    def largest(self) -> Growing:
        return Growing(depth=4)

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        return str(architecture)


def make_controller(space: SearchSpace | None = None, **changes: Any) -> LSTMPolicy:
    """A controller in float64 whose policy is far from uniform."""
    arguments: dict[str, Any] = {
        "space": Growing() if space is None else space,
        "hidden_size": HIDDEN,
        "num_layers": 1,
        "init_range": 1.5,
        "heads": "per_decision",
        "temperature": None,
        "tanh_constant": None,
    }
    controller = LSTMPolicy(**(arguments | changes)).double()
    controller.reset_parameters(seeded(0))
    return controller


def trained(trained_policy: LSTMPolicy, **changes: Any) -> Reinforce:
    """The policy with a learner."""
    arguments: dict[str, Any] = {
        "policy": trained_policy,
        "optimizer": torch.optim.SGD,
        "baseline": LeaveOneOut(),
        "entropy_weight": 0.1,
        "entropy_in": "loss",
    }
    return Reinforce(**(arguments | changes))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def oracle(
    controller: LSTMPolicy, architecture: Sequence[int]
) -> tuple[list[float], list[float], list[list[float]]]:
    """Log-probabilities, entropies and hidden states of one architecture, one decision a time."""
    decisions = controller.space.decisions
    first_row = {"letter": 1, "number": 3}  # row 0 starts; then 2 letters; then the numbers
    layers = len(controller.cells)
    h = [torch.zeros(HIDDEN, dtype=torch.float64)] * layers
    c = list(h)
    row, log_probs, entropies, hidden = 0, [], [], []
    for t in range(len(decisions) + 1):
        x = controller.embedding.weight[row]
        for layer, cell in enumerate(controller.cells):
            assert isinstance(cell, nn.LSTMCell)
            gates = cell.weight_ih @ x + cell.bias_ih + cell.weight_hh @ h[layer] + cell.bias_hh
            i, f, g, o = gates.split(HIDDEN)
            c[layer] = torch.sigmoid(f) * c[layer] + torch.sigmoid(i) * torch.tanh(g)
            h[layer] = x = torch.sigmoid(o) * torch.tanh(c[layer])
        hidden.append(x.tolist())
        if t == len(decisions):
            break
        decision, action = decisions[t], architecture[t]
        if len(controller.heads) == 2:
            head = controller.heads[["letter", "number"].index(decision.kind)]
        else:
            head = controller.heads[t]
        assert isinstance(head, nn.Linear)
        logits = (head.weight @ x + head.bias)[: len(decision.choices)].tolist()
        if controller.temperature is not None:
            logits = [z / controller.temperature for z in logits]
        if controller.tanh_constant is not None:
            logits = [controller.tanh_constant * math.tanh(z) for z in logits]
        total = sum(math.exp(z) for z in logits)
        p = [math.exp(z) / total for z in logits]
        log_probs.append(math.log(p[action]))
        entropies.append(-sum(q * math.log(q) for q in p))
        row = first_row[decision.kind] + action
    return log_probs, entropies, hidden


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_layers": 2},
        {"temperature": 5.0},
        {"tanh_constant": 2.5},
        {"temperature": 0.5, "tanh_constant": 2.5},
        {"heads": "per_kind"},
    ],
    ids=str,
)
def test_it_follows_its_equations(changes: dict[str, Any]) -> None:
    controller = make_controller(Growing(depth=3), **changes)
    rollout = controller.ask(6, seeded(0))
    assert rollout.hidden_states is not None
    for m, row in enumerate(rollout.architectures.tolist()):
        log_probs, entropies, hidden = oracle(controller, row)
        assert rollout.log_probs[m].tolist() == pytest.approx(log_probs, abs=1e-12)
        assert rollout.entropies[m].tolist() == pytest.approx(entropies, abs=1e-12)
        torch.testing.assert_close(
            rollout.hidden_states[m].detach(), torch.tensor(hidden, dtype=torch.float64)
        )


def test_reading_its_own_tokens_is_evaluating() -> None:
    """Fed the start and then the token of each decision, it gives the distributions of sampling."""
    controller = make_controller(Growing(depth=3), num_layers=2)
    rollout = controller.ask(6, seeded(0))
    tokens = controller.tokens(rollout.architectures)
    # Letters by rows 1 and 2, numbers from row 3 on, as the oracle above has it.
    assert torch.equal(tokens - rollout.architectures, torch.tensor([[1, 3] * 3] * 6))
    fed = torch.cat([torch.zeros_like(tokens[:, :1]), tokens[:, :-1]], dim=1)
    torch.testing.assert_close(controller.read(fed, range(6)), rollout.distributions)
    later = controller.read(fed[:, :2], [0, 3])
    assert [log_p.shape for log_p in later] == [(6, 2), (6, 2)]


def test_the_last_state_knows_the_last_decision_and_the_one_before_does_not() -> None:
    controller = make_controller()
    architectures = torch.tensor([[0, 0, 1, 0], [0, 0, 1, 1]])
    hidden = controller.evaluate(architectures).hidden_states
    assert hidden is not None
    assert torch.equal(hidden[0, :-1], hidden[1, :-1])
    assert not torch.allclose(hidden[0, -1], hidden[1, -1])


def test_temperature_and_tanh_flatten_the_policy() -> None:
    plain = make_controller()
    plain_entropy = plain.ask(200, seeded(0)).entropies.mean()
    for name, value in (("temperature", 5.0), ("tanh_constant", 0.1)):
        flat = make_controller(None, **{name: value})
        assert flat.ask(200, seeded(0)).entropies.mean() > plain_entropy + 0.01


def test_parameters_are_allocated_for_the_largest_space() -> None:
    small, full = make_controller(Growing(2)), make_controller(Growing(2).largest)
    shapes = [
        {name: value.shape for name, value in controller.state_dict().items()}
        for controller in (small, full)
    ]
    assert shapes[0] == shapes[1]
    assert small.embedding.weight.shape[0] == 1 + 2 + 4  # start, letters, numbers
    rollout = full.ask(4, seeded(0))
    begun = small.evaluate(rollout.architectures[:, :4])
    torch.testing.assert_close(begun.log_probs, rollout.log_probs[:, :4])


@pytest.mark.parametrize(
    ("heads", "sizes"), [("per_kind", [2, 4]), ("per_decision", [2, 1, 2, 2, 2, 3, 2, 4])]
)
def test_heads_are_as_wide_as_their_decisions(heads: str, sizes: list[int]) -> None:
    controller = make_controller(Growing(2), heads=heads)
    assert [head.out_features for head in controller.heads] == sizes


def test_a_certain_policy_still_has_a_gradient() -> None:
    """Probabilities that round to zero must not make it NaN."""
    controller = make_controller().float()
    with torch.no_grad():
        for head in controller.heads:
            assert isinstance(head, nn.Linear)
            head.bias.copy_(torch.linspace(0, 500, len(head.bias)))
    rollout = controller.ask(4, seeded(0))
    assert float(rollout.entropies.detach().max()) == pytest.approx(0, abs=1e-6)
    loss = trained(controller).tell(rollout, torch.tensor([1.0, 2, 3, 4]), None, seeded(0))  # type: ignore[arg-type]
    assert loss is not None
    for gradient in torch.autograd.grad(loss, list(controller.parameters()), allow_unused=True):
        assert gradient is None or bool(torch.isfinite(gradient).all())


def test_a_policy_alone_samples_like_one_with_a_learner() -> None:
    alone, learner = make_controller(), trained(make_controller())
    assert not alone.learns
    assert learner.learns
    one, other = (c.ask(20, seeded(1)).architectures for c in (alone, learner))
    assert torch.equal(one, other)
    rollout = alone.ask(4, seeded(0))
    assert alone.tell(rollout, torch.ones(4), None, seeded(0)) is None  # type: ignore[arg-type]


def test_learning_raises_what_was_rewarded() -> None:
    controller = make_controller()
    learner = trained(controller, entropy_weight=0)
    architectures = controller.ask(6, seeded(0)).architectures.unique(dim=0)
    rewards = torch.zeros(len(architectures), dtype=torch.float64)
    rewards[0] = 1
    optimizer = torch.optim.SGD(controller.parameters(), lr=0.1)

    def log_prob() -> Tensor:
        return controller.evaluate(architectures).log_probs.sum(dim=1)[0].detach()

    before = log_prob()
    rollout = controller.evaluate(architectures)
    loss = learner.tell(rollout, rewards, None, seeded(0))  # type: ignore[arg-type]
    assert loss is not None
    torch.autograd.backward(loss)
    optimizer.step()
    assert log_prob() > before


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("hidden_size", 0),
        ("num_layers", 0),
        ("init_range", 0),
        ("heads", "shared"),
        ("temperature", 0),
        ("tanh_constant", -1),
    ],
)
def test_bad_arguments_are_refused(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{argument}=.*not allowed: must be"):
        make_controller(None, **{argument: value})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("entropy_weight", -1e-4),
        ("entropy_in", "reward"),
        ("policy", RandomPolicy(space=Growing(4), support=None)),
    ],
)
def test_bad_arguments_of_the_learner_are_refused(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{argument}=.*not allowed: must"):
        trained(make_controller(), **{argument: value})
