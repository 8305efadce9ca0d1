"""Past architectures, up to a capacity, of any form of a growing space."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Buffer(nn.Module):
    """A table of architectures; the whole of it is in the module's state.

    Args:
        capacity: How many it can hold.
        longest: Decisions of the longest architecture.
    """

    rows: Tensor
    count: Tensor

    def __init__(self, *, capacity: int, longest: int) -> None:
        super().__init__()
        # 16 bits, for the table is in every checkpoint. -1 stands behind the end of a shorter one.
        self.register_buffer("rows", torch.full((capacity, longest), -1, dtype=torch.int16))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return int(self.count)

    @property
    def room(self) -> int:
        """How many more it can hold."""
        return len(self.rows) - len(self)

    def clear(self) -> None:
        """Forget all."""
        self.rows.fill_(-1)
        self.count.zero_()

    def add(self, architectures: Tensor) -> None:
        """Append architectures `(M, T)`, M at most `room`."""
        first = len(self)
        self.replace(torch.arange(first, first + len(architectures)), architectures)
        self.count += len(architectures)

    def replace(self, slots: Tensor, architectures: Tensor) -> None:
        """Put architectures `(M, T)` in the place of those at `slots` `(M,)`."""
        slots = slots.to(self.rows.device)
        self.rows[slots] = -1
        self.rows[slots, : architectures.shape[1]] = architectures.to(self.rows)

    def draw(self, n: int, generator: torch.Generator) -> list[Tensor]:
        """Draw `n` of those it holds, or all if they are fewer, without replacement.

        Args:
            n: How many.
            generator: A generator on the CPU.

        Returns:
            The architectures, int64 `(M, T)`, a tensor for every length T among them.
        """
        drawn = torch.randperm(len(self), generator=generator)[:n]
        rows = self.rows[drawn.to(self.rows.device)].long()
        lengths = (rows >= 0).sum(dim=1)
        return [rows[lengths == t, :t] for t in torch.unique(lengths).tolist()]
