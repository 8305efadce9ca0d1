"""Many cells scored on a text: together, against one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.recurrence import cells, multiplications, waited_for
from benchmarks.timing import Aims, Comparison
from nas_lightning.search_spaces.child import score_all


@contextmanager
def many_scored(
    m: int,
    *,
    at_once: int,
    num_nodes: int,
    hidden_size: int,
    vocabulary_size: int,
    length: int,
    aims: Aims,
    minibatches: int = 1,
    device: str = "cpu",
) -> Iterator[Comparison]:
    """M cells under shared weights, the states carried from minibatch to minibatch.

    Args:
        m: M.
        at_once: How many in one call, as in a search.
        num_nodes: N.
        hidden_size: H.
        vocabulary_size: V.
        length: L.
        aims: What is aimed at.
        minibatches: How many the text has.
        device: Where.
    """
    child, architectures, batch = cells(
        m,
        num_nodes=num_nodes,
        hidden_size=hidden_size,
        vocabulary_size=vocabulary_size,
        length=length,
        device=device,
    )
    text = [batch, *[batch._replace(continues=True)] * (minibatches - 1)]

    @torch.no_grad()
    def one_by_one() -> None:
        for architecture in architectures:
            score_all(child, text, architecture.unsqueeze(0))

    @torch.no_grad()
    def together() -> None:
        for some in torch.split(architectures, min(at_once, child.at_once(batch) or at_once)):
            score_all(child, text, some)

    yield Comparison(
        aims=aims,
        plain=waited_for(one_by_one, device),
        ours=waited_for(together, device),
        amount=m,
        unit="cells",
        limit=waited_for(
            multiplications(child, architectures, batch, learning=False, repeats=minibatches),
            device,
        ),
    )
