"""What every memory promises, asked of each YAML in conf/memory as it stands there.

A new memory is tested by its YAML alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.controllers.base import Controller
from nas_lightning.errors import Remedy, UserError
from nas_lightning.memories.base import Memory
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from tests.given import composed

MEMORIES = sorted(path.stem for path in (CONF / "memory").glob("*.yaml"))
RECURRENT = ["metric", "reconstruction", "replay_as_published"]
BUFFERS = ["replay", "replay_as_published"]
EPOCHS = 20
assert {"none", *RECURRENT, *BUFFERS} <= set(MEMORIES)


class Growing(SearchSpace):
    """Two decisions, and from ten judged architectures on four; eight at most."""

    def __init__(self, length: int = 2) -> None:
        self.length = length

    @property
    def decisions(self) -> tuple[Decision, ...]:
        kinds = (("letter", ("a", "b")), ("number", (1, 2, 3)))
        return tuple(Decision(f"decision {t}", *kinds[t % 2]) for t in range(self.length))

    @property
    def largest(self) -> SearchSpace:
        return Growing(8)

    def at(self, architectures_judged: int) -> SearchSpace:
        return Growing(2 if architectures_judged < 10 else 4)

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        return str(architecture)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(*overrides: str, seed: int = 0, epochs: int = EPOCHS) -> tuple[Memory, Controller]:
    cfg, space = composed(*overrides), Growing()
    if cfg.memory.get("warmup", 0) > 2:  # a thousand steps would take too long
        cfg.memory.warmup = 2
    controller: Controller = make(cfg, "controller", space=space)
    controller.reset_parameters(seeded(seed))
    memory: Memory = make(cfg, "memory", space=space, controller=controller, max_epochs=epochs)
    memory.reset_parameters(seeded(seed + 1))
    return memory, controller


def losses(memory: Memory, controller: Controller, epochs: Sequence[int]) -> list[Tensor | None]:
    """One loss an epoch, all of a run whose generator starts afresh."""
    generator, found = seeded(5), []
    for epoch in epochs:
        memory.begin_epoch(controller, epoch, generator)
        found.append(memory.loss(controller, epoch, generator))
    return found


@pytest.mark.parametrize("name", MEMORIES)
def test_its_loss_can_be_minimised(name: str) -> None:
    """A scalar that begins at some epoch and stays, and teaches the controller something."""
    memory, controller = build(f"memory={name}")
    found = losses(memory, controller, range(EPOCHS))
    began = [loss is not None for loss in found]
    assert began == sorted(began)
    assert any(began) == (name != "none")
    loss = found[-1]
    if loss is not None:
        assert loss.shape == ()
        assert float(loss.detach()) > 0
        torch.autograd.backward(loss)
        gradients = [p.grad for p in controller.parameters() if p.grad is not None]
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0
        for parameter in memory.parameters():
            assert parameter.grad is not None
        assert memory.weight > 0


@pytest.mark.parametrize("name", MEMORIES)
def test_minimising_it_lowers_it(name: str) -> None:
    memory, controller = build(f"memory={name}", "controller.optimizer.lr=0.01")
    if name == "none":
        assert list(memory.parameters()) == []
        return
    assert controller.make_optimizer is not None
    optimizer = controller.make_optimizer([*controller.parameters(), *memory.parameters()])
    memory.begin_epoch(controller, EPOCHS, seeded(3))
    trace = []
    for step in range(60):
        loss = memory.loss(controller, EPOCHS, seeded(step))
        assert loss is not None
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        trace.append(float(loss.detach()))
    assert sum(trace[-20:]) < sum(trace[:20]) - 0.01


@pytest.mark.parametrize("name", MEMORIES)
def test_it_draws_from_its_generator_alone(name: str) -> None:
    memory, controller = build(f"memory={name}")
    before = torch.get_rng_state()
    first = losses(memory, controller, range(EPOCHS))
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    controller.reset_parameters(seeded(0))
    memory.reset_parameters(seeded(1))
    assert losses(memory, controller, range(EPOCHS)) == first


@pytest.mark.parametrize("name", MEMORIES)
def test_its_state_is_all_there_is(name: str) -> None:
    """After the state went into a new one, both go on alike; and it is plain tensors."""
    one, controller = build(f"memory={name}", seed=1)
    losses(one, controller, range(12))
    other, _ = build(f"memory={name}", seed=2)
    other.load_state_dict(one.state_dict())
    assert other.stored == one.stored
    later = range(12, EPOCHS)
    assert losses(one, controller, later) == losses(other, controller, later)
    for key, value in one.state_dict().items():
        assert isinstance(value, Tensor), key


@pytest.mark.parametrize("name", MEMORIES)
def test_it_grows_with_its_space(name: str) -> None:
    memory, controller = build(f"memory={name}")
    losses(memory, controller, range(12))
    state = {key: value.shape for key, value in memory.state_dict().items()}
    controller.enter(Growing().at(10))
    for loss in losses(memory, controller, range(12, EPOCHS)):
        assert (loss is None) == (name == "none")
        assert loss is None or bool(torch.isfinite(loss))
    assert {key: value.shape for key, value in memory.state_dict().items()} == state


@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_keeps_both_lengths(name: str) -> None:
    memory, controller = build(f"memory={name}")
    losses(memory, controller, range(3))
    controller.enter(Growing().at(10))
    losses(memory, controller, range(3, 5))
    lengths = [group.shape for group in memory.buffer.draw(500, seeded(0))]  # type: ignore[union-attr, operator]
    assert lengths == [(300, 2), (200, 4)]


@pytest.mark.parametrize("name", [name for name in MEMORIES if name != "none"])
@pytest.mark.parametrize("controller", ["random", "untrained"])
def test_a_controller_that_does_not_learn_is_refused(name: str, controller: str) -> None:
    with pytest.raises(UserError, match=r"^memory: needs a controller that trains") as caught:
        build(f"memory={name}", f"controller={controller}")
    assert caught.value.remedy is Remedy.TRAINED_POLICY


@pytest.mark.parametrize("name", RECURRENT)
def test_a_controller_without_recurrence_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^memory: needs a controller ") as caught:
        build(f"memory={name}", "controller=factorized")
    assert caught.value.remedy in (Remedy.HIDDEN_STATES, Remedy.FED_DECISIONS)


def test_replay_takes_any_likelihood() -> None:
    memory, controller = build("memory=replay", "controller=factorized")
    assert losses(memory, controller, range(EPOCHS))[-1] is not None


@pytest.mark.parametrize("name", [name for name in MEMORIES if name != "none"])
def test_a_loss_that_never_begins_is_refused(name: str) -> None:
    keys = ["memory.recall_from=4", *(["memory.store_from=4"] if name in BUFFERS else [])]
    memory, controller = build(f"memory={name}", *keys, epochs=5)
    began = [loss is not None for loss in losses(memory, controller, range(5))]
    assert began == [False] * 4 + [True]
    with pytest.raises(UserError, match=r"^memory\.recall_from=4 .*4 epochs"):
        build(f"memory={name}", *keys, epochs=4)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("batch_size=101 capacity=100", "batch_size=101 .* holds 100 .*epoch 1.*or raise capacity"),
        ("batch_size=201", "batch_size=201 .* holds 200 .*store_per_epoch"),
        ("store_from=3", "batch_size=100 .* holds 0 "),
        ("replace_per_epoch=1001", "replace_per_epoch=1001 .*at most capacity=1000"),
        ("store_per_epoch=0", "store_per_epoch=0 .*whole number >= 1"),
        ("store_from=-1", "store_from=-1 .*whole number >= 0"),
        ("recall_from=1.5", "recall_from=1.5 .*whole number >= 0"),
        ("weight=-1", "weight=-1 .*a number >= 0"),
    ],
)
@pytest.mark.parametrize("name", BUFFERS)
def test_bad_buffers_are_refused(name: str, overrides: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^memory.{says}"):
        build(f"memory={name}", *(f"memory.{o}" for o in overrides.split()))


@pytest.mark.parametrize(
    ("name", "override", "says"),
    [
        ("metric", "batch_size=1", "batch_size=1 .*>= 2"),
        ("metric", "scale=0", "scale=0 .*> 0"),
        ("reconstruction", "recall_from=-1", "recall_from=-1 .*>= 0"),
        ("reconstruction", "warmup=-1", "warmup=-1 .*>= 0"),
        ("reconstruction", "optimizer.lr=0", "optimizer.lr=0 .*> 0"),
        ("reconstruction", "weight=-1", "weight=-1 .*>= 0"),
    ],
)
def test_bad_arguments_are_refused(name: str, override: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^memory.{says}"):
        build(f"memory={name}", f"memory.{override}")
