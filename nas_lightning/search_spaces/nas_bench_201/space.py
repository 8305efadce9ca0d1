"""The space of cells of NAS-Bench-201: four nodes, and on each of the six edges an operation.

Dong & Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search".
Node 0 is the cell's input. Every later node sums what it gets from each earlier one, through the
operation on the edge between them. Node 3 is the cell's output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import networkx as nx

from nas_lightning.errors import require
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.nas_bench_201.plain import EDGES, MAKES

OPERATIONS = tuple(MAKES)
"""As they are called in the published words: ReLU, convolution and batch norm are a `nor_conv`."""

INPUT, OUTPUT = "input", "output"
NODES = (INPUT, 1, 2, OUTPUT)
"""What the nodes are called in a graph."""


class CellSpace(SearchSpace):
    """Cells: six decisions, one an edge.

    Args:
        operations: The options for an edge, out of `OPERATIONS`.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, operations: Sequence[str]) -> None:
        several = isinstance(operations, (list, tuple)) and len(operations) > 0
        require(
            several
            and set(operations) <= set(OPERATIONS)
            and len(set(operations)) == len(operations),
            "operations",
            operations,
            f"a list [...] of one or more of {', '.join(OPERATIONS)}, each once",
        )
        self.operations = tuple(operations)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # noqa: D102 (see the base class)
        return tuple(
            Decision(f"edge {earlier} to {node}", "operation", self.operations)
            for earlier, node in EDGES
        )

    @property
    def blocks(self) -> tuple[int, ...]:
        """After every node: 1, 3 and 6 edges."""
        return tuple(n for n, (_, node) in enumerate(EDGES, start=1) if n == node * (node + 1) // 2)

    def word(self, architecture: Sequence[int]) -> str:
        """The published word, `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|…|`.

        A part a node, from node 1 on; in it for each earlier node the operation, and its number.
        """
        parts = ["", "", ""]
        for (earlier, node), operation in zip(EDGES, self._chosen(architecture), strict=True):
            parts[node - 1] += f"{operation}~{earlier}|"
        return "+".join(f"|{part}" for part in parts)

    def actions(self, word: str) -> list[int]:
        """The architecture that a published word stands for.

        Raises:
            ValueError: If it is the word of no cell of this space.
        """
        found = re.findall(r"(\w+)~\d", word)
        known = len(found) == len(EDGES) and set(found) <= set(self.operations)
        actions = [self.operations.index(operation) for operation in found] if known else []
        require(
            known and self.word(actions) == word,
            "word",
            word,
            "|A~0|+|A~0|A~1|+|A~0|A~1|A~2|, each A one of " + ", ".join(self.operations),
        )
        return actions

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        """The expression that the authors compare: 6,466 of the 15,625 cells differ in it.

        A node is its terms, one an earlier node, sorted as text and joined by `+`. An earlier node
        read through `skip_connect` is that node's own text, through another operation
        `(text)@operation`, and `#` through `none` or if the node is `#` itself. So order does not
        matter, and to skip is to be the same; but `#` counts as a term, so that some cells that are
        the same network are told apart (without it there were 4,930).
        """
        nodes = ["0"]
        operations = iter(self._chosen(architecture))
        for node in (1, 2, 3):
            terms = [_term(nodes[earlier], next(operations)) for earlier in range(node)]
            nodes.append("+".join(sorted(terms)))
        return (nodes[-1],)

    def draw(self, architecture: Sequence[int]) -> str:
        """One line a node: what it sums. An edge of `none` is left out."""
        terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
        for (earlier, node), operation in zip(EDGES, self._chosen(architecture), strict=True):
            if operation != "none":
                terms[node].append(f"{operation}({NODES[earlier]})")
        return "\n".join(
            f"{NODES[node]} = {' + '.join(summed) or 'nothing'}" for node, summed in terms.items()
        )

    def graph(self, architecture: Sequence[int]) -> nx.DiGraph:
        """Sums and operations, between the input and the output. `none` is no node.

        An operation is called by its decision, and labelled with what it does.
        """
        graph = nx.DiGraph()
        for name in NODES:
            graph.add_node(name, label="sum" if isinstance(name, int) else name)
        chosen = zip(EDGES, self.decisions, self._chosen(architecture), strict=True)
        for (earlier, node), decision, operation in chosen:
            if operation != "none":
                graph.add_node(decision.name, label=operation)
                nx.add_path(graph, [NODES[earlier], decision.name, NODES[node]])
        return graph

    def _chosen(self, architecture: Sequence[int]) -> list[str]:
        """The operation on each edge."""
        return [self.operations[int(action)] for action in architecture]


def _term(text: str, operation: str) -> str:
    """What a node gets from an earlier one, `text`, through an operation."""
    if operation == "none" or text == "#":
        return "#"
    return text if operation == "skip_connect" else f"({text})@{operation}"
