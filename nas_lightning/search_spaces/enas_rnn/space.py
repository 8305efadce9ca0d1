"""The space of recurrent cells: a directed acyclic graph of nodes.

Pham et al. 2018 (ENAS), section 2.1. Node 0 reads the input and the previous hidden state; each
later node reads the output of one earlier node; nodes that nobody reads, the leaves, are averaged
into the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from nas_lightning.errors import require, require_whole
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace

if TYPE_CHECKING:
    import networkx as nx

ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")


class RecurrentCellSpace(SearchSpace):
    """Cells of `num_nodes` nodes.

    The decisions are: activation of node 0, then for each node j >= 1 its previous node (one of
    the j earlier ones) and its activation; so T = 2 * num_nodes - 1.

    Args:
        num_nodes: Nodes in the cell.
        activations: The options for a node's activation, out of `ACTIVATIONS`. The same list goes
            to the child network.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, num_nodes: int, activations: Sequence[str]) -> None:
        require_whole("num_nodes", num_nodes, at_least=1)
        check_activations(activations)
        self.num_nodes = num_nodes
        self.activations = tuple(activations)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # noqa: D102 (see the base class)
        decisions = [Decision("node 0 activation", "activation", self.activations)]
        for node in range(1, self.num_nodes):
            earlier = tuple(range(node))
            decisions.append(Decision(f"node {node} previous node", "previous node", earlier))
            decisions.append(Decision(f"node {node} activation", "activation", self.activations))
        return tuple(decisions)

    @property
    def blocks(self) -> tuple[int, ...]:
        """After every node."""
        return tuple(range(1, len(self.decisions) + 1, 2))

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        """The tree of activations with children sorted: equal for cells equal up to node names.

        Renaming nodes changes nothing when leaves are averaged and weights are drawn anew; it does
        where `recurrent_state: last_node` makes one node special, or weights belong to node pairs.
        """
        previous, activations = split(architecture)
        children: list[list[int]] = [[] for _ in activations]
        for node, parent in enumerate(previous[1:], start=1):
            children[parent].append(node)
        keys: list[tuple[object, ...]] = [()] * len(activations)
        for node in reversed(range(len(activations))):  # children have larger numbers
            below = sorted((keys[child] for child in children[node]), key=repr)
            keys[node] = (activations[node], *below)
        return keys[0]

    def draw(self, architecture: Sequence[int]) -> str:
        """The cell as a tree, each node under the node it reads; leaves (averaged) carry a star."""
        previous, activations = split(architecture)
        leaves = leaf_nodes(previous)

        def lines(node: int) -> list[str]:
            star = " *" if node in leaves else ""
            drawn = [f"{node} {self.activations[activations[node]]}{star}"]
            children = [j for j in range(node + 1, len(previous)) if previous[j] == node]
            for child in children:
                last = child == children[-1]
                first, *rest = lines(child)
                drawn.append(("└─ " if last else "├─ ") + first)
                drawn.extend(("   " if last else "│  ") + line for line in rest)
            return drawn

        return "\n".join(lines(0))

    def graph(self, architecture: Sequence[int]) -> nx.DiGraph:
        """The nodes labelled with their activation, between both inputs and the output.

        Node 0 reads `input` and `previous state`; `output` reads every leaf.
        """
        import networkx as nx  # as `SearchSpace.graph` does

        previous, activations = split(architecture)
        graph = nx.DiGraph()
        for terminal in ("input", "previous state", "output"):
            graph.add_node(terminal, label=terminal)
        for node, activation in enumerate(activations):
            graph.add_node(node, label=self.activations[activation])
        graph.add_edges_from([("input", 0), ("previous state", 0)])
        graph.add_edges_from((previous[node], node) for node in range(1, len(previous)))
        graph.add_edges_from((leaf, "output") for leaf in leaf_nodes(previous))
        return graph

    def possible_edges(self) -> list[tuple[object, object]]:
        """From every node to every later one."""
        return [(i, j) for j in range(self.num_nodes) for i in range(j)]


def check_activations(activations: Sequence[str]) -> None:
    """Raise ValueError unless `activations` is a non-empty selection of `ACTIVATIONS`."""
    several = not isinstance(activations, str) and len(activations) > 0
    known = several and set(activations) <= set(ACTIVATIONS)
    require(
        known and len(set(activations)) == len(activations),
        "activations",
        activations,
        f"a list [...] of one or more of {', '.join(ACTIVATIONS)}, each once",
    )


def split(architecture: Sequence[int]) -> tuple[list[int], list[int]]:
    """Take a cell's vector apart.

    Returns:
        Previous node of every node (-1 for node 0), and activation number of every node.
    """
    actions = [int(action) for action in architecture]
    return [-1, *actions[1::2]], [actions[0], *actions[2::2]]


def leaf_nodes(previous: Sequence[int]) -> list[int]:
    """The nodes whose output no other node reads."""
    return sorted(set(range(len(previous))) - set(previous))
