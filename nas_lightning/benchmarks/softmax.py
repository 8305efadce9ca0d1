"""The softmax of a language model: in pieces, against torch's own functions on all logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_lightning.benchmarks.timing import Comparison
from nas_lightning.search_spaces.enas_rnn.softmax import linear_cross_entropy

MINIBATCHES = 5
"""Scored at a call, so that a call takes long enough to be timed."""


@contextmanager
def in_pieces(
    *, tokens: int, vocabulary_size: int, hidden_size: int, learning: bool
) -> Iterator[Comparison]:
    """Loss, and gradients where it is learning, of minibatches.

    Args:
        tokens: N, of a minibatch.
        vocabulary_size: V.
        hidden_size: H.
        learning: Whether gradients are computed too.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, hidden_size, generator=generator).requires_grad_(learning)
    # As in training: with logits of a spread of 8 most exponentials would be subnormal, and slow.
    weight = (0.1 * torch.randn(vocabulary_size, hidden_size, generator=generator)).requires_grad_(
        learning
    )
    bias = torch.zeros(vocabulary_size).requires_grad_(learning)
    targets = torch.randint(vocabulary_size, (tokens,), generator=generator)

    def plain() -> Tensor:
        return F.cross_entropy(F.linear(x, weight, bias), targets, reduction="sum")

    def repeated(loss: Callable[[], Tensor]) -> None:
        for _ in range(MINIBATCHES):
            if learning:
                torch.autograd.grad(loss(), (x, weight, bias))
            else:
                loss()

    yield Comparison(
        aims={"ratio": 1},
        old=lambda: repeated(plain),
        new=lambda: repeated(lambda: linear_cross_entropy(x, weight, bias, targets)),
        amount=MINIBATCHES * tokens,
        unit="tokens",
    )
