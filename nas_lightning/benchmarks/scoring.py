"""Many cells scored on one minibatch: together, against one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nas_lightning.benchmarks.recurrence import cells, multiplications
from nas_lightning.benchmarks.timing import Comparison


@contextmanager
def many_scored(
    m: int, *, num_nodes: int, hidden_size: int, vocabulary_size: int, length: int, target: float
) -> Iterator[Comparison]:
    """M cells under shared weights.

    Args:
        m: M.
        num_nodes: N.
        hidden_size: H.
        vocabulary_size: V.
        length: L.
        target: See `Comparison`.
    """
    child, architectures, batch = cells(
        m,
        num_nodes=num_nodes,
        hidden_size=hidden_size,
        vocabulary_size=vocabulary_size,
        length=length,
    )

    @torch.no_grad()
    def one_by_one() -> None:
        for architecture in architectures:
            child.score(batch, architecture.unsqueeze(0))

    @torch.no_grad()
    def together() -> None:
        child.score(batch, architectures)

    yield Comparison(
        target=target,
        old=one_by_one,
        new=together,
        amount=m,
        unit="cells",
        limit=multiplications(child, architectures, batch, learning=False),
    )
