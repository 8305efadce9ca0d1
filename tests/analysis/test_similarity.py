"""Similarities: hand-made cells, pair by pair in plain Python, and NetworkX's graph edit distance.

What is asked of any space is asked of each YAML in conf/search_space.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, cast

import networkx as nx
import pytest
import torch

from nas_lightning.analysis.similarity import (
    agreements,
    common_activations,
    common_connections,
    edit_distance,
    edit_distances,
    hamming_distance,
    one_hot,
    performance_difference,
    similarities,
    some_pairs,
)
from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace, Layer
from tests.given import choosing, composed

CELLS = RecurrentCellSpace(num_nodes=3, activations=ACTIVATIONS)
CHAIN = [0, 0, 1, 1, 2]  # tanh -> relu -> identity
STAR = [0, 0, 1, 0, 3]  # tanh -> relu, tanh -> sigmoid
OTHER = [2, 0, 1, 1, 2]  # the chain with another first activation

STACKS = ConvolutionalSpace(
    num_layers=2,
    grow_by=1,
    grow_every=None,
    max_layers=3,
    heights=[1, 3],
    widths=[1, 3],
    filters=[4, 8],
    strides=[1, 2],
)

SPACES = sorted(path.stem for path in (CONF / "search_space").glob("*.yaml"))


@pytest.fixture(scope="module", params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    cfg = composed(*choosing(request.param))
    made: SearchSpace = make(cfg, "search_space")
    return made


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def graphs(space: SearchSpace, *architectures: list[int]) -> list[nx.DiGraph]:
    return [space.graph(architecture) for architecture in architectures]


# Graphs


def test_the_graph_of_a_cell() -> None:
    graph = CELLS.graph(STAR)
    assert set(graph.edges) == {
        ("input", 0),
        ("previous state", 0),
        (0, 1),
        (0, 2),
        (1, "output"),
        (2, "output"),
    }
    labels = dict(graph.nodes(data="label"))
    assert [labels[node] for node in range(3)] == ["tanh", "relu", "sigmoid"]


def test_the_graph_of_a_stack() -> None:
    graph = STACKS.graph([0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0])  # of three layers, as grown
    assert set(graph.edges) == {("image", 0), (0, 1), (1, 2), (2, "output")}
    assert graph.nodes[0]["label"] == Layer(1, 3, 4, 2)


def test_a_space_without_a_graph_of_its_own_is_a_chain_of_decisions() -> None:
    class Bare(SearchSpace):
        decisions = (Decision("a", "size", (1, 2)), Decision("b", "size", (1, 2)))
        canonical = draw = None  # type: ignore[assignment]

    space = Bare()
    graph = space.graph([1, 0])
    assert list(graph.edges) == [("start", "a"), ("a", "b")]
    assert dict(graph.nodes(data="label")) == {"start": "start", "a": 2, "b": 1}
    sample = space.sample(10, seeded())
    common = common_activations([space.graph(row) for row in sample.tolist()])
    assert torch.equal(common, 2 - hamming_distance(sample))


def test_every_space_has_graphs(space: SearchSpace) -> None:
    for stage in (space, space.largest):
        for row in stage.sample(10, seeded()).tolist():
            graph = space.graph(row)
            assert nx.is_directed_acyclic_graph(graph)
            assert nx.is_weakly_connected(graph)
            assert all(label is not None for _, label in graph.nodes(data="label"))
            assert nx.utils.graphs_equal(graph, space.graph(cast(Any, torch.tensor(row))))


# Counts


def test_common_connections_by_hand() -> None:
    """In all three node 0 reads both inputs, node 1 reads node 0."""
    counts = common_connections(graphs(CELLS, CHAIN, STAR, OTHER))
    # Chain and star share a leaf, node 2, but not whom it reads; the star has one more leaf.
    assert counts.tolist() == [[5, 4, 5], [4, 6, 4], [5, 4, 5]]


def test_common_activations_by_hand() -> None:
    counts = common_activations(graphs(CELLS, CHAIN, STAR, OTHER))
    # Chain and star: node 0 under both inputs, node 1 under node 0, the leaf 2. Chain and the
    # other one: all but node 0. Star and the other one: node 1 and the leaf.
    assert counts.tolist() == [[5, 4, 3], [4, 6, 2], [3, 2, 5]]


def test_position_wise_counts_by_hand() -> None:
    counts = agreements(CELLS, torch.tensor([CHAIN, STAR, OTHER]))
    assert counts["same_activation"].tolist() == [[3, 2, 2], [2, 3, 1], [2, 1, 3]]
    assert counts["same_previous_node"].tolist() == [[2, 1, 2], [1, 2, 1], [2, 1, 2]]
    assert len(counts) == 2


def test_stacks_have_the_same_connections_and_may_have_the_same_layers() -> None:
    first = [0, 1, 0, 1, 1, 1, 1, 0]
    second = [0, 1, 0, 1, 1, 1, 1, 1]  # another stride in the second layer
    assert common_connections(graphs(STACKS, first, second)).tolist() == [[3, 3], [3, 3]]
    assert common_activations(graphs(STACKS, first, second)).tolist() == [[3, 2], [2, 3]]
    counts = agreements(STACKS, torch.tensor([first, second]))
    assert {kind: int(matrix[0, 1]) for kind, matrix in counts.items()} == {
        "same_height": 2,
        "same_width": 2,
        "same_filters": 2,
        "same_stride": 1,
    }


def test_performance_difference() -> None:
    differences = performance_difference(torch.tensor([1.0, 4.0, torch.inf]))
    assert differences[:2, :2].tolist() == [[0, 3], [3, 0]]
    assert differences[2].isnan().all()
    assert differences[:, 2].isnan().all()


def test_matrices_agree_with_pair_by_pair_counting(space: SearchSpace) -> None:
    for stage in (space, space.largest):
        sample = stage.sample(12, seeded())
        performance = torch.rand(12, generator=seeded())
        found = similarities(space, sample, performance)
        kinds = [decision.kind for decision in stage.decisions]
        for i, one in enumerate(sample.tolist()):
            for j, other in enumerate(sample.tolist()):
                g, h = space.graph(one), space.graph(other)
                edges = set(g.edges) & set(h.edges)
                expected = {
                    "common_connections": len(edges),
                    "common_activations": sum(
                        g.nodes[child]["label"] == h.nodes[child]["label"] for _, child in edges
                    ),
                    "hamming_distance": sum(a != b for a, b in zip(one, other, strict=True)),
                    "performance_difference": abs(performance[i] - performance[j]).item(),
                }
                for kind in kinds:
                    expected["same_" + kind.replace(" ", "_")] = sum(
                        a == b and kind == of for a, b, of in zip(one, other, kinds, strict=True)
                    )
                assert {name: matrix[i, j].item() for name, matrix in found.items()} == expected


def test_performance_may_be_unknown(space: SearchSpace) -> None:
    sample = space.sample(3, seeded())
    known = similarities(space, sample, torch.ones(3)).keys()
    assert known - similarities(space, sample, None).keys() == {"performance_difference"}


def test_one_hot_distances_are_hamming_distances(space: SearchSpace) -> None:
    sample = space.sample(20, seeded())
    code = one_hot(sample)
    assert set(code.unique().tolist()) <= {0.0, 1.0}
    squared = (code.unsqueeze(1) - code).square().sum(dim=2)
    assert torch.equal(squared, 2.0 * hamming_distance(sample))


# Graph edit distance


def labelled(labels: str, *edges: tuple[int, int]) -> nx.DiGraph:
    graph = nx.DiGraph()
    for node, label in enumerate(labels):
        graph.add_node(node, label=label)
    graph.add_edges_from(edges)
    return graph


def networkx_distance(one: nx.DiGraph, other: nx.DiGraph) -> int:
    def same(a: dict[str, object], b: dict[str, object]) -> bool:
        return a["label"] == b["label"]

    distance: float = nx.graph_edit_distance(one, other, node_match=same)
    return round(distance)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        (labelled("ab", (0, 1)), labelled("ab", (0, 1)), 0),
        (labelled("ab", (0, 1)), labelled("ac", (0, 1)), 1),  # one label
        (labelled("ab", (0, 1)), labelled("ab"), 1),  # one edge
        (labelled("ab", (0, 1)), labelled("ba", (1, 0)), 0),  # other names
        (labelled("ab", (0, 1)), labelled("ab", (1, 0)), 2),  # turned round
        (labelled("aab", (0, 1), (1, 2)), labelled("ab", (0, 1)), 2),  # a node and its edge
        (labelled("a"), labelled("abc", (0, 1), (1, 2)), 4),
        (labelled("a"), labelled("b"), 1),
        (labelled("abc", (0, 1), (1, 2)), labelled("abc", (0, 1), (0, 2)), 2),
    ],
)
def test_edit_distance_by_hand(one: nx.DiGraph, other: nx.DiGraph, distance: int) -> None:
    assert edit_distance(one, other, max_branches=100) == (distance, True)
    assert edit_distance(other, one, max_branches=100) == (distance, True)
    assert networkx_distance(one, other) == distance


def test_edit_distance_of_cells_agrees_with_networkx() -> None:
    cells = RecurrentCellSpace(num_nodes=4, activations=ACTIVATIONS)
    sample = [cells.graph(row) for row in cells.sample(20, seeded()).tolist()]
    for one, other in zip(sample[::2], sample[1::2], strict=True):
        expected = networkx_distance(one, other)
        assert edit_distance(one, other, max_branches=100) == (expected, True)


def test_edit_distance_of_random_graphs_agrees_with_networkx() -> None:
    """Graphs of different sizes, with cycles and loose nodes, of few labels."""
    generator = seeded()

    def graph() -> nx.DiGraph:
        size = int(torch.randint(1, 6, (), generator=generator))
        labels = "".join("ab"[i] for i in torch.randint(2, (size,), generator=generator))
        drawn = torch.rand(size, size, generator=generator) < 0.3
        return labelled(labels, *((i, j) for i, j in drawn.nonzero().tolist() if i != j))

    for _ in range(20):
        one, other = graph(), graph()
        expected = networkx_distance(one, other)
        assert edit_distance(one, other, max_branches=1000) == (expected, True)


def test_renamed_cells_are_no_edit_apart() -> None:
    """Nodes 1 and 2 of the star change places."""
    one, other = graphs(CELLS, [0, 0, 1, 0, 3], [0, 0, 3, 0, 1])
    assert edit_distance(one, other, max_branches=100) == (0, True)
    assert CELLS.canonical([0, 0, 1, 0, 3]) == CELLS.canonical([0, 0, 3, 0, 1])


def test_a_search_cut_short_gives_an_upper_bound_and_says_so() -> None:
    """Graphs without labels are so symmetrical that one branch does not always do."""
    generator = seeded()
    cut_short = 0
    for _ in range(10):
        one, other = (
            labelled("a" * 5, *((i, j) for i, j in drawn.nonzero().tolist() if i != j))
            for drawn in torch.rand(2, 5, 5, generator=generator) < 0.3
        )
        distance, exact = edit_distance(one, other, max_branches=10_000)
        assert exact
        bound, exact = edit_distance(one, other, max_branches=1)
        assert distance <= bound <= len(set(one.edges) ^ set(other.edges))
        assert bound == distance or not exact
        assert edit_distance(one, other, max_branches=1) == (bound, exact)
        cut_short += not exact
    assert 0 < cut_short < 10


def test_edit_distances_of_some_pairs() -> None:
    three = graphs(CELLS, CHAIN, STAR, OTHER)
    found = edit_distances(three, torch.tensor([[0, 1], [2, 0]]), max_branches=100)
    assert torch.equal(found.exact, found.values.isfinite())
    assert found.exact.tolist() == [
        [False, True, True],
        [True, False, False],
        [True, False, False],
    ]
    # Without 1 -> 2, with 0 -> 2 and 1 -> output, and identity becomes sigmoid.
    assert found.values[0, 1] == found.values[1, 0] == 4
    assert found.values[0, 2] == found.values[2, 0] == 1


def test_no_branches_are_refused() -> None:
    with pytest.raises(ValueError, match="max_branches=0"):
        edit_distance(labelled("a"), labelled("a"), max_branches=0)


def test_some_pairs() -> None:
    everything = set(combinations(range(6), 2))
    assert set(map(tuple, some_pairs(6, 99, seeded()).tolist())) == everything
    few = [tuple(pair) for pair in some_pairs(6, 5, seeded()).tolist()]
    assert len(set(few)) == 5
    assert set(few) < everything
    assert few == [tuple(pair) for pair in some_pairs(6, 5, seeded()).tolist()]
    assert few != [tuple(pair) for pair in some_pairs(6, 5, seeded(1)).tolist()]
