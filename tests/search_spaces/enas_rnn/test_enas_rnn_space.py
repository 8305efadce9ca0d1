"""The space of recurrent cells: its decisions, its leaves, and which cells are the same cell.

That keys are equal exactly for isomorphic cells is tried on all pairs of small cells against brute
force over renamings.
"""

from __future__ import annotations

from itertools import permutations, product

import pytest

from nas_lightning.search_spaces.enas_rnn.space import (
    ACTIVATIONS,
    RecurrentCellSpace,
    leaf_nodes,
    split,
)

THREE = ("tanh", "relu", "sigmoid")  # Adam & Lorraine 2019


def all_cells(space: RecurrentCellSpace) -> list[tuple[int, ...]]:
    return list(product(*(range(n) for n in space.num_choices)))


def isomorphic(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether some renaming of the nodes makes one labelled graph out of the other."""
    num_nodes = (len(one) + 1) // 2

    def graph(cell: tuple[int, ...], name: tuple[int, ...]) -> tuple[set[object], set[object]]:
        edges = {(name[cell[2 * j - 1]], name[j]) for j in range(1, num_nodes)}
        labels = {(name[j], cell[0] if j == 0 else cell[2 * j]) for j in range(num_nodes)}
        return set(edges), set(labels)

    plain = tuple(range(num_nodes))
    return any(graph(one, name) == graph(other, plain) for name in permutations(plain))


@pytest.mark.parametrize("activations", [ACTIVATIONS, THREE, ("relu",)])
@pytest.mark.parametrize("num_nodes", [1, 2, 5, 12])
def test_decisions_stand_in_the_published_order(
    num_nodes: int, activations: tuple[str, ...]
) -> None:
    space = RecurrentCellSpace(num_nodes=num_nodes, activations=activations)
    assert len(space.decisions) == 2 * num_nodes - 1
    first, *rest = space.decisions
    assert (first.name, first.kind) == ("node 0 activation", "activation")
    assert first.choices == activations
    for node in range(1, num_nodes):
        previous, activation = rest[2 * node - 2 : 2 * node]
        assert (previous.name, previous.kind) == (f"node {node} previous node", "previous node")
        assert previous.choices == tuple(range(node))
        assert (activation.name, activation.kind) == (f"node {node} activation", "activation")
        assert activation.choices == activations


@pytest.mark.parametrize(
    ("num_nodes", "activations", "size"),
    [
        (1, ACTIVATIONS, 4),
        (3, ACTIVATIONS, 128),  # 4^3 * 2!
        (12, ACTIVATIONS, 4**12 * 39916800),  # about 7e14, ENAS's order of 10^15
        (12, THREE, 3**12 * 39916800),
        (4, ("relu",), 6),
    ],
)
def test_size(num_nodes: int, activations: tuple[str, ...], size: int) -> None:
    assert RecurrentCellSpace(num_nodes=num_nodes, activations=activations).size == size


def test_words_are_the_spaces_own_activations() -> None:
    space = RecurrentCellSpace(num_nodes=2, activations=["sigmoid", "tanh"])
    assert space.describe([1, 0, 0]) == {
        "node 0 activation": "tanh",
        "node 1 previous node": 0,
        "node 1 activation": "sigmoid",
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"num_nodes": 0}, "num_nodes=0"),
        ({"num_nodes": 2.5}, "num_nodes=2.5"),
        ({"num_nodes": True}, "num_nodes=True"),
        ({"activations": []}, "activations="),
        ({"activations": ["tanh", "tanh"]}, "each once"),
        ({"activations": ["tanh", "swish"]}, "swish"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match="not allowed") as refusal:
        RecurrentCellSpace(**({"num_nodes": 3, "activations": ACTIVATIONS} | arguments))  # type: ignore[arg-type]
    assert named in str(refusal.value)


def test_split() -> None:
    assert split([3, 0, 1, 1, 2]) == ([-1, 0, 1], [3, 1, 2])
    assert split([2]) == ([-1], [2])


@pytest.mark.parametrize(
    ("previous", "leaves"),
    [
        ([-1], [0]),
        ([-1, 0], [1]),
        ([-1, 0, 1, 2], [3]),  # a chain
        ([-1, 0, 0, 0], [1, 2, 3]),  # a star
        ([-1, 0, 0, 1, 1], [2, 3, 4]),
    ],
)
def test_leaves(previous: list[int], leaves: list[int]) -> None:
    assert leaf_nodes(previous) == leaves


@pytest.mark.parametrize(
    ("num_nodes", "activations"), [(1, ACTIVATIONS), (2, THREE), (3, ACTIVATIONS), (4, THREE[:2])]
)
def test_a_key_is_shared_exactly_by_isomorphic_cells(
    num_nodes: int, activations: tuple[str, ...]
) -> None:
    space = RecurrentCellSpace(num_nodes=num_nodes, activations=activations)
    cells = all_cells(space)
    keys = [space.canonical(cell) for cell in cells]
    shared = 0
    for i, one in enumerate(cells):
        for k in range(i):
            same = isomorphic(one, cells[k])
            assert (keys[i] == keys[k]) == same, (one, cells[k])
            shared += same
    assert (shared > 0) == (num_nodes >= 3), "the case to be tested does not occur"


def test_branches_keep_their_own_children() -> None:
    """0 -> a -> c, 0 -> b: hanging c below a or below b is the same cell only for equal a and b."""
    space = RecurrentCellSpace(num_nodes=4, activations=ACTIVATIONS)
    below_first, below_second = [0, 0, 1, 0, 2, 1, 3], [0, 0, 1, 0, 2, 2, 3]
    assert space.canonical(below_first) != space.canonical(below_second)
    below_first[4] = below_second[4] = 1
    assert space.canonical(below_first) == space.canonical(below_second)


def test_the_drawing_is_a_tree() -> None:
    space = RecurrentCellSpace(num_nodes=5, activations=ACTIVATIONS)
    cell = [0, 0, 1, 0, 2, 1, 3, 3, 0]  # 0 -> (1 -> 3 -> 4, 2)
    assert space.draw(cell).split("\n") == [
        "0 tanh",
        "├─ 1 relu",
        "│  └─ 3 sigmoid",
        "│     └─ 4 tanh *",
        "└─ 2 identity *",
    ]
