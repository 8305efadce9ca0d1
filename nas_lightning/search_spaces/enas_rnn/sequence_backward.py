"""The backward of `sequence.py`, whose formulas stand there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn.sequence_forward import Buffers
from nas_lightning.search_spaces.enas_rnn.wiring import Level, Wiring

aten = torch.ops.aten

NUMBERS_AT_ONCE = 2**19
"""Of the nodes' outputs, for which the backward's factors are computed in one go: few enough for
a processor's cache, enough to make an operation worth its start."""

DIFFERENTIATE: dict[str, Callable[[Tensor, Tensor], object]] = {
    "tanh": lambda g, f: aten.tanh_backward.grad_input(g, f, grad_input=f),
    "relu": lambda g, f: aten.threshold_backward.grad_input(g, f, 0, grad_input=f),
    "identity": lambda g, f: f.copy_(g),
    "sigmoid": lambda g, f: aten.sigmoid_backward.grad_input(g, f, grad_input=f),
}
"""Overwrite the value f by g times the derivative."""


def backward(
    to_outputs: Tensor,
    to_state: Tensor,
    recurrent: Tensor,
    edges: Sequence[Tensor],
    buffers: Buffers,
    wiring: Wiring,
    last_node: bool,
    limit: float | None,
) -> Tensor:
    """The gradient of the state at the start; the values become pre-activations' gradients."""
    (k, length, *sizes), m = buffers.nodes.shape, len(wiring.last)
    some = max(1, min(length, NUMBERS_AT_ONCE // max(1, buffers.nodes[:, 0].numel())))
    hidden, to_nodes = to_state.clone(), to_state.new_empty(k, *sizes)
    rest, difference = (to_state.new_empty(k, some, *sizes) for _ in range(2))
    weights = [*recurrent.expand(m, -1, -1), *(edges[use] for use in wiring.uses)]
    levels = [
        _LevelBackward(level, buffers, rest, weights[level.start : level.stop], to_nodes, hidden)
        for level in reversed(wiring.levels)
    ]
    for stop in range(length, 0, -some):
        start = max(0, stop - some)
        _factors(buffers, wiring, slice(start, stop), rest, difference)
        for t in reversed(range(start, stop)):
            if limit is not None:
                _through_limit(hidden, buffers.states[:, t + 1], buffers.phi[:, t], limit)
            output = to_outputs[t] if last_node else to_outputs[t] + hidden
            if m > 1:
                output = output.index_select(0, wiring.cells)
            torch.mul(output, wiring.shares, out=to_nodes)
            if last_node:
                to_nodes.index_add_(0, wiring.last, hidden)
            for level in levels:
                level(t, t - start)
    return hidden


def _factors(
    buffers: Buffers, wiring: Wiring, steps: slice, rest: Tensor, difference: Tensor
) -> None:
    """Overwrite c and f by what g is multiplied by to give d_c and d_f; `rest` becomes 1 - c."""
    nodes = buffers.nodes[:, steps]
    gate, candidate = buffers.values[:, steps].chunk(2, dim=-1)
    rest, difference = rest[:, : nodes.shape[1]], difference[:, : nodes.shape[1]]
    torch.sub(gate.new_ones(()), gate, out=rest)
    torch.sub(candidate, nodes, out=difference)
    for level in wiring.levels:
        for name, start, stop in level.activations:
            rows = slice(level.start + start, level.start + stop)
            DIFFERENTIATE[name](gate[rows], candidate[rows])
    gate.mul_(difference)


def _through_limit(hidden: Tensor, state: Tensor, phi: Tensor, limit: float) -> None:
    """Take the gradient of the hidden states through what they were divided by."""
    if phi.is_cpu and not bool((phi > 1).any()):
        return  # on other devices it would be waited for
    along = (phi > 1).to(phi) / limit**2
    dot = (state * hidden).sum(dim=-1, keepdim=True).mul_(along)
    hidden.addcmul_(state, dot, value=-1).div_(phi)


def to_weights(
    recurrent: Tensor, edges: Sequence[Tensor], buffers: Buffers, wiring: Wiring
) -> list[Tensor]:
    """Gradients of the weights from those of the pre-activations, over all time steps at once."""
    to_recurrent = torch.zeros_like(recurrent)
    to_edges: dict[int, Tensor] = {}
    m = len(wiring.last)
    for level in wiring.levels:
        above = buffers.states[:, :-1] if level.start == 0 else buffers.nodes
        for row, read in enumerate(level.reads, start=level.start):
            s, gradient = above[read].flatten(0, 1).t(), buffers.values[row].flatten(0, 1)
            if row < m:  # one set of weights for all cells, or one each
                to_recurrent[row % len(recurrent)].addmm_(s, gradient)
                continue
            use = wiring.uses[row - m]
            if use in to_edges:
                to_edges[use].addmm_(s, gradient)
            else:
                to_edges[use] = s @ gradient
    return [to_recurrent, *(to_edges[use] for use in range(len(edges)))]


class _LevelBackward:
    """The backward of one level.

    Args:
        level: The nodes.
        buffers: What was computed.
        rest: 1 - c for some time steps, `(K, some, B, H)`.
        weights: Of the edges into the nodes, `(H, 2H)` each.
        to_nodes: Gradients with respect to all nodes at a time step, `(K, B, H)`: those of this
            level are read, to those of the level above is added.
        to_hidden: Where level 0 puts the gradient of the hidden states, `(M, B, H)`.
    """

    def __init__(
        self,
        level: Level,
        buffers: Buffers,
        rest: Tensor,
        weights: list[Tensor],
        to_nodes: Tensor,
        to_hidden: Tensor,
    ) -> None:
        rows = slice(level.start, level.stop)
        values, rest, g = buffers.values[rows], rest[rows], to_nodes[rows]
        gate, candidate = values.chunk(2, dim=-1)
        self._gate, self._candidate, self._g = gate.unbind(dim=1), candidate.unbind(dim=1), g
        self._first = to_hidden if level.start == 0 else None
        above = to_nodes if level.start else to_hidden
        # Contiguous as they are read at every time step.
        transposed = [weight.t().contiguous() for weight in weights]
        self._rows = []
        for row, (read, weight) in enumerate(zip(level.reads, transposed, strict=True)):
            self._rows.append(
                (above[read], g[row], rest[row].unbind(), values[row].unbind(), weight)
            )

    def __call__(self, t: int, place: int) -> None:
        """Take it at time step t, the factors of which stand at a place."""
        self._gate[t].mul_(self._g)
        self._candidate[t].mul_(self._g)
        if self._first is not None:
            self._first.zero_()
        for to_read, g, rest, values, weight in self._rows:
            to_read.addcmul_(g, rest[place]).addmm_(values[t], weight)
