"""M cells, compiled for the unroll: which nodes are computed together, and what each reads.

The nodes of all M cells are sorted into levels. Node 0 is on level 0, any other node one level
below the node that it reads, so that a level depends on the one above it alone, and the N nodes of
M cells take as many batched multiplications a time step as the deepest cell has levels. Within a
level nodes are sorted by activation, so that each activation is one operation on adjacent rows.

Architectures are control flow: they are read on the host, once per call.
"""

from __future__ import annotations

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
        edges: Number of the edge into every row below level 0, `(K - M,)`; see `edge_number`.
        places: Cell m's edge into node j, with the edges of each cell in turn: m (N - 1) + j - 1,
            for every row below level 0, `(K - M,)`.
    """

    levels: list[Level]
    cells: Tensor
    shares: Tensor
    last: Tensor
    edges: Tensor
    places: Tensor


def edge_number(node: int, previous: int) -> int:
    """Where the weights of the edge previous -> node stand in the pool of edge weights."""
    return node * (node - 1) // 2 + previous


def wire(architectures: Tensor, activations: Sequence[str], like: Tensor) -> Wiring:
    """Compile architectures `(M, T)` for weights of the type and device of `like`."""
    cells = [split(row) for row in architectures.tolist()]
    num_nodes = len(cells[0][0])
    keys = []  # level, activation, cell, node
    for m, (previous, chosen) in enumerate(cells):
        depth = [0] * num_nodes
        for node in range(num_nodes):
            if node > 0:
                depth[node] = depth[previous[node]] + 1
            keys.append((depth[node], chosen[node], m, node))
    keys.sort()
    row_of = {(m, node): row for row, (_, _, m, node) in enumerate(keys)}

    def numbers(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=like.device)

    levels = []
    start = 0
    for depth_, members in groupby(keys, key=lambda key: key[0]):
        level = list(members)
        reads = [m if depth_ == 0 else row_of[m, cells[m][0][node]] for _, _, m, node in level]
        used, at = [], 0
        for activation, users in groupby(level, key=lambda key: key[1]):
            stop = at + len(list(users))
            used.append((activations[activation], at, stop))
            at = stop
        levels.append(Level(start, start + at, reads, numbers(reads), used))
        start += at
    leaves = [leaf_nodes(previous) for previous, _ in cells]
    shares = [(node in leaves[m]) / len(leaves[m]) for _, _, m, node in keys]
    below = [(m, node) for _, _, m, node in keys[len(cells) :]]
    return Wiring(
        levels=levels,
        cells=numbers([m for _, _, m, _ in keys]),
        shares=torch.tensor(shares, dtype=torch.float64).to(like).view(-1, 1, 1),
        last=numbers([row_of[m, num_nodes - 1] for m in range(len(cells))]),
        edges=numbers([edge_number(node, cells[m][0][node]) for m, node in below]),
        places=numbers([m * (num_nodes - 1) + node - 1 for m, node in below]),
    )
