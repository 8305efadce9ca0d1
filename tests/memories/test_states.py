"""The losses on final states, in closed form, and what they do to a controller that saturates."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_lightning.assembly.make import make
from nas_lightning.controllers import FactorizedPolicy
from nas_lightning.controllers.base import Controller
from nas_lightning.memories.base import Memory, trained_policy
from nas_lightning.memories.metric import Metric
from nas_lightning.memories.reconstruction import Reconstruction
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace
from tests.given import composed

SPACE = RecurrentCellSpace(num_nodes=4, activations=["tanh", "relu", "identity", "sigmoid"])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(*overrides: str) -> tuple[Any, Controller]:
    cfg = composed(*overrides)
    controller: Controller = make(cfg, "controller", space=SPACE)
    controller.reset_parameters(seeded(0))
    memory: Memory = make(cfg, "memory", space=SPACE, controller=controller, max_epochs=10)
    memory.reset_parameters(seeded(1))
    return memory, controller


def one_hot(architectures: Tensor) -> Tensor:
    """All decisions, `(M, sum of choices)`."""
    columns = zip(architectures.unbind(dim=1), SPACE.num_choices, strict=True)
    return torch.cat([F.one_hot(column, n) for column, n in columns], dim=1).float()


def test_a_decoder_that_knows_nothing() -> None:
    memory, _ = build("memory=reconstruction")
    assert isinstance(memory, Reconstruction)
    for parameter in memory.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        loss = memory.state_loss(torch.rand(9, 100), SPACE.sample(9, seeded(0)))
    expected = sum(math.log(n) for n in SPACE.num_choices) / len(SPACE.num_choices)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_a_decoder_that_knows_everything() -> None:
    """States that are one-hot codes, a decoder that copies them: wrong options weigh e^-20."""
    memory, _ = build("memory=reconstruction", "controller.policy.hidden_size=23")
    architectures = SPACE.sample(9, seeded(0))
    states = one_hot(architectures)
    assert states.shape == (9, sum(SPACE.num_choices)) == (9, 22)
    states = F.pad(states, (0, 1))
    with torch.no_grad():
        memory.decoder.weight.copy_(20 * torch.eye(22, 23))
        memory.decoder.bias.zero_()
        assert float(memory.state_loss(states, architectures)) < 1e-6
        other = (architectures + 1) % torch.tensor(SPACE.num_choices)
        assert float(memory.state_loss(states, other)) > 10


def test_a_decoder_of_a_shorter_form_asks_for_its_decisions_only() -> None:
    memory, _ = build("memory=reconstruction")
    states, architectures = torch.rand(9, 100), SPACE.sample(9, seeded(0))
    with torch.no_grad():
        short = memory.state_loss(states, architectures[:, :3])
        decoded = memory.decoder(states)
        expected = [
            F.cross_entropy(decoded[:, :4], architectures[:, 0]),
            torch.zeros(()),  # node 1 can read node 0 only
            F.cross_entropy(decoded[:, 5:9], architectures[:, 2]),
        ]
    torch.testing.assert_close(short, torch.stack(expected).mean())


def metric(scale: float = 1.0) -> Metric:
    memory, _ = build("memory=metric", f"memory.scale={scale}")
    assert isinstance(memory, Metric)
    return memory


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_states_with_the_distances_asked_for(scale: float) -> None:
    """One-hot codes, scaled: each differing decision adds 2 to their squared distance."""
    architectures = SPACE.sample(12, seeded(0))
    codes = F.pad(one_hot(architectures), (0, 78)) * scale * math.sqrt(100 / (2 * 7))
    assert float(metric(scale).state_loss(codes, architectures)) == pytest.approx(0, abs=1e-9)
    turned = codes @ torch.linalg.qr(torch.randn(100, 100, generator=seeded(1)))[0]
    assert float(metric(scale).state_loss(turned, architectures)) == pytest.approx(0, abs=1e-9)
    assert float(metric(scale).state_loss(codes / 2, architectures)) == pytest.approx(0.25)
    assert float(metric(scale).state_loss(codes * 0, architectures)) == pytest.approx(1)


def test_stress_by_hand() -> None:
    """Three states on a line, H = 1: one pair differs in one of seven decisions, two in all."""
    architectures = torch.tensor([[0] * 7, [0] * 6 + [1], [1] * 6 + [2]])
    states = torch.tensor([[0.0], [0.5], [0.9]])
    wanted = [1 / 7, 1, 1]
    found = [0.5, 0.9, 0.4]
    stress = sum((d - math.sqrt(w)) ** 2 for d, w in zip(found, wanted, strict=True)) / sum(wanted)
    assert float(metric().state_loss(states, architectures)) == pytest.approx(stress, abs=1e-6)


def decodable(controller: Controller) -> float:
    """How well decisions can be read off final states by least squares: 0 is chance, 1 all.

    The share of right answers on unseen uniform architectures, less chance, mean over decisions
    with options. Noise of 0.01 stands for what a reader can resolve.
    """
    architectures = SPACE.sample(900, seeded(11))
    with torch.no_grad():
        states = trained_policy(controller).evaluate(architectures).hidden_states
    assert states is not None
    noise = 0.01 * torch.randn(states[:, -1].shape, generator=seeded(12))
    x = F.pad((states[:, -1] + noise).double(), (0, 1), value=1.0)
    codes = one_hot(architectures).double()
    known, unseen = slice(0, 600), slice(600, None)
    gram = x[known].T @ x[known] + 1e-3 * torch.eye(x.shape[1])
    decoded = x[unseen] @ torch.linalg.solve(gram, x[known].T @ codes[known])
    gains = []
    columns = decoded.split(SPACE.num_choices, dim=1)
    for t, (column, n) in enumerate(zip(columns, SPACE.num_choices, strict=True)):
        if n > 1:
            right = (column.argmax(dim=1) == architectures[unseen, t]).double().mean()
            gains.append((float(right) - 1 / n) / (1 - 1 / n))
    return sum(gains) / len(gains)


def searched(*overrides: str) -> tuple[float, float]:
    """A search for a planted architecture; final reward and how decodable the states are.

    Without Lightning; the same steps as the search's.
    """
    memory, controller = build(
        "controller.optimizer.lr=5e-3", "controller.policy.hidden_size=32", *overrides
    )
    planted = torch.tensor([2, 0, 3, 1, 0, 2, 1])
    assert controller.make_optimizer is not None
    optimizer = controller.make_optimizer([*controller.parameters(), *memory.parameters()])
    rollouts, recalled = seeded(2), seeded(3)
    memory.begin_epoch(controller, 0, recalled)
    for _ in range(150):
        rollout = controller.ask(10, rollouts)
        rewards = (rollout.architectures == planted).float().mean(dim=1)
        loss = controller.tell(rollout, rewards, None, rollouts)  # type: ignore[arg-type]
        assert loss is not None
        term = memory.loss(controller, 0, recalled)
        optimizer.zero_grad()
        torch.autograd.backward(loss if term is None else loss + memory.weight * term)
        optimizer.step()
    proposed = controller.ask(500, seeded(4)).architectures
    return float((proposed == planted).float().mean()), decodable(controller)


def test_reconstruction_keeps_states_informative() -> None:
    """The policy gradient alone drives the units into saturation, and the states say nothing."""
    reward, forgets = searched("memory=none")
    remembering, remembers = searched(
        "memory=reconstruction", "memory.batch_size=32", "memory.warmup=100", "memory.weight=3"
    )
    assert forgets < 0.4
    assert remembers > 0.8
    assert remembering > reward - 0.05 > 0.8


def test_a_factorized_controller_has_no_states() -> None:
    _, controller = build("controller=factorized", "memory=none")
    policy = trained_policy(controller)
    assert isinstance(policy, FactorizedPolicy)
    assert policy.state_size is None


@pytest.mark.parametrize("name", ["metric", "reconstruction"])
def test_it_is_learned_alone_before_it_is_added(name: str) -> None:
    memory, controller = build(f"memory={name}", "memory.recall_from=3", "memory.warmup=60")

    def loss() -> float:
        value = memory.loss(controller, 3, seeded(2))
        assert value is not None
        return float(value.detach())

    at_first = loss()
    memory.begin_epoch(controller, 2, seeded(3))
    assert loss() == at_first
    memory.begin_epoch(controller, 3, seeded(3))
    warmed_up = loss()
    assert warmed_up < 0.9 * at_first
    memory.begin_epoch(controller, 4, seeded(3))
    assert loss() == warmed_up


def test_a_warm_up_of_no_length_changes_nothing() -> None:
    memory, controller = build("memory=reconstruction", "memory.warmup=0")
    before = [parameter.clone() for parameter in controller.parameters()]
    memory.begin_epoch(controller, 0, seeded(3))
    assert all(map(torch.equal, before, controller.parameters()))
