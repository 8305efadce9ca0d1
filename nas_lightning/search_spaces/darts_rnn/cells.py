"""What a cell computes at a time step: a gate, M cells side by side, and the mixture of all.

With s what a node reads, and W its matrix:

    gate, candidate = W s        out = s + sigmoid(gate) * (operation(candidate) - s)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


def gated(read: Tensor, both: Tensor, operation: str) -> Tensor:
    """A node `(…, H)` of what it reads `(…, H)`, its gate and candidate `(…, 2H)`."""
    gate, candidate = both.chunk(2, dim=-1)
    return torch.lerp(read, FUNCTIONS[operation](candidate), torch.sigmoid(gate))


def mixture(read: Tensor, both: Tensor, weights: Tensor, operations: Sequence[str]) -> Tensor:
    """The sum over states and operations of what a node would be, each times its weight `(B, H)`.

    Written out, so that no operation needs an interpolation of its own: with g the gate and w the
    weights of a state, sum_k w_k (s + g (f_k - s)) = (sum_k w_k) (1 - g) s + g sum_k w_k f_k.

    Args:
        read: The states before the node `(S, B, H)`.
        both: Gate and candidate of each `(S, B, 2H)`.
        weights: `(S, K)`.
        operations: Names of the K operations.
    """
    gate, candidate = both.chunk(2, dim=-1)
    g = torch.sigmoid(gate)
    applied = torch.stack([FUNCTIONS[name](candidate) for name in operations])  # (K, S, B, H)
    mixed = (weights.t()[:, :, None, None] * applied).sum(dim=0)
    kept = weights.sum(dim=1)[:, None, None] * read
    return torch.lerp(kept, mixed, g).sum(dim=0)


def normalised(x: Tensor) -> Tensor:
    """Batch normalisation of `(M, B, H)` over the B rows of each cell, without parameters."""
    m, b, h = x.shape
    of_all = x.transpose(0, 1).reshape(b, m * h)
    # One operation, and one in the backward pass; F.batch_norm refuses a single row.
    done = torch.batch_norm(of_all, None, None, None, None, True, 0.0, 1e-5, True)
    return done.view(b, m, h).transpose(0, 1)


Chosen = tuple[tuple[tuple[int, int], ...], ...]
"""For every cell, for every node, the state that it reads and its operation's number."""


@functools.lru_cache(maxsize=8)
def cells(chosen: Chosen, device: torch.device) -> Cells:
    """M cells that compute on a device; the last few are remembered."""
    return Cells(chosen, device)


class Cells:
    """M cells: what their nodes read, and by which operations.

    Args:
        chosen: See there.
        device: Where they compute.
    """

    def __init__(self, chosen: Chosen, device: torch.device) -> None:
        self._reads = [[state for state, _ in node] for node in zip(*chosen, strict=True)]
        operations = [[number for _, number in node] for node in zip(*chosen, strict=True)]
        # All made once, and not at every time step: a GPU would wait for each.
        rows = torch.tensor(self._reads) * len(chosen) + torch.arange(len(chosen))
        self._rows = rows.to(device, non_blocking=True)
        orders = torch.tensor(operations).argsort(dim=1, stable=True)
        self._order = orders.to(device, non_blocking=True)
        self._place = orders.argsort(dim=1).to(device, non_blocking=True)
        self._groups = [
            [(number, of.count(number)) for number in sorted(set(of))] for of in operations
        ]

    def reads(self, node: int) -> list[int]:
        """The state that the node, counted from 1, reads in each of the M cells."""
        return self._reads[node - 1]

    def read(self, states: Sequence[Tensor], node: int) -> Tensor:
        """What the node reads in each cell `(M, B, H)`, of the states `(M, B, H)` before it."""
        reads = self.reads(node)
        if len(set(reads)) == 1:
            return states[reads[0]]
        if states[0].requires_grad:  # one backward, where views would have one each
            return torch.cat(list(states)).index_select(0, self._rows[node - 1])
        return torch.stack([states[state][m] for m, state in enumerate(reads)])

    def apply(self, node: int, read: Tensor, both: Tensor, operations: Sequence[str]) -> Tensor:
        """The node `(M, B, H)` of what it reads, its gates and candidates `(M, B, 2H)`."""
        groups = self._groups[node - 1]
        if len(groups) == 1:
            return gated(read, both, operations[groups[0][0]])
        gate, candidate = both.chunk(2, dim=-1)
        ordered = candidate.index_select(0, self._order[node - 1])
        parts = ordered.split([count for _, count in groups])
        done = [
            FUNCTIONS[operations[number]](part)
            for (number, _), part in zip(groups, parts, strict=True)
        ]
        back = torch.cat(done).index_select(0, self._place[node - 1])
        return torch.lerp(read, back, torch.sigmoid(gate))
