"""The softmax of a language model: in pieces, against torch's own functions on all logits."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Aims, Comparison
from nas_lightning.search_spaces.enas_rnn.softmax import linear_cross_entropy

MINIBATCHES = 5
"""At a call, so that it takes long enough to be timed."""


class Sizes(NamedTuple):
    """Of a softmax: tokens of a minibatch N, words V and units H."""

    tokens: int
    vocabulary_size: int
    hidden_size: int


class Minibatch:
    """A minibatch for either way.

    Args:
        sizes: Its sizes.
        learning: Whether gradients are computed too.
    """

    def __init__(self, sizes: Sizes, *, learning: bool) -> None:
        n, v, h = sizes
        generator = torch.Generator().manual_seed(0)
        self.learning = learning
        self.x = torch.empty(n, h).normal_(generator=generator).requires_grad_(learning)
        # As in training: with logits of a spread of 8 most exponentials would be subnormal, slow.
        weight = torch.empty(v, h).normal_(0, 0.1, generator=generator)
        self.weight = weight.requires_grad_(learning)
        self.bias = torch.zeros(v).requires_grad_(learning)
        self.targets = torch.randint(v, (n,), generator=generator)

    def plain(self) -> Tensor:
        """The loss by torch's own functions."""
        logits = F.linear(self.x, self.weight, self.bias)
        return F.cross_entropy(logits, self.targets, reduction="sum")

    def ours(self) -> Tensor:
        """The loss in pieces."""
        return linear_cross_entropy(self.x, self.weight, self.bias, self.targets)

    def done(self, loss: Callable[[], Tensor]) -> None:
        """Compute a loss, and its gradients where it is learning."""
        if self.learning:
            torch.autograd.grad(loss(), (self.x, self.weight, self.bias))
        else:
            loss()


@contextmanager
def in_pieces(sizes: Sizes, *, learning: bool, aims: Aims) -> Iterator[Comparison]:
    """Loss, and gradients where it is learning, of minibatches; with an aim the memory of one.

    Args:
        sizes: Of a minibatch.
        learning: Whether gradients are computed too.
        aims: What is aimed at.
    """
    minibatch = Minibatch(sizes, learning=learning)

    def repeated(loss: Callable[[], Tensor]) -> None:
        for _ in range(MINIBATCHES):
            minibatch.done(loss)

    def memory() -> tuple[int, int]:
        return alone(sizes, "plain"), alone(sizes, "ours")

    yield Comparison(
        aims=aims,
        plain=lambda: repeated(minibatch.plain),
        ours=lambda: repeated(minibatch.ours),
        amount=MINIBATCHES * sizes.tokens,
        unit="tokens",
        memory=None if aims.memory is None else memory,
    )


def needed(sizes: Sizes, way: str) -> int:
    """Bytes by which a training step exceeds all there was before it, in a fresh process.

    Args:
        sizes: Of the minibatch.
        way: `plain` or `ours`.
    """
    warm = Minibatch(Sizes(8, 8, 8), learning=True)  # threads and libraries are there then
    warm.done(getattr(warm, way))
    minibatch = Minibatch(sizes, learning=True)
    before = peak()
    minibatch.done(getattr(minibatch, way))
    return peak() - before


def alone(sizes: Sizes, way: str) -> int:
    """What is `needed`, in a fresh process: what others have freed would be taken for free."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as own:
        return own.submit(needed, sizes, way).result()


def peak() -> int:
    """Bytes of this process that were in memory when most were.

    `getrusage` would also count what the process was before it became Python.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])
