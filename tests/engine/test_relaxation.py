"""The steps of a search by gradient, on tasks whose best options are known.

The harness has of a search what the steps ask for, and nothing of Lightning.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.controllers import DARTS, GDAS, DrNAS, EarlyStop, Relaxation
from nas_lightning.data.base import Batch
from nas_lightning.engine.expenses import Expenses
from nas_lightning.engine.relaxation import RelaxedSteps
from nas_lightning.errors import UserError
from nas_lightning.generators import Generators
from nas_lightning.search_spaces import Decision, Relaxable, RelaxedLoss
from nas_lightning.search_spaces.base import SearchSpace

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": lambda x: torch.sin(2 * x),
    "cosine": lambda x: torch.cos(2 * x) - math.exp(-2),
    "square": lambda x: x * x - 1,
}
"""None is like another one of normal inputs: one path alone shows whether its option is right."""


class Edges(SearchSpace):
    """Edges that are independent of each other, with one option of each to be found."""

    def __init__(self, edges: int, options: Sequence[str]) -> None:
        self._decisions = tuple(
            Decision(f"edge {n}", "operation", tuple(options)) for n in range(edges)
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return self._decisions

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        return str(list(architecture))


class Planted(nn.Module, Relaxable):
    """On every edge a scaled sum of functions of the input; the targets are of one of them."""

    seen: Tensor

    def __init__(self, space: Edges, dropout: float = 0) -> None:
        super().__init__()
        self.space = space
        self.scale = nn.Parameter(torch.full((len(space.decisions), 1), 0.5))
        self.dropout = dropout
        self.register_buffer("seen", torch.zeros(()))

    def relaxed_loss(
        self, batch: Batch, weights: Tensor, state: Tensor | None, generator: Any
    ) -> RelaxedLoss:
        of_edges = weights.view(len(self.scale), -1) * self.scale
        x = torch.stack([f(batch.inputs) for f in FUNCTIONS.values()])  # (K, B)
        if self.training and self.dropout:
            x = x * (torch.rand(x.shape, generator=generator) > self.dropout)
        if self.training:
            self.seen += 1
        loss = (of_edges @ x - batch.targets).square().mean()
        carried = batch.inputs.sum() if state is None else state + batch.inputs.sum()
        return RelaxedLoss(loss, torch.zeros(()), carried)


class Skipping(nn.Module, Relaxable):
    """On every edge x itself or w x, w starting at 0 and learned slowly; the target is 2 x."""

    def __init__(self, space: Edges) -> None:
        super().__init__()
        self.space = space
        self.w = nn.Parameter(torch.zeros(len(space.decisions)))

    def relaxed_loss(
        self, batch: Batch, weights: Tensor, state: Tensor | None, generator: Any
    ) -> RelaxedLoss:
        skip, learned = weights.view(-1, 2).unbind(dim=1)
        factor = skip + learned * self.w
        loss = ((factor.unsqueeze(1) - 2) * batch.inputs).square().mean()
        return RelaxedLoss(loss, torch.zeros(()), None)


def batch_of(number: int, targets: Sequence[str]) -> Batch:
    g = torch.Generator().manual_seed(number)
    x = torch.randn(32, generator=g)
    y = torch.stack([1.5 * FUNCTIONS[name](x) for name in targets]) if targets else x
    return Batch(x, y, number % 4 > 0)


class Search:
    """What the steps ask of a search."""

    def __init__(self, relaxed: RelaxedSteps, targets: Sequence[str], steps: int) -> None:
        self.relaxed, self.targets = relaxed, targets
        self.generators = Generators(0)
        self.device = torch.device("cpu")
        self.counters = {"epoch": 0, "child_step": 0, "controller_step": 0}
        self.log_every = 1
        self.stream = SimpleNamespace(child_steps=steps, position=0)
        self.data = SimpleNamespace(validation_batches=lambda: [batch_of(1000, targets)])
        self.judge = SimpleNamespace(expenses=Expenses(relaxed.child))
        self.numbers: list[dict[str, float]] = []
        estimator = relaxed.estimator
        assert estimator.make_optimizer is not None
        assert relaxed.controller.make_optimizer is not None
        self.optimizers = {
            "estimator": estimator.make_optimizer(relaxed.child.parameters()),
            "controller": relaxed.controller.make_optimizer(relaxed.controller.parameters()),
        }
        for group in self.optimizers["estimator"].param_groups:
            group["initial_lr"] = group["lr"]

    def child_precision(self) -> Any:
        return nullcontext()

    def optimizer_of(self, side: str) -> torch.optim.Optimizer:
        return self.optimizers[side]

    def learn_weights(self, loss: Tensor) -> None:
        self.optimizers["estimator"].zero_grad()
        loss.backward()
        self.optimizers["estimator"].step()

    def record(self, numbers: dict[str, Any]) -> None:
        self.numbers.append(
            {name: float(torch.as_tensor(v).detach()) for name, v in numbers.items()}
        )

    def go(self, steps: int) -> None:
        for _ in range(steps):
            number = self.counters["child_step"]
            self.stream.position = number % self.stream.child_steps + 1
            self.counters["epoch"] = number // self.stream.child_steps
            pair = [batch_of(number, self.targets), batch_of(10**6 + number, self.targets)]
            self.relaxed(self, pair)  # type: ignore[arg-type]

    def series(self, name: str) -> list[float]:
        return [numbers[name] for numbers in self.numbers if name in numbers]


def made(
    kind: type[Relaxation],
    child: Any,
    targets: Sequence[str],
    *,
    rate: float,
    order: int = 1,
    logits_rate: float = 0.1,
    early_stop: EarlyStop | None = None,
    as_published: bool = False,
    **more: Any,
) -> Search:
    controller = kind(
        space=child.space,
        optimizer=functools.partial(torch.optim.Adam, lr=logits_rate),
        order=order,
        epsilon=0.01,
        init_scale=1e-3,
        as_published=as_published,
        early_stop=early_stop,
        **more,
    )
    controller.reset_parameters(torch.Generator().manual_seed(0))
    estimator: Any = SimpleNamespace(
        shared=child,
        make_optimizer=functools.partial(torch.optim.SGD, lr=rate, momentum=0.5),
        gradient_clip=None,
        learning_rate_factor=lambda epoch: 1.0,
    )
    return Search(RelaxedSteps(controller, estimator), targets, steps=100)


TARGETS = ["sine", "cosine", "square", "cosine"]
GUMBEL = {"temperature_start": 10.0, "temperature_end": 0.1, "epochs": 4}


@pytest.mark.parametrize(
    ("kind", "order", "more"),
    [(DARTS, 1, {}), (DARTS, 2, {}), (GDAS, 1, GUMBEL), (DrNAS, 1, {})],
    ids=["first order", "second order", "gdas", "drnas"],
)
def test_the_planted_operations_are_found(
    kind: type[Relaxation], order: int, more: dict[str, Any]
) -> None:
    space = Edges(len(TARGETS), list(FUNCTIONS))
    search = made(kind, Planted(space), TARGETS, rate=0.1, logits_rate=0.03, order=order, **more)
    search.go(400)
    derived = search.relaxed.controller.derived()
    assert space.groups.chosen(derived) == TARGETS


def rule(**changes: Any) -> EarlyStop:
    arguments: dict[str, Any] = {
        "measurements": 20,
        "examples": None,
        "window": 5,
        "start": 0,
        "delta": 4,
        "factor": None,
        "skips": ["skip"],
        "max_skips": None,
        "simulate": False,
        **changes,
    }
    return EarlyStop(**arguments)


def skipping(early_stop: EarlyStop | None) -> Search:
    """Skips are attractive while w is small, and once they have all the weight w never grows."""
    child = Skipping(Edges(4, ["skip", "learned"]))
    search = made(DARTS, child, [], rate=0.002, logits_rate=0.1, early_stop=early_stop)
    with torch.no_grad():
        search.relaxed.controller.logits.copy_(torch.tensor([0.0, 2.0] * 4))
    return search


@pytest.mark.parametrize("simulate", [False, True])
def test_a_collapse_to_skips_is_caught(simulate: bool) -> None:
    collapsed = skipping(None)
    collapsed.go(200)
    assert collapsed.relaxed.controller.derived() == [0] * 4
    caught = skipping(rule(max_skips=1, simulate=simulate))
    caught.go(200)
    stops = caught.series("relaxed/early_stop")
    assert len(stops) == 1, "it says so once"
    assert 0 < stops[0] < 100
    assert caught.relaxed.stopped_with == [1] * 4, "what it goes back to, or would"
    child = caught.relaxed.child
    assert isinstance(child, Skipping)
    if simulate:
        assert caught.relaxed.controller.derived() == [0] * 4
        torch.testing.assert_close(
            caught.relaxed.controller.logits, collapsed.relaxed.controller.logits, rtol=0, atol=0
        )
        return
    assert caught.relaxed.controller.derived() == [1] * 4
    frozen = caught.relaxed.controller.logits.detach().clone()
    before = child.w.detach().clone()
    caught.go(20)
    assert torch.equal(caught.relaxed.controller.logits, frozen), "the logits stay"
    assert not torch.equal(child.w, before), "the shared weights go on"


def test_the_eigenvalue_is_that_of_the_hessian() -> None:
    """In the logits, at the present weights, by autograd in double precision."""
    search = skipping(rule(factor=1.3))
    search.relaxed.child.double()
    search.relaxed.controller.double()
    search.data = SimpleNamespace(
        validation_batches=lambda: [Batch(torch.randn(32).double(), torch.zeros(32), False)]
    )
    data = search.data.validation_batches()
    search.data = SimpleNamespace(validation_batches=lambda: data)
    before = search.relaxed.controller.logits.detach().clone()

    def loss(logits: Tensor) -> Tensor:
        weights = search.relaxed.controller.groups.softmax(logits)
        return search.relaxed.network.relaxed_loss(data[0], weights, None, None).loss

    hessian = torch.autograd.functional.hessian(loss, before)
    expected = float(torch.linalg.eigvalsh(hessian)[-1])
    found = search.relaxed.eigenvalue(search)  # type: ignore[arg-type]
    assert found == pytest.approx(expected, rel=2e-2)
    assert torch.equal(search.relaxed.controller.logits, before)


class SeenOnError(Exception):
    """Where a network was called."""


def test_minibatches_and_states_come_to_where_the_weights_are() -> None:
    """`meta` stands for a GPU: data are on the processor, and so is what a checkpoint held."""
    search = skipping(rule(factor=1.3))
    relaxed, batch = search.relaxed, batch_of(1, [])

    def called(batch: Batch, weights: Tensor, state: Tensor | None, generator: Any) -> Any:
        devices = {batch.inputs.device, batch.targets.device, weights.device}
        raise SeenOnError(devices | ({state.device} if state is not None else set()))

    relaxed.network.relaxed_loss = called  # type: ignore[method-assign]
    relaxed.controller.to("meta")
    relaxed.states["training"] = torch.zeros(1)
    search.judge = SimpleNamespace(expenses=SimpleNamespace(of_mixture=lambda *_, **__: None))
    weights, there = relaxed.controller.expected(), batch.on("meta")
    for call in (
        lambda: relaxed.eigenvalue(search),  # type: ignore[arg-type]
        lambda: relaxed.loss_on([batch]),
        lambda: relaxed._loss("training", there, weights, search),  # type: ignore[arg-type]
    ):
        with pytest.raises(SeenOnError) as seen:
            call()
        assert seen.value.args == ({torch.device("meta")},)


def test_the_first_order_by_hand() -> None:
    """Adam of the logits gets d validation / d logits; SGD then the mixture's training gradient."""
    space = Edges(1, list(FUNCTIONS))
    child = Planted(space)
    search = made(DARTS, child, ["sine"], rate=0.1)
    logits = search.relaxed.controller.logits.detach().clone()
    scale = child.scale.detach().clone()
    training, validation = batch_of(0, ["sine"]), batch_of(10**6, ["sine"])
    seen: dict[str, Tensor] = {}
    step = search.optimizers["controller"].step

    def watched() -> None:
        gradient = search.relaxed.controller.logits.grad
        assert gradient is not None
        seen["logits"] = gradient.clone()
        step()

    search.optimizers["controller"].step = watched  # type: ignore[method-assign, assignment]
    search.go(1)
    x = torch.stack([f(validation.inputs) for f in FUNCTIONS.values()])
    p = logits.softmax(dim=0)
    error = scale[0] * (p @ x) - validation.targets[0]
    by_weight = (2 * error * x * scale[0]).mean(dim=1)
    by_hand = p * (by_weight - (p * by_weight).sum())
    torch.testing.assert_close(seen["logits"], by_hand)
    p = search.relaxed.controller.logits.detach().softmax(dim=0)  # after its step
    x = torch.stack([f(training.inputs) for f in FUNCTIONS.values()])
    error = scale[0] * (p @ x) - training.targets[0]
    gradient = (2 * error * (p @ x)).mean()
    torch.testing.assert_close(child.scale.detach(), scale - 0.1 * gradient)


@pytest.mark.parametrize("as_published", [False, True])
def test_passes_of_a_difference_draw_the_same_and_leave_buffers_alone(as_published: bool) -> None:
    """Three training passes and a validation pass come before the one of the weights' step."""
    child = Planted(Edges(4, list(FUNCTIONS)), dropout=0.5)
    search = made(DARTS, child, TARGETS, rate=0.1, order=2, as_published=as_published)
    states = []
    original = child.relaxed_loss

    def watched(batch: Batch, weights: Tensor, state: Any, generator: Any) -> RelaxedLoss:
        states.append(generator.get_state())
        return original(batch, weights, state, generator)

    child.relaxed_loss = watched  # type: ignore[method-assign]
    search.go(1)
    first, validation, plus, minus, step = states
    assert torch.equal(plus, first) == (not as_published)
    assert torch.equal(minus, first) == (not as_published)
    assert not torch.equal(validation, first)
    assert not torch.equal(step, validation)
    assert float(child.get_buffer("seen")) == (5 if as_published else 1)


def test_each_text_has_its_state() -> None:
    """Of training and validation minibatches; one that continues nothing begins anew."""
    search = made(DARTS, Planted(Edges(4, list(FUNCTIONS))), TARGETS, rate=0.1)
    search.go(7)
    states = search.relaxed.states
    for split, first in (("training", 0), ("validation", 10**6)):
        expected = sum(batch_of(first + n, TARGETS).inputs.sum() for n in range(4, 7))
        torch.testing.assert_close(states[split], torch.as_tensor(expected))


def test_its_state_is_all_there_is() -> None:
    """Half of the steps, then the rest by others that were given the states."""
    whole = skipping(rule(max_skips=1, factor=1.3))
    half = skipping(rule(max_skips=1, factor=1.3))
    whole.go(60)
    half.go(30)
    other = skipping(rule(max_skips=1, factor=1.3))
    other.counters = dict(half.counters)
    other.relaxed.load_state_dict(copy.deepcopy(half.relaxed.state_dict()))
    for side in ("estimator", "controller"):
        other.optimizers[side].load_state_dict(half.optimizers[side].state_dict())
    other.relaxed.child.load_state_dict(half.relaxed.child.state_dict())
    other.relaxed.controller.load_state_dict(half.relaxed.controller.state_dict())
    other.generators.load_state_dict(half.generators.state_dict())
    other.go(30)
    assert torch.equal(other.relaxed.controller.logits, whole.relaxed.controller.logits)
    assert other.relaxed.eigenvalues == whole.relaxed.eigenvalues
    assert other.relaxed.stopped_at == whole.relaxed.stopped_at
    assert other.relaxed.stopped_with == whole.relaxed.stopped_with
    assert half.numbers + other.numbers == whole.numbers


@pytest.mark.parametrize(
    ("child", "optimizer", "order", "said"),
    [
        (None, torch.optim.SGD, 1, "has none"),
        (nn.Linear(1, 1), torch.optim.SGD, 1, "mixes all options, which Linear cannot"),
        (Planted(Edges(1, list(FUNCTIONS))), torch.optim.Adam, 2, "needs SGD.* is Adam"),
    ],
)
def test_what_cannot_be_relaxed_is_refused(
    child: Any, optimizer: Any, order: int, said: str
) -> None:
    relaxed = made(DARTS, Planted(Edges(1, list(FUNCTIONS))), ["sine"], rate=0.1, order=order)
    estimator: Any = SimpleNamespace(
        shared=child, make_optimizer=functools.partial(optimizer, lr=0.1)
    )
    with pytest.raises(UserError, match=said):
        RelaxedSteps(relaxed.relaxed.controller, estimator)


@pytest.mark.parametrize(("order", "passes"), [(1, 2), (2, 5)])
def test_passes_are_counted(order: int, passes: int) -> None:
    """Validation and the weights' step; of second order three training passes more."""
    child = Planted(Edges(4, list(FUNCTIONS)))
    search = made(DARTS, child, TARGETS, rate=0.1, order=order)
    search.go(3)
    expenses = search.judge.expenses
    assert expenses.numbers() == {"derive/minibatches_spent": 3.0 * passes}, "no multiply-adds"
    child.relaxed_multiply_adds = lambda weights: int((weights != 0).sum())  # type: ignore[method-assign]
    search.judge.expenses = Expenses(search.relaxed.child)
    search.go(1)
    inputs = 4 * 32
    assert search.judge.expenses.multiply_adds == 3 * passes * inputs * len(FUNCTIONS) * 4
