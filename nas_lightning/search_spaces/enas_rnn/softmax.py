"""Linear layer and cross-entropy in pieces, so that few logits are held at once.

At a vocabulary of V words the logits of N tokens, their logarithms of the softmax and their
gradient are by far the largest tensors of a language model. Fresh memory for them, and every pass
over them, takes longer than at a small H their multiplications do. Here everything happens in one
buffer that is used again for every piece.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn.once import claim

LOGITS_AT_ONCE = 2**22
"""Logits of a piece at most: 16 MiB in float32."""

ROWS_AT_ONCE = 256
"""Tokens of a piece, or H where that is more. With fewer a piece stays in a processor's cache, but
there are more pieces, each of which reads and writes the gradient of the weight, V x H numbers."""


def linear_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy of `softmax(weight x + bias)` with the targets, nats, a scalar.

    With z = weight x + bias the loss of a token is `logsumexp(z) - z_target`, and its gradient
    with respect to z is `softmax(z) - onehot(target)`. The gradient of the sum is known up to a
    factor as soon as the logits are there, so it is taken then, and backward only scales it, in
    place. So there is one backward only, and there are no second derivatives.

    Passes over all logits cost as much as multiplications by a small H. So the bias, and the
    target's logit, which is subtracted so that the loss is `log(sum(exp(z - z_target)))`, are two
    more columns of the multiplication, and the gradient is divided by the sum where there are H
    numbers of a token, not V.

    Args:
        x: `(N, H)`; taken in the weight's type, also where autocast has made it smaller.
        weight: `(V, H)`.
        bias: `(V,)`.
        targets: int64 `(N,)`.

    Raises:
        RuntimeError: In a second backward, and in one under `create_graph=True`.
    """
    x = x.to(weight)
    # Inside a Function gradients are never enabled.
    learning = torch.is_grad_enabled() and any(at.requires_grad for at in (x, weight, bias))
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, targets, learning
    )
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, learning: bool
    ) -> Tensor:
        if learning:
            to_x, to_weight, to_bias = (torch.empty_like(at) for at in (x, weight, bias))
            ctx.save_for_backward(to_x, to_weight, to_bias.zero_())
        (n, h), v = x.shape, len(weight)
        with_bias = torch.cat([weight, bias.unsqueeze(1), weight.new_ones(v, 1)], dim=1)
        known = torch.cat([x, x.new_ones(n, 1), x.new_zeros(n, 1)], dim=1)
        torch.sum(known * with_bias.index_select(0, targets), dim=1, out=known[:, -1]).neg_()
        rows = max(1, min(LOGITS_AT_ONCE // v, max(ROWS_AT_ONCE, h)))
        rows = min(n, rows - rows % 64 if rows > 64 else rows)  # what multiplications like
        buffer = x.new_empty(rows, v)  # one for all pieces: fresh memory is slow
        loss = x.new_zeros(())
        if learning:
            to_x, to_both = torch.empty_like(x), torch.empty_like(with_bias)
        for start in range(0, n, rows):
            some = known[start : start + rows]
            exponentials, total, largest = _exponentials(some, with_bias, buffer[: len(some)])
            loss += (total.log() + largest).sum()
            if learning:
                expected = targets[start : start + rows].unsqueeze(1)
                exponentials.scatter_add_(1, expected, -total)
                torch.mm(exponentials, weight, out=to_x[start : start + rows]).div_(total)
                # The first one overwrites.
                to_both.addmm_(exponentials.t(), some.div_(total), beta=int(start > 0))
        if learning:
            ctx.save_for_backward(to_x, to_both)
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        claim(ctx, "softmax")
        to_x, to_both = (gradient.mul_(scale) for gradient in ctx.saved_tensors)
        return to_x, to_both[:, :-2], to_both[:, -2], None, None


def _exponentials(known: Tensor, weight: Tensor, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`exp(z - z_target - largest)`, its sum, and `largest`, which is 0 where nothing overflows.

    Args:
        known: `(n, H + 2)`, of which the last is what is added to the logits.
        weight: `(V, H + 2)`, of which the last is 1.
        out: `(n, V)`.
    """
    torch.mm(known, weight.t(), out=out)
    if known.is_cpu:  # on other devices the answer would be waited for
        total = out.exp_().sum(dim=1, keepdim=True)
        if bool((total < torch.finfo(out.dtype).max ** 0.5).all()):  # nor will products overflow
            return out, total, total.new_zeros(())
        torch.mm(known, weight.t(), out=out)
    largest = out.amax(dim=1, keepdim=True)
    exponentials = out.sub_(largest).exp_()
    return exponentials, exponentials.sum(dim=1, keepdim=True), largest
