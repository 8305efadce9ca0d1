"""Linear layer and cross-entropy in pieces, so that few logits are held at once.

At a vocabulary of V words the logits of N tokens, their logarithms of the softmax and their
gradient are by far the largest tensors of a language model. Fresh memory for them, and every pass
over them, takes longer than at a small H their multiplications do. Here everything happens in one
buffer that is used again for every piece, and where N V is small for all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn.once import claim

LOGITS_AT_ONCE = 2**22
"""Logits of a piece: 16 MiB in float32. With fewer there are more pieces, each of which reads and
writes the gradient of the weight; more are more memory. Of 1 to 64 MiB, on a server's CPU, this is
within 5 % of the best from V = 1,000, H = 64 to V = 10,000, H = 1,000."""


def linear_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy of `softmax(weight x + bias)` with the targets, nats, a scalar.

    With z = weight x + bias the loss of a token is `logsumexp(z) - z_target`, and its gradient
    with respect to z is `softmax(z) - onehot(target)`. The gradient of the sum is known up to a
    factor as soon as the logits are there, so it is taken then, and backward only scales it, in
    place. So there is one backward only, and there are no second derivatives.

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
        loss = x.new_zeros(())
        rows = min(len(x), max(1, LOGITS_AT_ONCE // len(weight)))
        buffer = x.new_empty(rows, len(weight))  # one for all pieces: fresh memory is slow
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            expected = targets[start : start + rows].unsqueeze(1)
            logits = torch.addmm(bias, some, weight.t(), out=buffer[: len(some)])
            chosen = logits.gather(1, expected)
            largest = logits.amax(dim=1, keepdim=True)
            exponentials = logits.sub_(largest).exp_()
            total = exponentials.sum(dim=1, keepdim=True)
            loss += (largest + total.log() - chosen).sum()
            if learning:
                difference = exponentials.div_(total)
                difference.scatter_add_(1, expected, -torch.ones_like(total))
                torch.mm(difference, weight, out=to_x[start : start + rows])
                to_weight.addmm_(difference.t(), some, beta=start > 0)  # the first one overwrites
                to_bias += difference.sum(dim=0)
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        claim(ctx, "softmax")
        return (*(gradient.mul_(scale) for gradient in ctx.saved_tensors), None, None)
