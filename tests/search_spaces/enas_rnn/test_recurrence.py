"""The unroll, fast and plain, against a loop over cells, time steps and nodes, in float64.

The loop is written from the published formulas and shares no code with the package. Values and the
gradients of everything that goes in are compared, for cells and sizes drawn by Hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn import recurrence
from nas_lightning.search_spaces.enas_rnn.recurrence import unroll
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS
from nas_lightning.search_spaces.enas_rnn.wiring import wire

NAMES = ("projected", "state", "recurrent", "edge_weights")


@dataclass(frozen=True)
class Case:
    """Cells, what goes into them, and how they are run."""

    cells: list[list[int]]
    inputs: dict[str, Tensor]
    separate: bool
    last_node: bool
    limit: float | None

    def run(self, normalise: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        projected, state, recurrent, edges = (self.inputs[name] for name in NAMES)
        wiring = wire(torch.tensor(self.cells), ACTIVATIONS, state, separate=self.separate)
        pool = edges.flatten(0, 1) if self.separate else edges
        return unroll(
            projected,
            state,
            recurrent,
            [pool[number] for number in wiring.edges],
            wiring,
            last_node=self.last_node,
            normalise=normalise,
            max_hidden_norm=self.limit,
        )

    def naive(self) -> tuple[Tensor, Tensor]:
        results = [self._naive(m, cell) for m, cell in enumerate(self.cells)]
        outputs, states = zip(*results, strict=True)
        return torch.stack(outputs, dim=1), torch.stack(states)

    def _naive(self, m: int, cell: list[int]) -> tuple[Tensor, Tensor]:
        num_nodes = (len(cell) + 1) // 2
        previous = [-1, *cell[1::2]]
        names = [ACTIVATIONS[number] for number in [cell[0], *cell[2::2]]]
        projected, state, recurrent, edges = (self.inputs[name] for name in NAMES)
        if self.separate:
            projected, recurrent, edges = projected[:, m], recurrent[m], edges[m]
        else:
            projected = projected[:, 0]
            pool = [(i, j) for j in range(num_nodes) for i in range(j)]
            edges = torch.stack(
                [edges[pool.index((previous[j], j))] for j in range(1, num_nodes)] or [edges.sum()]
            )
        h, width = state[m], state.shape[-1]
        outputs = []
        for x in projected:
            nodes: list[Tensor] = []
            for j, name in enumerate(names):
                s = nodes[previous[j]] if j else h
                a = s @ edges[j - 1] if j else x + h @ recurrent
                c = 1 / (1 + torch.exp(-a[:, :width]))
                nodes.append(c * function(name, a[:, width:]) + (1 - c) * s)
            leaves = [node for j, node in enumerate(nodes) if j not in previous]
            outputs.append(torch.stack(leaves).sum(dim=0) / len(leaves))
            h = nodes[-1] if self.last_node else outputs[-1]
            if self.limit is not None:
                norm = (h**2).sum(dim=1, keepdim=True).sqrt()
                h = torch.where(norm > self.limit, h * self.limit / norm, h)
        return torch.stack(outputs), h


def function(name: str, x: Tensor) -> Tensor:
    if name == "tanh":
        return (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
    if name == "relu":
        return x * (x > 0)
    if name == "sigmoid":
        return 1 / (1 + (-x).exp())
    assert name == "identity"
    return x


@st.composite
def cases(draw: st.DrawFn) -> Case:
    m, n, b, length, h = (draw(st.integers(1, most)) for most in (4, 6, 3, 4, 3))
    option = st.integers(0, len(ACTIVATIONS) - 1)
    cells = [
        [draw(option)] + [draw(o) for j in range(1, n) for o in (st.integers(0, j - 1), option)]
        for _ in range(m)
    ]
    separate = draw(st.booleans())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    edges = (m, n - 1, h, 2 * h) if separate else (n * (n - 1) // 2, h, 2 * h)
    return Case(
        cells=cells,
        inputs={
            "projected": drawn(length, m if separate else 1, b, 2 * h),
            "state": drawn(m, b, h),
            "recurrent": drawn(m, h, 2 * h) if separate else drawn(h, 2 * h),
            "edge_weights": drawn(*edges),
        },
        separate=separate,
        last_node=draw(st.booleans()),
        limit=draw(st.sampled_from([None, 0.3, 1e6])),
    )


def gradients(case: Case, results: tuple[Tensor, Tensor], **options: Any) -> list[Tensor]:
    """Of a sum in which every number of outputs and states has a weight of its own."""
    total = torch.zeros((), dtype=torch.float64)
    for tensor in results:
        weights = torch.linspace(1, 2, tensor.numel(), dtype=torch.float64)
        total = total + (tensor.flatten() * weights).sum()
    return list(
        torch.autograd.grad(
            total, list(case.inputs.values()), allow_unused=True, materialize_grads=True, **options
        )
    )


def unchanged(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize("normalise", [None, unchanged], ids=["fast", "plain"])
@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_values_and_gradients(normalise: Callable[[Tensor], Tensor] | None, case: Case) -> None:
    exact: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
    expected, found = case.naive(), case.run(normalise)
    torch.testing.assert_close(found, expected, **exact)
    pairs = zip(NAMES, gradients(case, found), gradients(case, expected), strict=True)
    for name, actual, wanted in pairs:
        torch.testing.assert_close(actual, wanted, **exact, msg=f"{name}: {{}}".format)
    with torch.no_grad():  # buffers of one step
        outputs, state = case.run(normalise)
    assert torch.equal(outputs, found[0])
    assert torch.equal(state, found[1])


@pytest.mark.parametrize("normalise", [None, unchanged], ids=["fast", "plain"])
@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_in_single_precision(normalise: Callable[[Tensor], Tensor] | None, case: Case) -> None:
    """To what single precision has, relative to the largest number."""
    inputs = {name: x.detach().float().requires_grad_() for name, x in case.inputs.items()}
    single = replace(case, inputs=inputs)
    expected, found = case.run(normalise), single.run(normalise)
    pairs = zip(
        [*found, *gradients(single, found)], [*expected, *gradients(case, expected)], strict=True
    )
    for actual, wanted in pairs:
        assert actual.dtype == torch.float32
        error = (actual - wanted).abs().max() if actual.numel() else 0
        assert error <= 1e-4 * (1 + (wanted.abs().max() if wanted.numel() else 0))


def example(m: int = 2) -> Case:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    return Case(
        cells=[[0, 0, 1, 1, 3, 0, 2], [3, 0, 0, 0, 0, 2, 1]][:m],
        inputs={
            "projected": drawn(5, 1, 3, 8),
            "state": drawn(m, 3, 4),
            "recurrent": drawn(4, 8),
            "edge_weights": drawn(6, 4, 8),
        },
        separate=False,
        last_node=False,
        limit=1.0,
    )


def test_a_second_backward_is_refused() -> None:
    case = example()
    results = case.run()
    gradients(case, results, retain_graph=True)
    with pytest.raises(RuntimeError, match="a second backward through the same unroll"):
        gradients(case, results)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_are_refused(name: str, power: int) -> None:
    """Also of a sum, whose own gradient needs none: they would come back as constants."""
    case = example()
    loss = (case.run()[0] ** power).sum()
    with pytest.raises(RuntimeError, match="create_graph=True is not allowed"):
        torch.autograd.grad(loss, case.inputs[name], create_graph=True)


@pytest.mark.parametrize("m", [1, 2])
def test_repeats_are_bit_identical(m: int) -> None:
    case = example(m)
    first, again = (gradients(case, case.run()) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_a_cell_that_diverged_stays_alone() -> None:
    case = example()
    with torch.no_grad():
        case.inputs["state"][0] = torch.nan
        outputs, state = case.run()
    assert bool(outputs[:, 0].isnan().all())
    assert bool(outputs[:, 1].isfinite().all())
    assert bool(state[1].isfinite().all())


def test_without_normalisation_it_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """One operation in the graph for all time steps, and no plain one beside it."""
    case = example()
    saved: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, unchanged):
        outputs, _ = case.run()
    assert type(outputs.grad_fn).__name__ == "_UnrollBackward"
    kept = [tensor for tensor in saved if tensor.dim() > 2]
    assert len(kept) == 5, "four buffers, and node 0's weights; those of edges are as they were"
    monkeypatch.delattr(recurrence, "unroll_plainly")
    case.run()
