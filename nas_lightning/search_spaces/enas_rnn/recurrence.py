"""The cell unrolled over a sequence, for M architectures at once.

One time step of architecture m, with s the vector that a node reads (Pham et al. 2018, section 2.1
and appendix A; gate and candidate as in recurrent highway networks):

    node 0:   c = sigmoid(x W_c + h U_c)    out = c * f(x W_h + h U_h) + (1 - c) * h
    node j:   c = sigmoid(s W_c)            out = c * f(s W_h)         + (1 - c) * s

Gate and candidate weights of an edge lie side by side, so that one multiplication serves both, and
all M architectures go through node j in one batched multiplication. Architectures are control
flow: they are read on the host once per call, never inside the loop over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn.space import leaf_nodes, split

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
}


@dataclass(frozen=True)
class Wiring:
    """M cells, compiled for the unroll.

    Attributes:
        previous: For every node the node it reads in each of the M cells, N lists of M numbers.
        functions: For every node the activations in use, each with a mask `(M, 1, 1)` of the cells
            that use it (None where all do).
        leaves: The nodes that are a leaf in some cell, each with its share in the output of every
            cell, `(M, 1, 1)`.
        edges: Number of the edge into node j of cell m, `(M, N - 1)`; see `edge_number`.
    """

    previous: list[list[int]]
    functions: list[list[tuple[Callable[[Tensor], Tensor], Tensor | None]]]
    leaves: list[tuple[int, Tensor]]
    edges: Tensor


def edge_number(node: int, previous: int) -> int:
    """Where the weights of the edge previous -> node stand in the pool of edge weights."""
    return node * (node - 1) // 2 + previous


def wire(architectures: Tensor, activations: Sequence[str], like: Tensor) -> Wiring:
    """Compile architectures `(M, T)` for weights of the type and device of `like`."""
    cells = [split(row) for row in architectures.tolist()]
    num_nodes = len(cells[0][0])
    previous = [[cell[0][node] for cell in cells] for node in range(num_nodes)]
    functions = []
    for node in range(num_nodes):
        used = [cell[1][node] for cell in cells]
        options = sorted(set(used))
        masks = [
            torch.tensor([u == o for u in used], device=like.device).view(-1, 1, 1)
            if len(options) > 1
            else None
            for o in options
        ]
        names = [FUNCTIONS[activations[o]] for o in options]
        functions.append(list(zip(names, masks, strict=True)))
    shares = torch.zeros(num_nodes, len(cells), dtype=like.dtype)
    for m, (parents, _) in enumerate(cells):
        leaves = leaf_nodes(parents)
        shares[leaves, m] = 1 / len(leaves)
    edges = [[edge_number(node, cell[0][node]) for node in range(1, num_nodes)] for cell in cells]
    return Wiring(
        previous=previous,
        functions=functions,
        leaves=[
            (n, share.to(like).view(-1, 1, 1)) for n, share in enumerate(shares) if share.any()
        ],
        edges=torch.tensor(edges, dtype=torch.int64, device=like.device).view(len(cells), -1),
    )


def unroll(
    projected: Tensor,
    state: Tensor,
    recurrent: Tensor,
    edge_weights: Tensor,
    wiring: Wiring,
    *,
    last_node: bool,
    normalise: Callable[[Tensor], Tensor],
    limit: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Run M cells over L time steps.

    Args:
        projected: The input times node 0's input weights, for all time steps:
            `(L, 1 or M, B, 2H)`.
        state: Hidden states to start from, `(M, B, H)`.
        recurrent: Node 0's weights on the hidden state, `(H, 2H)` or `(M, H, 2H)`.
        edge_weights: For every cell the weights of its edges into nodes 1 to N - 1,
            `(M, N - 1, H, 2H)`.
        wiring: The cells.
        last_node: Whether the last node's output is the next hidden state, instead of the
            cell's output.
        normalise: Applied to the output `(M, B, H)` of every step.
        limit: Applied to the hidden state `(M, B, H)` that every step hands to the next.

    Returns:
        Outputs `(L, M, B, H)`, and the hidden states after the last step `(M, B, H)`.
    """
    per_node = edge_weights.unbind(1)
    outputs = []
    for step in projected:
        nodes = [_node(step + state @ recurrent, state, wiring.functions[0])]
        for node, weight in enumerate(per_node, start=1):
            read = _read(nodes, wiring.previous[node])
            nodes.append(_node(torch.bmm(read, weight), read, wiring.functions[node]))
        output = normalise(_average(nodes, wiring.leaves))
        outputs.append(output)
        state = limit(nodes[-1] if last_node else output)
    return torch.stack(outputs), state


def _read(nodes: list[Tensor], previous: list[int]) -> Tensor:
    """What a node reads in each of the M cells, `(M, B, H)`."""
    if len(set(previous)) == 1:
        return nodes[previous[0]]
    return torch.stack([nodes[node][m] for m, node in enumerate(previous)])


def _node(
    pre: Tensor, read: Tensor, functions: list[tuple[Callable[[Tensor], Tensor], Tensor | None]]
) -> Tensor:
    """A node's output from its pre-activations `(M, B, 2H)` and what it read `(M, B, H)`."""
    gate, candidate = pre.chunk(2, dim=-1)
    value = functions[0][0](candidate)
    for function, mask in functions[1:]:
        assert mask is not None
        value = torch.where(mask, function(candidate), value)
    return torch.lerp(read, value, torch.sigmoid(gate))


def _average(nodes: list[Tensor], leaves: list[tuple[int, Tensor]]) -> Tensor:
    """The mean over each cell's leaves, `(M, B, H)`."""
    if len(leaves) == 1:
        return nodes[leaves[0][0]]
    first, *rest = (nodes[node] * share for node, share in leaves)
    for term in rest:
        first = first + term
    return first
