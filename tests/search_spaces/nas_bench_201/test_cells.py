"""Cells of NAS-Bench-201: published words, classes that are counted, drawings."""

from __future__ import annotations

import itertools

import pytest

from nas_lightning.search_spaces.nas_bench_201 import CellSpace
from nas_lightning.search_spaces.nas_bench_201.plain import EDGES
from nas_lightning.search_spaces.nas_bench_201.space import OPERATIONS

SPACE = CellSpace(operations=OPERATIONS)
BEST = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
"""A published word."""
ALL = SPACE.architectures().tolist()


def test_words_both_ways() -> None:
    assert len(ALL) == SPACE.size == 5**6 == 15_625
    words = [SPACE.word(actions) for actions in ALL]
    assert len(set(words)) == len(ALL)
    for actions, word in zip(ALL[::97], words[::97], strict=True):
        assert SPACE.actions(word) == actions
    assert SPACE.word(SPACE.actions(BEST)) == BEST
    assert list(SPACE.describe(SPACE.actions(BEST)).values()) == [
        *("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3"),
        *("skip_connect", "nor_conv_3x3", "nor_conv_3x3"),
    ]


@pytest.mark.parametrize(
    "word",
    ["", BEST[1:], BEST + "|", BEST.replace("~2", "~1"), BEST.replace("skip_connect", "sep_conv")],
)
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"^word=.* is not allowed: must be") as refused:
        SPACE.actions(word)
    assert "\n" not in str(refused.value)


def cell(*operations: str) -> list[int]:
    return [OPERATIONS.index(operation) for operation in operations]


def test_canonical_forms_are_the_published_classes() -> None:
    """The published number; and pairs of which it is known whether they are merged."""
    assert len({SPACE.canonical(actions) for actions in ALL}) == 6466
    skip, none, conv, pool = "skip_connect", "none", "nor_conv_3x3", "avg_pool_3x3"
    merged = [
        # the same convolution of the input, on the way to node 1 or from there
        (cell(conv, none, skip, none, none, skip), cell(skip, none, conv, none, none, skip)),
        # terms of a sum have changed places
        (cell(skip, none, none, conv, pool, none), cell(skip, none, none, pool, conv, none)),
        # what reads nothing is nothing
        (cell(none, conv, pool, skip, none, none), cell(none, conv, conv, skip, pool, none)),
    ]
    for one, other in merged:
        assert one != other
        assert SPACE.canonical(one) == SPACE.canonical(other)
    apart = [
        (cell(conv, none, skip, none, none, skip), cell(pool, none, skip, none, none, skip)),
        # the same network, nodes 1 and 2 having changed places, which this definition tells apart
        (cell(conv, pool, none, none, conv, pool), cell(pool, conv, none, none, pool, conv)),
    ]
    for one, other in apart:
        assert SPACE.canonical(one) != SPACE.canonical(other)


def test_graph_holds_what_computes() -> None:
    for actions in ALL[::211]:
        graph = SPACE.graph(actions)
        words = list(SPACE.describe(actions).values())
        labels = [graph.nodes[node]["label"] for node in graph]
        assert (
            sorted(labels) == sorted(["input", "sum", "sum", "output", *words]) or "none" in words
        )
        assert graph.number_of_edges() == 2 * sum(word != "none" for word in words)
        assert set(graph.successors("output")) == set()
    assert SPACE.draw(SPACE.actions(BEST)).splitlines() == [
        "1 = nor_conv_3x3(input)",
        "2 = nor_conv_3x3(input) + nor_conv_3x3(1)",
        "output = skip_connect(input) + nor_conv_3x3(1) + nor_conv_3x3(2)",
    ]
    assert SPACE.draw([0] * 6).splitlines()[-1] == "output = nothing"


def test_fewer_operations() -> None:
    small = CellSpace(operations=["skip_connect", "nor_conv_3x3"])
    assert small.size == 64
    assert all(len(SPACE.actions(small.word(a))) == 6 for a in small.architectures().tolist())
    for wrong in ([], ["sep_conv"], ["none", "none"], "none"):
        with pytest.raises(ValueError, match=r"operations=.* is not allowed"):
            CellSpace(operations=wrong)


def test_edges_are_those_of_four_nodes() -> None:
    assert sorted(EDGES) == sorted(itertools.combinations(range(4), 2))
