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

What g is multiplied by is computed for some time steps at once, and overwrites c and f: all
activations' derivatives are functions of their values, and (f - s) (1 - c) is f - out. So a time
step is two operations for a level and two for each of its nodes. When the loop has ended the buffer
holds the gradients of the pre-activations of all time steps, and the gradient of an edge's weights
is one multiplication over all of them: W' = sum_t s_t^T (d_c, d_f)_t.
The limit, where it bites, takes away the part of the gradient that is along h:

    d_o = (d_h - h (h . d_h) / limit^2) / phi

For the same reason there is one backward only, and no second derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn.once import claim
from nas_lightning.search_spaces.enas_rnn.sequence_backward import backward, to_weights
from nas_lightning.search_spaces.enas_rnn.sequence_forward import Buffers, forward
from nas_lightning.search_spaces.enas_rnn.wiring import Wiring


def unroll(
    projected: Tensor,
    state: Tensor,
    recurrent: Tensor,
    edges: Sequence[Tensor],
    wiring: Wiring,
    *,
    last_node: bool,
    max_hidden_norm: float | None,
) -> tuple[Tensor, Tensor]:
    """Run M cells over L time steps; see `recurrence.unroll_plainly`, the same without `normalise`.

    Raises:
        RuntimeError: In a second backward, and in one under `create_graph=True`.
    """
    inputs = (projected, state, recurrent, *edges)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        outputs, state = _Unroll.apply(  # type: ignore[no-untyped-call]
            wiring, last_node, max_hidden_norm, *inputs
        )
        return outputs, state
    outputs, buffers = forward(
        projected, state, recurrent, edges, wiring, last_node, max_hidden_norm, keep=False
    )
    return outputs, buffers.states[:, -1]


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        wiring: Wiring,
        last_node: bool,
        limit: float | None,
        projected: Tensor,
        state: Tensor,
        recurrent: Tensor,
        *edges: Tensor,
    ) -> tuple[Tensor, Tensor]:
        outputs, buffers = forward(
            projected, state, recurrent, edges, wiring, last_node, limit, keep=True
        )
        ctx.save_for_backward(*buffers, recurrent, *edges)
        ctx.arguments = wiring, last_node, limit
        ctx.own_projections = projected.shape[1] > 1
        return outputs, buffers.states[:, -1].clone()

    @staticmethod
    def backward(ctx: Any, to_outputs: Tensor, to_state: Tensor) -> tuple[Tensor | None, ...]:
        claim(ctx, "unroll")
        values, nodes, states, phi, recurrent, *edges = ctx.saved_tensors
        buffers = Buffers(values, nodes, states, phi)
        wiring, last_node, limit = ctx.arguments
        to_state = backward(
            to_outputs, to_state, recurrent, edges, buffers, wiring, last_node, limit
        )
        to_projected = values[: len(wiring.last)].transpose(0, 1)
        if to_projected.shape[1] > 1 and not ctx.own_projections:
            to_projected = to_projected.sum(dim=1, keepdim=True)
        to_parameters = to_weights(recurrent, edges, buffers, wiring)
        return None, None, None, to_projected, to_state, *to_parameters
