"""The unroll as one operation with a backward of its own: few operations and little memory.

Forward, at every time step and for every level (`wiring.py`), with s what its nodes read:

    (a_c, a_f) = s W  (level 0: x W + s U)    c = sigmoid(a_c)    f = activation(a_f)
    out = s + c (f - s)

and then, with w the shares of the leaves, the output o = sum_k w_k out_k and the next hidden state
h = o / phi (or the last node's output for o) with phi = max(1, |o| / limit).

All of it goes into buffers that are made once. c and f overwrite the pre-activations. When nothing
is to be differentiated the buffers hold one time step, otherwise all L: K rows of c, f and out.

Backward, from the last time step to the first and from the deepest level up, with g the gradient
with respect to out (the share of the cell's output, plus what the level below has handed up):

    d_f = g c activation'(f)    d_c = g (f - s) c (1 - c)    d_s = g (1 - c) + (d_c, d_f) W^T

d_c and d_f overwrite c and f: all activations' derivatives are functions of their values. So when
the loop has ended the buffer holds the gradients of the pre-activations of all time steps, and the
gradient of an edge's weights is one multiplication over all of them: W' = sum_t s_t^T (d_c, d_f)_t.
The limit, where it bites, takes away the part of the gradient that is along h:

    d_o = (d_h - h (h . d_h) / limit^2) / phi

For the same reason there is one backward only, and no second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas_lightning.search_spaces.enas_rnn.wiring import Level, Wiring

aten = torch.ops.aten

ACTIVATE: dict[str, Callable[[Tensor], object]] = {
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid_,
}
"""In place."""

DIFFERENTIATE: dict[str, Callable[[Tensor, Tensor], object]] = {
    "tanh": lambda g, f: aten.tanh_backward.grad_input(g, f, grad_input=f),
    "relu": lambda g, f: aten.threshold_backward.grad_input(g, f, 0, grad_input=f),
    "identity": lambda g, f: f.copy_(g),
    "sigmoid": lambda g, f: aten.sigmoid_backward.grad_input(g, f, grad_input=f),
}
"""Overwrite the value f by g times the derivative."""


def unroll(
    projected: Tensor,
    state: Tensor,
    recurrent: Tensor,
    edge_weights: Tensor,
    wiring: Wiring,
    *,
    last_node: bool,
    max_hidden_norm: float | None,
) -> tuple[Tensor, Tensor]:
    """Run M cells over L time steps; see `recurrence.unroll_plainly`, the same without `normalise`.

    Raises:
        RuntimeError: In a second backward.
    """
    inputs = (projected, state, recurrent, edge_weights)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        outputs, state = _Unroll.apply(  # type: ignore[no-untyped-call]
            *inputs, wiring, last_node, max_hidden_norm
        )
        return outputs, state
    outputs, buffers = _forward(*inputs, wiring, last_node, max_hidden_norm, keep=False)
    return outputs, buffers.states[-1]


class _Buffers(NamedTuple):
    """What is computed, for one time step or for all L.

    Attributes:
        values: Gates and candidates c and f, side by side, `(steps, K, B, 2H)`.
        nodes: Outputs of the nodes, `(steps, K, B, H)`.
        states: Hidden states; with all L steps one more, that before the first,
            `(1 or L + 1, M, B, H)`.
        phi: What hidden states were divided by, `(steps, M, B, 1)`.
    """

    values: Tensor
    nodes: Tensor
    states: Tensor
    phi: Tensor


class _Level:
    """One level's parts of the buffers, a view for every time step: made once, as views cost time.

    Attributes:
        both: `(n, B, 2H)`.
        gate: `(n, B, H)`.
        candidate: `(n, B, H)`.
        nodes: `(n, B, H)`.
        activations: Name, where its rows start and stop, and these rows of `candidate`.
    """

    def __init__(self, level: Level, buffers: _Buffers) -> None:
        rows = slice(level.start, level.stop)
        both = buffers.values[:, rows]
        gate, candidate = both.chunk(2, dim=-1)
        self.both, self.gate, self.candidate = both.unbind(), gate.unbind(), candidate.unbind()
        self.nodes = buffers.nodes[:, rows].unbind()
        self.activations = [
            (name, start, stop, candidate[:, start:stop].unbind())
            for name, start, stop in level.activations
        ]
        above = buffers.states if level.start == 0 else buffers.nodes
        first, n = level.reads[0], len(level.reads)
        self._gathered: Tensor | None = None
        if adjacent(level.reads):  # nothing is to be gathered
            self._above = above[:, first : first + n].unbind()
        elif set(level.reads) == {first}:
            self._above = above[:, first : first + 1].expand(-1, n, -1, -1).unbind()
        else:
            self._above = above.unbind()
            self._gathered = torch.empty_like(self.nodes[0])
            self._index = level.index

    def read(self, t: int) -> Tensor:
        """What the nodes read at time step t, `(n, B, H)`, until the next call."""
        if self._gathered is None:
            return self._above[t]
        return torch.index_select(self._above[t], 0, self._index, out=self._gathered)


def adjacent(rows: list[int]) -> bool:
    """Whether the rows follow one another."""
    return rows == [*range(rows[0], rows[0] + len(rows))]


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        state: Tensor,
        recurrent: Tensor,
        edge_weights: Tensor,
        wiring: Wiring,
        last_node: bool,
        limit: float | None,
    ) -> tuple[Tensor, Tensor]:
        outputs, buffers = _forward(
            projected, state, recurrent, edge_weights, wiring, last_node, limit, keep=True
        )
        ctx.save_for_backward(recurrent, edge_weights, *buffers)
        ctx.arguments = wiring, last_node, limit
        ctx.own_projections = projected.shape[1] > 1
        ctx.spent = False
        return outputs, buffers.states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_outputs: Tensor, to_state: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.spent:
            raise RuntimeError(
                "a second backward through the same unroll: the first has overwritten what it needs"
            )
        ctx.spent = True
        recurrent, edge_weights, *saved = ctx.saved_tensors
        buffers = _Buffers(*saved)
        wiring, last_node, limit = ctx.arguments
        to_state = _backward(
            to_outputs, to_state, recurrent, edge_weights, buffers, wiring, last_node, limit
        )
        to_projected = buffers.values[:, : len(wiring.last)]
        if not ctx.own_projections:
            to_projected = to_projected.sum(dim=1, keepdim=True)
        to_recurrent, to_edges = _to_weights(recurrent, edge_weights, buffers, wiring)
        return to_projected, to_state, to_recurrent, to_edges, None, None, None


def _forward(
    projected: Tensor,
    state: Tensor,
    recurrent: Tensor,
    edge_weights: Tensor,
    wiring: Wiring,
    last_node: bool,
    limit: float | None,
    *,
    keep: bool,
) -> tuple[Tensor, _Buffers]:
    """Outputs `(L, M, B, H)`, and the buffers with all time steps (`keep`) or the last one."""
    (length, _, batch, width), (m, _, h), k = projected.shape, state.shape, len(wiring.cells)
    steps = length if keep else 1
    buffers = _Buffers(
        values=state.new_empty(steps, k, batch, width),
        nodes=state.new_empty(steps, k, batch, h),
        states=state.new_empty(steps + keep, m, batch, h),
        phi=state.new_empty(steps, m, batch, 1),
    )
    outputs = state.new_empty(length, m, batch, h)
    buffers.states[0] = state
    levels = [_Level(level, buffers) for level in wiring.levels]
    weights = [edge_weights[level.start - m : level.stop - m] for level in wiring.levels[1:]]
    recurrent = recurrent.expand(m, h, width)
    shares, weighted = wiring.shares.view(1, k), torch.empty_like(buffers.nodes[0])
    for t, (step, output) in enumerate(zip(projected.unbind(), outputs.unbind(), strict=True)):
        now = t if keep else 0
        for depth, level in enumerate(levels):
            read, both = level.read(now), level.both[now]
            if depth == 0:
                torch.baddbmm(step, read, recurrent, out=both)
            else:
                torch.bmm(read, weights[depth - 1], out=both)
            level.gate[now].sigmoid_()
            for name, _, _, candidates in level.activations:
                ACTIVATE[name](candidates[now])
            torch.lerp(read, level.candidate[now], level.gate[now], out=level.nodes[now])
        nodes, following = buffers.nodes[now], buffers.states[now + keep]
        if m == 1:
            torch.mm(shares, nodes.view(k, -1), out=output.view(1, -1))
        else:
            torch.mul(nodes, wiring.shares, out=weighted)
            output.zero_().index_add_(0, wiring.cells, weighted)
        if last_node:
            torch.index_select(nodes, 0, wiring.last, out=following)
        else:
            following.copy_(output)
        if limit is not None:
            phi = buffers.phi[now]
            torch.linalg.vector_norm(following, dim=-1, keepdim=True, out=phi)
            following.div_(phi.div_(limit).clamp_min_(1))
    return outputs, buffers


def _backward(
    to_outputs: Tensor,
    to_state: Tensor,
    recurrent: Tensor,
    edge_weights: Tensor,
    buffers: _Buffers,
    wiring: Wiring,
    last_node: bool,
    limit: float | None,
) -> Tensor:
    """The gradient of the state at the start; the values become pre-activations' gradients."""
    m, hidden, to_nodes = len(wiring.last), to_state.clone(), torch.empty_like(buffers.nodes[0])
    levels = [
        _LevelBackward(
            level,
            buffers,
            edge_weights[level.start - m : level.stop - m] if level.start else recurrent,
            to_nodes,
            hidden,
        )
        for level in reversed(wiring.levels)
    ]
    if limit is not None:
        along = (buffers.phi > 1).to(buffers.phi) / limit**2
    for t in reversed(range(len(to_outputs))):
        if limit is not None:
            state = buffers.states[t + 1]
            dot = (state * hidden).sum(dim=-1, keepdim=True).mul_(along[t])
            hidden.addcmul_(state, dot, value=-1).div_(buffers.phi[t])
        output = to_outputs[t] if last_node else to_outputs[t] + hidden
        if m > 1:
            output = output.index_select(0, wiring.cells)
        torch.mul(output, wiring.shares, out=to_nodes)
        if last_node:
            to_nodes.index_add_(0, wiring.last, hidden)
        for level in levels:
            level(t)
    return hidden


class _LevelBackward:
    """The backward of one level.

    Args:
        level: The nodes.
        buffers: What was computed.
        weight: Of the edges into them, `(1 or n, H, 2H)`.
        to_nodes: Gradients with respect to all nodes at a time step, `(K, B, H)`: those of this
            level are read, to those of the level above is added.
        to_hidden: Where level 0 puts the gradient of the hidden states, `(M, B, H)`.
    """

    def __init__(
        self, level: Level, buffers: _Buffers, weight: Tensor, to_nodes: Tensor, to_hidden: Tensor
    ) -> None:
        first, n = level.reads[0], len(level.reads)
        self._of = _Level(level, buffers)
        self._transposed = weight.transpose(1, 2).expand(n, -1, -1)
        self._g = to_nodes[level.start : level.stop]
        self._gc, self._difference, self._to_read = (torch.empty_like(self._g) for _ in range(3))
        self._rows = [self._gc[start:stop] for _, start, stop, _ in self._of.activations]
        self._index, self._first = level.index, level.start == 0
        self._to_above = to_hidden if self._first else to_nodes
        self._adjacent = self._to_above[first : first + n] if adjacent(level.reads) else None

    def __call__(self, t: int) -> None:
        """Take it at time step t."""
        of, gate = self._of, self._of.gate[t]
        gc = torch.mul(self._g, gate, out=self._gc)
        s = torch.sub(self._g, gc, out=self._to_read)
        difference = torch.sub(of.candidate[t], of.read(t), out=self._difference)
        gate.mul_(difference).mul_(s)
        for (name, _, _, candidates), rows in zip(of.activations, self._rows, strict=True):
            DIFFERENTIATE[name](rows, candidates[t])
        s.baddbmm_(of.both[t], self._transposed)
        if self._first:  # every hidden state is read by one node
            self._to_above.index_copy_(0, self._index, s)
        elif self._adjacent is not None:
            self._adjacent.add_(s)
        else:
            # On CUDA rows read twice are summed in any order, unless torch is told
            # `use_deterministic_algorithms`.
            self._to_above.index_add_(0, self._index, s)


def _to_weights(
    recurrent: Tensor, edge_weights: Tensor, buffers: _Buffers, wiring: Wiring
) -> tuple[Tensor, Tensor]:
    """Gradients of the weights from those of the pre-activations, over all time steps at once."""
    to_recurrent, to_edges = torch.zeros_like(recurrent), torch.empty_like(edge_weights)
    m = len(wiring.last)
    for level in wiring.levels:
        above = buffers.states[:-1] if level.start == 0 else buffers.nodes
        for row, read in enumerate(level.reads, start=level.start):
            s = above[:, read].flatten(0, 1).t()
            gradient = buffers.values[:, row].flatten(0, 1)
            if row >= m:
                torch.mm(s, gradient, out=to_edges[row - m])
            else:  # one set of weights for all cells, or one each
                to_recurrent[row % len(recurrent)].addmm_(s, gradient)
    return to_recurrent, to_edges
