"""The forward of `sequence.py`: level by level at every time step, into buffers made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn.wiring import Level, Wiring

ACTIVATE: dict[str, Callable[[Tensor], object]] = {
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid_,
}
"""In place."""


class Buffers(NamedTuple):
    """What is computed, for one time step or for all L; a row's time steps follow one another.

    Attributes:
        values: Gates and candidates c and f, side by side, `(K, steps, B, 2H)`.
        nodes: Outputs of the nodes, `(K, steps, B, H)`.
        states: Hidden states; with all L steps one more, that before the first,
            `(M, 1 or L + 1, B, H)`.
        phi: What hidden states were divided by, `(M, steps, B, 1)`.
    """

    values: Tensor
    nodes: Tensor
    states: Tensor
    phi: Tensor


def forward(
    projected: Tensor,
    state: Tensor,
    recurrent: Tensor,
    edges: Sequence[Tensor],
    wiring: Wiring,
    last_node: bool,
    limit: float | None,
    *,
    keep: bool,
) -> tuple[Tensor, Buffers]:
    """Outputs `(L, M, B, H)`, and the buffers with all time steps (`keep`) or the last one."""
    (length, _, batch, width), (m, _, h), k = projected.shape, state.shape, len(wiring.cells)
    steps = length if keep else 1
    buffers = Buffers(
        values=state.new_empty(k, steps, batch, width),
        nodes=state.new_empty(k, steps, batch, h),
        states=state.new_empty(m, steps + keep, batch, h),
        phi=state.new_empty(m, steps, batch, 1),
    )
    outputs = state.new_empty(m, length, batch, h).transpose(0, 1)
    buffers.states[:, 0] = state
    levels = [_Level(level, buffers, edges, wiring.uses) for level in wiring.levels]
    recurrent = recurrent.expand(m, h, width)
    shares, weighted = wiring.shares.view(1, k), state.new_empty(k, batch, h)
    states, phis = buffers.states.unbind(dim=1), buffers.phi.unbind(dim=1)
    all_nodes = buffers.nodes.unbind(dim=1)
    for t, (step, output) in enumerate(zip(projected.unbind(), outputs.unbind(), strict=True)):
        now = t if keep else 0
        for level in levels:
            level(now, step, recurrent)
        nodes, following = all_nodes[now], states[now + keep]
        if m == 1:
            torch.mm(shares, nodes.view(k, -1), out=output.view(1, -1))
        else:
            torch.mul(nodes, wiring.shares, out=weighted)
            output.zero_().index_add_(0, wiring.cells, weighted)
        handed = nodes.index_select(0, wiring.last) if last_node else output
        if limit is None:
            following.copy_(handed)
        else:
            phi = phis[now]
            torch.linalg.vector_norm(handed, dim=-1, keepdim=True, out=phi)
            torch.div(handed, phi.div_(limit).clamp_min_(1), out=following)
    return outputs, buffers


class _Level:
    """One level at every time step. Views of the buffers are made once, as they cost time.

    Args:
        level: The nodes, n of the K.
        buffers: Where they are computed.
        edges: The weights of the edges in use.
        uses: See `Wiring`.
    """

    def __init__(
        self, level: Level, buffers: Buffers, edges: Sequence[Tensor], uses: Sequence[int]
    ) -> None:
        rows, m, n = slice(level.start, level.stop), len(buffers.states), len(level.reads)
        both = buffers.values[rows]
        gate, candidate = both.chunk(2, dim=-1)
        self._both, self._gate = both.unbind(dim=1), gate.unbind(dim=1)
        self._candidate = candidate.unbind(dim=1)
        self._nodes = buffers.nodes[rows].unbind(dim=1)
        self._activations = [
            (ACTIVATE[name], candidate[start:stop].unbind(dim=1))
            for name, start, stop in level.activations
        ]
        above = buffers.states if level.start == 0 else buffers.nodes
        first = level.reads[0]
        self._gathered: Tensor | None = None
        if adjacent(level.reads):  # nothing is to be gathered
            self._above = above[first : first + n].unbind(dim=1)
        elif set(level.reads) == {first}:
            self._above = above[first : first + 1].expand(n, -1, -1, -1).unbind(dim=1)
        else:
            self._above = above.unbind(dim=1)
            self._gathered = torch.empty_like(self._nodes[0])
            self._index = level.index
        reads = self._above if self._gathered is None else [self._gathered] * both.shape[1]
        self._products: list[tuple[Sequence[Tensor], Tensor, Sequence[Tensor]]] = []
        own = uses[level.start - m : level.stop - m] if level.start else []
        for start, stop in runs(own, both):
            weight = edges[own[start]]
            if stop - start == 1:
                self._products.append(
                    (above[level.reads[start]].unbind(), weight, both[start].unbind())
                )
            elif both.is_cpu:
                sides = (
                    [x[start:stop].flatten(0, 1) for x in side] for side in (reads, self._both)
                )
                self._products.append((next(sides), weight, next(sides)))
            else:
                weight = torch.stack([edges[use] for use in own])
                self._products.append((reads, weight, self._both))

    def __call__(self, t: int, step: Tensor, recurrent: Tensor) -> None:
        """Compute it at time step t, node 0 from its input's projection and its weights."""
        read, both = self._above[t], self._both[t]
        if self._gathered is not None:
            read = torch.index_select(read, 0, self._index, out=self._gathered)
        if self._products:
            for reads, weight, into in self._products:
                torch.matmul(reads[t], weight, out=into[t])
        else:
            torch.baddbmm(step, read, recurrent, out=both)
        self._gate[t].sigmoid_()
        for activate, candidates in self._activations:
            activate(candidates[t])
        torch.lerp(read, self._candidate[t], self._gate[t], out=self._nodes[t])


def runs(uses: Sequence[int], both: Tensor) -> list[tuple[int, int]]:
    """Where rows that are multiplied together start and stop, for values `(n, steps, B, 2H)`.

    On a processor those of one weight, where they are adjacent, without a copy of it; elsewhere,
    where every operation is to be launched, all.
    """
    if not both.is_cpu:
        return [(0, len(uses))] if uses else []
    stops = [
        place + 1
        for place, use in enumerate(uses)
        if both.shape[1] > 1 or uses[place + 1 : place + 2] != [use]
    ]
    return list(zip([0, *stops], stops, strict=False))


def adjacent(rows: list[int]) -> bool:
    """Whether the rows follow one another."""
    return rows == [*range(rows[0], rows[0] + len(rows))]
