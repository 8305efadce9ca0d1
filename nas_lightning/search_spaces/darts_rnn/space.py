"""The space of recurrent cells of DARTS (Liu et al. 2019, section 2.1 and appendix A.1.2).

The first state is made of the input and the previous hidden state. Each node reads one state before
it, by one operation; which of them is one decision. The output is the average of all nodes, read or
not, so that a mixture of cells is defined: in ENAS's cells it is that of the leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from nas_lightning.errors import require, require_bool, require_whole
from nas_lightning.search_spaces import Decision, Groups
from nas_lightning.search_spaces.base import SearchSpace

if TYPE_CHECKING:
    import networkx as nx

OPERATIONS = ("tanh", "relu", "sigmoid", "identity")
NONE = "none"


class DartsCellSpace(SearchSpace):
    """Cells of `num_nodes` nodes, one decision a node: a state before it and an operation.

    Node i >= 1 has the states 0 to i - 1 to choose from, state 0 being the first one.

    Args:
        num_nodes: Nodes in the cell, the first state not counted.
        operations: The options for an operation, out of `OPERATIONS`. The same list goes to the
            child network.
        none: Whether the relaxed cell may also weigh `none`, which adds nothing and is never
            chosen.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, num_nodes: int, operations: Sequence[str], none: bool) -> None:
        require_whole("num_nodes", num_nodes, at_least=1)
        check_operations(operations)
        require_bool("none", none)
        self.num_nodes = num_nodes
        self.operations = tuple(operations)
        self.none = none

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # noqa: D102 (see the base class)
        return tuple(
            Decision(
                f"node {node}",
                "state and operation",
                tuple(f"{state} {name}" for state in range(node) for name in self.operations),
            )
            for node in range(1, self.num_nodes + 1)
        )

    @cached_property
    def groups(self) -> Groups:
        """The operations of each edge, node by node; of a node the edges from state 0 on."""
        options = (NONE, *self.operations) if self.none else self.operations
        names: list[str] = []
        places: list[tuple[int, ...]] = []
        for node in range(1, self.num_nodes + 1):
            of_node: list[int] = []
            for state in range(node):
                first = len(names) * len(options) + self.none
                of_node += range(first, first + len(self.operations))
                names.append(f"node {node} from {state}")
            places.append(tuple(of_node))
        return Groups(tuple(names), (options,) * len(names), tuple(places))

    def split(self, architecture: Sequence[int]) -> list[tuple[int, int]]:
        """For every node the state that it reads, and the number of its operation."""
        return [divmod(int(action), len(self.operations)) for action in architecture]

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        """The tree of operations with children sorted: equal for cells equal up to node names."""
        below: list[list[tuple[object, ...]]] = [[] for _ in range(self.num_nodes + 1)]
        for node, (state, operation) in reversed([*enumerate(self.split(architecture), start=1)]):
            below[state].append((operation, *sorted(below[node], key=repr)))
        return tuple(sorted(below[0], key=repr))

    def draw(self, architecture: Sequence[int]) -> str:
        """The cell as a tree, each node under the state that it reads."""
        chosen = dict(enumerate(self.split(architecture), start=1))

        def lines(state: int) -> list[str]:
            name = self.operations[chosen[state][1]] if state else "first state"
            drawn = [f"{state} {name}"]
            children = [node for node, (read, _) in chosen.items() if read == state]
            for child in children:
                last = child == children[-1]
                first, *rest = lines(child)
                drawn.append(("└─ " if last else "├─ ") + first)
                drawn.extend(("   " if last else "│  ") + line for line in rest)
            return drawn

        return "\n".join(lines(0))

    def graph(self, architecture: Sequence[int]) -> nx.DiGraph:
        """The nodes labelled with their operation, between both inputs and the output."""
        import networkx as nx  # as `SearchSpace.graph` does

        graph = nx.DiGraph()
        for terminal in ("input", "previous state", "output"):
            graph.add_node(terminal, label=terminal)
        graph.add_node(0, label="first state")
        graph.add_edges_from([("input", 0), ("previous state", 0)])
        for node, (state, operation) in enumerate(self.split(architecture), start=1):
            graph.add_node(node, label=self.operations[operation])
            graph.add_edge(state, node)
            graph.add_edge(node, "output")
        return graph

    def possible_edges(self) -> list[tuple[object, object]]:
        """From every state to every later node."""
        return [(i, j) for j in range(1, self.num_nodes + 1) for i in range(j)]


def check_operations(operations: Sequence[str]) -> None:
    """Raise ValueError unless `operations` is a non-empty selection of `OPERATIONS`."""
    several = not isinstance(operations, str) and len(operations) > 0
    known = several and set(operations) <= set(OPERATIONS)
    require(
        known and len(set(operations)) == len(operations),
        "operations",
        operations,
        f"a list [...] of one or more of {', '.join(OPERATIONS)}, each once",
    )
