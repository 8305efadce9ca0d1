"""The ways that are compared do the same work."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch

from benchmarks import recurrence
from benchmarks.at_once import more_processes
from benchmarks.controller import gradients, many_sampled, policy_gradient
from benchmarks.measurements import _controller
from benchmarks.recurrence import cells, held, many_scored, one_cell, plain_loss
from benchmarks.softmax import Sizes, in_pieces
from benchmarks.timing import Aims
from nas_lightning.controllers import Reinforce

SIZES: dict[str, Any] = {"num_nodes": 5, "hidden_size": 6, "vocabulary_size": 9, "length": 4}


def test_plain_autograd_comes_to_the_same_loss_and_gradients() -> None:
    child, architectures, batch = cells(1, **SIZES)
    parameters = list(child.parameters())
    ours, plain = (
        child.score(batch, architectures).loss_sum[0],
        plain_loss(child, architectures, batch),
    )
    torch.testing.assert_close(ours, plain)
    of_ours, of_plain = (
        torch.autograd.grad(loss, parameters, allow_unused=True) for loss in (ours, plain)
    )
    for actual, wanted in zip(of_ours, of_plain, strict=True):
        assert (actual is None) == (wanted is None)
        if actual is not None:
            torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4)


def test_what_is_held_is_counted_once_and_without_parameters() -> None:
    child, _, _ = cells(1, **SIZES)
    x = torch.ones(10, requires_grad=True)
    y = x.exp()
    assert held(lambda: (y * y[:5].repeat(2)).sum(), child) == 80
    assert held(lambda: (child.embedding * child.embedding).sum(), child) == 0


def test_a_policy_gradient_is_the_mean_of_single_ones() -> None:
    controller = _controller()
    assert isinstance(controller, Reinforce)
    controller.reset_parameters(torch.Generator().manual_seed(0))
    drawn = controller.space.sample(3, torch.Generator().manual_seed(0))
    advantages = torch.tensor([1.0, -2.0, 3.0])
    single = [gradients(controller, drawn[m : m + 1], advantages[m : m + 1]) for m in range(3)]
    together = gradients(controller, drawn, advantages)
    for mean, parts in zip(together, zip(*single, strict=True), strict=True):
        torch.testing.assert_close(mean, torch.stack(parts).mean(dim=0))


def test_cells_are_scored_together_where_a_search_would_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise both ways would be the same one."""
    calls: list[int] = []
    monkeypatch.setattr(recurrence, "score_all", lambda child, text, some: calls.append(len(some)))
    large = {**SIZES, "hidden_size": 64}
    child, _, batch = cells(3, **large)
    assert child.at_once(batch) == 1
    with many_scored(3, at_once=2, aims=Aims(), **large) as comparison:
        comparison.plain()
        comparison.ours()
    assert calls == [1, 1, 1, 2, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    ["training", "one scored", "scoring", "forks", "softmax", "sampling", "policy gradient"],
)
def test_all_ways_run(what: str) -> None:
    with ExitStack() as stack:
        comparison = stack.enter_context(
            {
                "training": lambda: one_cell(steps=2, learning=True, aims=Aims(), **SIZES),
                "one scored": lambda: one_cell(steps=2, learning=False, aims=Aims(), **SIZES),
                "scoring": lambda: many_scored(3, at_once=2, aims=Aims(), minibatches=2, **SIZES),
                "forks": lambda: more_processes(3, processes=2, aims=Aims(), **SIZES),
                "softmax": lambda: in_pieces(
                    Sizes(4000, 300, 4), learning=True, aims=Aims(memory=0.5)
                ),
                "sampling": lambda: many_sampled(_controller(), architectures=3),
                "policy gradient": lambda: policy_gradient(_controller(), architectures=3),
            }[what]()
        )
        comparison.plain()
        comparison.ours()
        assert (comparison.limit is not None) == (what in ("training", "one scored", "scoring"))
        if comparison.limit is not None:
            comparison.limit()
        if comparison.memory is not None:
            plain, ours = comparison.memory()
            assert 0 < ours < plain
