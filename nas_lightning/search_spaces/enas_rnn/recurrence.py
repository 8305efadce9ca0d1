"""The cell unrolled over a sequence, for M architectures at once.

One time step of architecture m, with s the vector that a node reads (Pham et al. 2018, section 2.1
and appendix A; gate and candidate as in recurrent highway networks):

    node 0:   c = sigmoid(x W_c + h U_c)    out = c * f(x W_h + h U_h) + (1 - c) * h
    node j:   c = sigmoid(s W_c)            out = c * f(s W_h)         + (1 - c) * s

Gate and candidate weights of an edge lie side by side, so that one multiplication serves both, and
the nodes of one level, of all M architectures, are computed together; `wiring.py` says what a level
is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn import sequence
from nas_lightning.search_spaces.enas_rnn.wiring import Level, Wiring

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
}


def unroll(
    projected: Tensor,
    state: Tensor,
    recurrent: Tensor,
    edge_weights: Sequence[Tensor],
    wiring: Wiring,
    *,
    last_node: bool,
    normalise: Callable[[Tensor], Tensor] | None,
    max_hidden_norm: float | None,
) -> tuple[Tensor, Tensor]:
    """Run M cells over L time steps, in the type of `projected`, which autocast chooses.

    Without normalisation `sequence.py` does it, faster and with less memory.

    Args:
        projected: The input times node 0's input weights, for all time steps:
            `(L, 1 or M, B, 2H)`.
        state: Hidden states to start from, `(M, B, H)`.
        recurrent: Node 0's weights on the hidden state, `(H, 2H)` or `(M, H, 2H)`.
        edge_weights: The weights of the edges in use, `wiring.edges`, `(H, 2H)` each.
        wiring: The cells.
        last_node: Whether the last node's output is the next hidden state, instead of the
            cell's output.
        normalise: Applied to the output `(M, B, H)` of every step; None for no normalisation.
        max_hidden_norm: The hidden state that every step hands to the next is scaled down to this
            Euclidean norm where it is longer; None for no limit.

    Returns:
        Outputs `(L, M, B, H)`, and the hidden states after the last step `(M, B, H)`.
    """
    order = wiring.levels[0].index  # level 0 is sorted too
    if projected.shape[1] > 1:
        projected = projected.index_select(1, order)
    recurrent = recurrent.unsqueeze(0) if recurrent.dim() == 2 else recurrent.index_select(0, order)
    kept, edges = state.to(projected), [edge.to(projected) for edge in edge_weights]
    weights = (projected, kept, recurrent.to(projected), edges)
    if normalise is None:
        return sequence.unroll(
            *weights, wiring, last_node=last_node, max_hidden_norm=max_hidden_norm
        )
    return unroll_plainly(
        *weights,
        wiring,
        last_node=last_node,
        normalise=normalise,
        max_hidden_norm=max_hidden_norm,
    )


def unroll_plainly(
    projected: Tensor,
    state: Tensor,
    recurrent: Tensor,
    edge_weights: Sequence[Tensor],
    wiring: Wiring,
    *,
    last_node: bool,
    normalise: Callable[[Tensor], Tensor],
    max_hidden_norm: float | None,
) -> tuple[Tensor, Tensor]:
    """The mathematics in a few lines of autograd.

    Arguments and results are those of `unroll`, but that what belongs to single cells is in the
    order of level 0: `projected` `(L, 1 or M, B, 2H)` and `recurrent` `(1 or M, H, 2H)`.
    """
    first, *deeper = wiring.levels
    m = len(state)
    weights = [edge_weights[use] for use in wiring.uses]
    per_level = [torch.stack(weights[level.start - m : level.stop - m]) for level in deeper]
    outputs = []
    for step in projected:
        read = state.index_select(0, first.index)
        nodes = _nodes(step + read @ recurrent, read, first)
        done = [nodes]
        above = first
        for level, weight in zip(deeper, per_level, strict=True):
            read = nodes.index_select(0, level.index - above.start)
            nodes = _nodes(torch.bmm(read, weight), read, level)
            done.append(nodes)
            above = level
        rows = torch.cat(done)
        average = torch.zeros_like(state).index_add(0, wiring.cells, rows * wiring.shares)
        output = normalise(average).to(average)
        outputs.append(output)
        state = rows.index_select(0, wiring.last) if last_node else output
        if max_hidden_norm is not None:
            norm = torch.linalg.vector_norm(state, dim=-1, keepdim=True)
            state = state / (norm / max_hidden_norm).clamp_min(1).to(state)
    return torch.stack(outputs), state


def _nodes(pre: Tensor, read: Tensor, level: Level) -> Tensor:
    """Outputs of a level from its pre-activations `(n, B, 2H)` and what it read `(n, B, H)`."""
    gate, candidate = pre.chunk(2, dim=-1)
    values = [FUNCTIONS[name](candidate[start:stop]) for name, start, stop in level.activations]
    return torch.lerp(read, torch.cat(values), torch.sigmoid(gate))
