"""Backward passes that overwrite what they need: they run once, and have no second derivatives."""

from __future__ import annotations

from typing import Any

import torch


def claim(ctx: Any, what: str) -> None:
    """Begin the one backward of an operation; first thing in its `backward`.

    Args:
        ctx: The operation's context.
        what: What the operation is called.

    Raises:
        RuntimeError: In a second backward, or where gradients of gradients are asked for.
    """
    if torch.is_grad_enabled():  # so it is in a backward under `create_graph=True` only
        raise RuntimeError(
            f"create_graph=True is not allowed: the backward of the {what} has no derivatives"
        )
    if getattr(ctx, "spent", False):
        raise RuntimeError(
            f"a second backward through the same {what}: the first has overwritten what it needs"
        )
    ctx.spent = True
