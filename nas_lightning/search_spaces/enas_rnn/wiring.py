"""M cells, compiled for the unroll: which nodes are computed together, and what each reads.

The nodes of all M cells are sorted into levels. Node 0 is on level 0, any other node one level
below the node that it reads, so that a level depends on the one above it alone, and the N nodes of
M cells take as many steps, one after another, as the deepest cell has levels. Within a level nodes
are sorted by activation, so that each activation is one operation on adjacent rows, and those of
one activation by edge, so that rows with the same weights are multiplied together.

Architectures are control flow: they are read on the host, where they should lie.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn.space import leaf_nodes, split


@dataclass(frozen=True)
class Level:
    """Nodes that are computed together, n of the K.

    Attributes:
        start: The first of its rows among all K.
        stop: The row after its last.
        reads: For every row the row of the level above that it reads, counted among all K; on
            level 0 the cell whose hidden state it reads.
        index: The same as a tensor `(n,)`.
        activations: Name of each activation, and where its rows start and stop within the level.
    """

    start: int
    stop: int
    reads: list[int]
    index: Tensor
    activations: list[tuple[str, int, int]]


@dataclass(frozen=True)
class Wiring:
    """M cells of N nodes, K = M N rows.

    Attributes:
        levels: From level 0 down; their rows follow one another.
        cells: The cell of every row, `(K,)`.
        shares: The share of every row in the output of its cell: one over the number of leaves, or
            0 where it is no leaf, `(K, 1, 1)`.
        last: The row of every cell's last node, `(M,)`.
        edges: The edges in use, each once, in ascending order; see `edge_number`.
        into: The node that each of these leads to.
        uses: For every row below level 0 which of them leads to it, `(K - M,)`.
    """

    levels: list[Level]
    cells: Tensor
    shares: Tensor
    last: Tensor
    edges: list[int]
    into: list[int]
    uses: list[int]


def edge_number(node: int, previous: int) -> int:
    """Where the weights of the edge previous -> node stand in the pool of edge weights."""
    return node * (node - 1) // 2 + previous


def wire(
    architectures: Tensor, activations: Sequence[str], like: Tensor, *, separate: bool = False
) -> Wiring:
    """Compile cells for the unroll; the last few are remembered.

    Args:
        architectures: `(M, T)`.
        activations: What an activation's number means.
        like: A tensor of the weights' type and device.
        separate: Whether each cell has weights of its own. The edge of cell m into node j then has
            the number m (N - 1) + j - 1.
    """
    rows = tuple(map(tuple, architectures.tolist()))
    return _wired(rows, tuple(activations), like.dtype, like.device, separate)


@functools.lru_cache(maxsize=8)
def _wired(
    rows: tuple[tuple[int, ...], ...],
    activations: tuple[str, ...],
    dtype: torch.dtype,
    device: torch.device,
    separate: bool,
) -> Wiring:
    cells = [split(row) for row in rows]
    num_nodes = len(cells[0][0])
    keys = []  # level, activation, edge, cell, node
    for m, (previous, chosen) in enumerate(cells):
        depth = [0] * num_nodes
        for node, (read, activation) in enumerate(zip(previous, chosen, strict=True)):
            edge = 0
            if node > 0:
                depth[node] = depth[read] + 1
                edge = m * (num_nodes - 1) + node - 1 if separate else edge_number(node, read)
            keys.append((depth[node], activation, edge, m, node))
    keys.sort()
    row_of = {(m, node): row for row, (*_, m, node) in enumerate(keys)}

    def numbers(values: Sequence[int]) -> Tensor:
        return there(torch.tensor(values, dtype=torch.int64))

    def there(values: Tensor) -> Tensor:
        return values.to(device, non_blocking=True)  # nothing is waited for

    levels = []
    start = 0
    for depth_, members in groupby(keys, key=lambda key: key[0]):
        level = list(members)
        reads = [m if depth_ == 0 else row_of[m, cells[m][0][node]] for *_, m, node in level]
        used, at = [], 0
        for activation, users in groupby(level, key=lambda key: key[1]):
            stop = at + len(list(users))
            used.append((activations[activation], at, stop))
            at = stop
        levels.append(Level(start, start + at, reads, numbers(reads), used))
        start += at
    leaves = [leaf_nodes(previous) for previous, _ in cells]
    shares = [(node in leaves[m]) / len(leaves[m]) for *_, m, node in keys]
    into = {edge: node for _, _, edge, _, node in keys[len(cells) :]}
    edges = sorted(into)
    place = {edge: number for number, edge in enumerate(edges)}
    return Wiring(
        levels=levels,
        cells=numbers([m for *_, m, _ in keys]),
        shares=there(torch.tensor(shares, dtype=torch.float64).to(dtype)).view(-1, 1, 1),
        last=numbers([row_of[m, num_nodes - 1] for m in range(len(cells))]),
        edges=edges,
        into=[into[edge] for edge in edges],
        uses=[place[edge] for _, _, edge, _, _ in keys[len(cells) :]],
    )
