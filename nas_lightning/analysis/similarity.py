"""How similar architectures are, every one to every other: matrices `(M, M)`.

Two families of counts. Those of Adam & Lorraine 2019 are made on the graph that the space makes of
an architecture; the plainer position-wise ones compare decision with decision, kind by kind. Both
work for any space. Counts grow with similarity, distances and differences fall.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array
from torch import Tensor

from nas_lightning.errors import require_whole
from nas_lightning.search_spaces.base import SearchSpace

if TYPE_CHECKING:
    import networkx as nx

Edges = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def similarities(
    space: SearchSpace, architectures: Tensor, performance: Tensor | None
) -> dict[str, Tensor]:
    """All matrices `(M, M)` that are cheap, by name, on the CPU; the graph edit distance is not.

    Args:
        space: What they are architectures of, or any form of it if it grows.
        architectures: int64 `(M, T)`.
        performance: How each did, `(M,)`, or None where that is not known.
    """
    architectures = architectures.cpu()
    graphs = [space.graph(row) for row in architectures.tolist()]
    matrices = {
        "common_activations": common_activations(graphs),
        "common_connections": common_connections(graphs),
        **agreements(space, architectures),
        "hamming_distance": hamming_distance(architectures),
    }
    if performance is not None:
        matrices["performance_difference"] = performance_difference(performance.cpu())
    return matrices


def common_connections(graphs: Sequence[nx.DiGraph]) -> Tensor:
    """How many edges (parent → child) both graphs have, int64 `(M, M)`.

    Adam & Lorraine 2019: edges from the input and from leaves to the output count too.
    """
    return _in_common([set(graph.edges) for graph in graphs])


def common_activations(graphs: Sequence[nx.DiGraph]) -> Tensor:
    """How many edges both graphs have whose child also computes the same, int64 `(M, M)`.

    Adam & Lorraine 2019: nodes with the same parent and the same activation. A node with two
    parents, like the first of a recurrent cell, counts once for each; leaves that both have count
    too, as edges to the output.
    """
    return _in_common(
        [
            {(parent, child, graph.nodes[child]["label"]) for parent, child in graph.edges}
            for graph in graphs
        ]
    )


def agreements(space: SearchSpace, architectures: Tensor) -> dict[str, Tensor]:
    """Position-wise counts, for each kind of decision: how many of that kind agree.

    Of recurrent cells these are the nodes with the same activation, and those with the same
    previous node.

    Args:
        space: What they are architectures of, or any form of it if it grows.
        architectures: int64 `(M, T)`.

    Returns:
        `same_<kind>` -> int64 `(M, M)`.
    """
    kinds = [decision.kind for decision in space.largest.decisions[: architectures.shape[1]]]
    counts = {}
    for kind in dict.fromkeys(kinds):
        of_kind = [t for t, other in enumerate(kinds) if other == kind]
        code = one_hot(architectures[:, of_kind])
        counts[f"same_{kind.replace(' ', '_')}"] = (code @ code.T).long()
    return counts


def hamming_distance(architectures: Tensor) -> Tensor:
    """How many of the T decisions differ, int64 `(M, M)`."""
    code = one_hot(architectures)
    return architectures.shape[1] - (code @ code.T).long()


def performance_difference(performance: Tensor) -> Tensor:
    """`|p_i - p_j|` of performances `(M,)`: `(M, M)`, NaN for one that is not finite."""
    performance = performance.where(performance.isfinite(), torch.nan)
    return (performance.unsqueeze(1) - performance).abs()


def one_hot(architectures: Tensor) -> Tensor:
    """The decisions `(M, T)` in one-hot code, side by side: float32 `(M, options that occur)`.

    The product of two rows is the number of decisions that agree, and their squared L2 distance
    twice the number of those that do not.
    """
    codes = [column.unsqueeze(1) == column.unique() for column in architectures.T]
    return torch.cat(codes, dim=1).float()


@dataclass(frozen=True)
class EditDistances:
    """Graph edit distances of some pairs.

    Attributes:
        values: float64 `(M, M)`, symmetric: the distance, or an upper bound of it; NaN for a pair
            that was not asked for.
        exact: bool `(M, M)`: where the value is the distance.
    """

    values: Tensor
    exact: Tensor


def some_pairs(num_architectures: int, num_pairs: int, generator: torch.Generator) -> Tensor:
    """Draw pairs `i < j` uniformly, each at most once: int64 `(pairs, 2)`.

    Args:
        num_architectures: M.
        num_pairs: How many pairs; all `M (M - 1) / 2` if there are no more.
        generator: Where they are drawn from, on the CPU.
    """
    pairs = torch.combinations(torch.arange(num_architectures))
    return pairs[torch.randperm(len(pairs), generator=generator)[:num_pairs]]


def edit_distances(
    graphs: Sequence[nx.DiGraph], pairs: Tensor, *, max_branches: int
) -> EditDistances:
    """Graph edit distances of some pairs; about 0.05 s a pair of cells of 12 nodes.

    Args:
        graphs: What `SearchSpace.graph` made of M architectures.
        pairs: Numbers i, j of the pairs, int64 `(pairs, 2)`.
        max_branches: The most work for a pair, see `edit_distance`.
    """
    values = torch.full((len(graphs), len(graphs)), torch.nan, dtype=torch.float64)
    exact = torch.zeros(values.shape, dtype=torch.bool)
    for i, j in pairs.tolist():
        value, is_exact = edit_distance(graphs[i], graphs[j], max_branches=max_branches)
        values[i, j] = values[j, i] = value
        exact[i, j] = exact[j, i] = is_exact
    return EditDistances(values, exact)


def edit_distance(one: nx.DiGraph, other: nx.DiGraph, *, max_branches: int) -> tuple[int, bool]:
    """The graph edit distance, with labels of nodes: the fewest edits that make one the other.

    An edit inserts or deletes a node or an edge, or changes the label of a node. Solved as an
    integer programme by branch and bound (HiGHS): the formulation F2 of Lerouge et al. 2017, "New
    binary linear programming formulation to compute the graph edit distance". NetworkX's search
    gives the same numbers, but for a cell of 12 nodes it had not found the distance after a minute,
    and its first upper bounds are two to four times the distance.

    Args:
        one: A graph whose nodes carry a `label`, as `SearchSpace.graph` makes it.
        other: Another one.
        max_branches: Where the search ends, in nodes of its tree: a limit of work, not of time,
            so that the result is the same on every machine. Of 80 pairs of cells
            of 8 and 12 nodes none needed more than one.

    Returns:
        The distance and True; or, where the limit came first, the best upper bound and False.
    """
    require_whole("max_branches", max_branches, at_least=1)
    # Changing a label never costs more than deleting a node and inserting another one. So some
    # shortest edit maps all nodes of the smaller graph, and padding it makes the map a bijection.
    size = max(len(one), len(other))
    change = np.ones((size, size), dtype=int)
    for (i, a), (k, b) in product(enumerate(one), enumerate(other)):
        change[i, k] = one.nodes[a]["label"] != other.nodes[b]["label"]
    edges, other_edges = _numbered(one), _numbered(other)

    constraints, maps, keeps = _constraints(edges, other_edges, size)
    found = milp(
        np.append(change.ravel(), np.full(keeps, -2)),
        integrality=np.repeat([1, 0], [maps, keeps]),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"node_limit": max_branches, "mip_rel_gap": 0},
    )
    bound = _distance_by_names(one, other)
    if found.x is None:
        return bound, False
    return min(round(found.fun) + len(edges) + len(other_edges), bound), found.status == 0


def _constraints(edges: Edges, other_edges: Edges, size: int) -> tuple[LinearConstraint, int, int]:
    """What a map of nodes and the edges that it keeps must obey, and the numbers of either.

    Args:
        edges: Of one graph, as numbers of nodes, `(edges, 2)`.
        other_edges: Of the other graph.
        size: The number of nodes of the larger graph.
    """
    # Variables: map (size, size): node i becomes k; keep (edges, other edges): edge e becomes f.
    # Each edge kept saves a deletion and an insertion. An edge is kept only if its ends go along.
    # Asking that of the edges of both graphs says it twice, but the relaxed programme then needs
    # hardly any branching: an eighth of the time.
    maps = np.arange(size * size).reshape(size, size)
    keeps = maps.size + np.arange(len(edges) * len(other_edges)).reshape(
        len(edges), len(other_edges)
    )
    bijective = [*maps, *maps.T]
    kept = [
        (row[ends[:, side] == node], mapped[ends_of[e, side], node])
        for rows, ends_of, ends, mapped in (
            (keeps, edges, other_edges, maps),
            (keeps.T, other_edges, edges, maps.T),
        )
        for e, row in enumerate(rows)
        for side in (0, 1)
        for node in range(size)
    ]
    columns = [*bijective, *(np.append(saved, mapped) for saved, mapped in kept)]
    weights = [
        *(np.ones(size) for _ in bijective),
        *(np.append(np.ones(len(saved)), -1) for saved, _ in kept),
    ]
    numbers = np.repeat(np.arange(len(columns)), [len(column) for column in columns])
    matrix = coo_array(
        (np.concatenate(weights), (numbers, np.concatenate(columns))),
        shape=(len(columns), maps.size + keeps.size),
    )
    lower = np.repeat([1.0, -np.inf], [len(bijective), len(kept)])
    upper = np.repeat([1.0, 0.0], [len(bijective), len(kept)])
    return LinearConstraint(matrix.tocsr(), lower, upper), maps.size, keeps.size


def _numbered(graph: nx.DiGraph) -> Edges:
    """The edges as numbers of nodes, `(edges, 2)`."""
    number = {node: i for i, node in enumerate(graph)}
    ends = [(number[parent], number[child]) for parent, child in graph.edges]
    return np.array(ends, dtype=np.int64).reshape(-1, 2)


def _distance_by_names(one: nx.DiGraph, other: nx.DiGraph) -> int:
    """The edits it takes when nodes of the same name become each other: an upper bound."""
    edits = len(set(one.nodes) ^ set(other.nodes)) + len(set(one.edges) ^ set(other.edges))
    for node in set(one.nodes) & set(other.nodes):
        edits += one.nodes[node]["label"] != other.nodes[node]["label"]
    return edits


def _in_common(sets: Sequence[Set[Hashable]]) -> Tensor:
    """How many elements every two of M sets share, int64 `(M, M)`."""
    columns: dict[Hashable, int] = {}
    places = [
        (row, columns.setdefault(element, len(columns)))
        for row, elements in enumerate(sets)
        for element in elements
    ]
    has = torch.zeros(len(sets), len(columns))
    if places:
        has[tuple(torch.tensor(places).T)] = 1
    return (has @ has.T).long()
