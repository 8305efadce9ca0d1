"""On a GPU: the same ratios, an epoch of Penn Treebank, children a minute, and captured steps.

These rows are there where a GPU is.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from benchmarks.numbers import Number, over_rounds
from benchmarks.recurrence import ROWS, cells, waited_for
from benchmarks.timing import Aims, Comparison, repeats, seconds
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.training.captured import Captured

TOKENS = 929_589
"""Of Penn Treebank's training text."""

STEPS = 10
"""Timed together: what is launched runs behind."""


def epoch(
    child: Any, space: SearchSpace, rounds: int, *, vocabulary_size: int, length: int
) -> list[Number]:
    """Training shared weights for as many tokens as Penn Treebank has, by the type of numbers.

    Every step has another uniform cell. Tokens are random.

    Args:
        child: The network, on the processor.
        space: Where cells are drawn from.
        rounds: How often.
        vocabulary_size: V.
        length: L.
    """
    child.reset_parameters(torch.Generator().manual_seed(0))
    child.cuda().train()
    optimizer = torch.optim.SGD(child.parameters(), lr=1)
    drawn, dropped = torch.Generator().manual_seed(0), torch.Generator("cuda").manual_seed(0)
    tokens = torch.randint(vocabulary_size, (ROWS, length + 1), generator=drawn).cuda()
    batch = _batch(tokens)

    def steps() -> None:
        state = None
        for _ in range(STEPS):
            score = child.score(batch, space.sample(1, drawn), state, dropped)
            optimizer.zero_grad()
            torch.autograd.backward(score.loss_sum.mean() / score.count)
            torch.nn.utils.clip_grad_norm_(child.parameters(), 0.25)
            optimizer.step()
            state = score.state

    bfloat = torch.autocast("cuda", torch.bfloat16)
    kinds: dict[str, tuple[bool, AbstractContextManager[Any]]] = {
        "float32": (False, nullcontext()),
        "float32, products in TF32": (True, nullcontext()),
        "bfloat16 where autocast says": (False, bfloat),
    }
    found = []
    for name, (tf32, context) in kinds.items():
        torch.backends.cuda.matmul.allow_tf32 = tf32
        with context:
            work = waited_for(steps, "cuda")
            times = [seconds(work) / STEPS for _ in repeats(rounds + 1)][1:]
            busy = float(torch.cuda.utilization())
        whole = [time * TOKENS / (ROWS * length) for time in times]
        beside = {"ms a step": 1000 * statistics.median(times), "% of the time busy": busy}
        found.append(over_rounds(f"{name}, s", whole, beside=beside))
    return found


def _batch(tokens: torch.Tensor) -> Any:
    from nas_lightning.data.base import Batch

    return Batch(tokens[:, :-1], tokens[:, 1:], True)


@contextmanager
def captured(*, length: int, aims: Aims, **sizes: int) -> Iterator[Comparison]:
    """Training steps of one cell as a CUDA graph, against one operation after the other.

    Args:
        length: L.
        aims: What is aimed at.
        sizes: Of the cell, see `cells`.
    """
    shared, cell, batch = cells(1, length=length, device="cuda", **sizes)
    child = shared.fresh(cell, [torch.Generator().manual_seed(0)])

    def step(
        inputs: torch.Tensor, targets: torch.Tensor, state: torch.Tensor | None
    ) -> torch.Tensor | None:
        score = child.score(batch, cell, state)
        child.zero_grad()
        torch.autograd.backward(score.loss_sum.sum())
        return score.state

    graph = Captured(step, [*child.parameters()], torch.Generator("cuda"))

    def repeated(take: Callable[..., object]) -> None:
        for _ in range(STEPS):
            take(batch.inputs, batch.targets, None)

    yield Comparison(
        aims=aims,
        plain=waited_for(lambda: repeated(step), "cuda"),
        ours=waited_for(lambda: repeated(graph), "cuda"),
        amount=STEPS,
        unit="steps",
    )
