"""An architecture as a picture: a stack where its graph is a chain, else nodes and arcs.

As in the figure of Adam & Lorraine 2019: the edges that were chosen are red, those that were
possible pale, and the leaves, whose outputs make the output, orange.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import networkx as nx
from markupsafe import Markup, escape

from nas_lightning.report.svg import canvas
from nas_lightning.search_spaces.base import SearchSpace

CHOSEN, LEAF, NODE = "#d9412f", "#f0932b", "#4a90d9"
ROW = 38
RADIUS = 11
BOX = 250


def draw(space: SearchSpace, actions: Sequence[int], *, alt: str) -> Markup:
    """Draw an architecture.

    Args:
        space: Its search space, of any growth.
        actions: The architecture.
        alt: What the picture is of; what the nodes are is added.
    """
    graph = space.graph(actions)
    inserted = {node: number for number, node in enumerate(graph)}
    order = list(nx.lexicographical_topological_sort(graph, key=inserted.__getitem__))
    labels = [_label(graph, node) for node in order]
    alt = f"{alt}: {'; '.join(labels)}"
    chain = all(graph.in_degree(n) <= 1 and graph.out_degree(n) <= 1 for n in order)
    return _stack(labels, alt) if chain else _arcs(space, graph, order, alt)


def _stack(labels: Sequence[str], alt: str) -> Markup:
    """Boxes one below the other."""
    middle = BOX / 2 + 2
    parts = []
    for row, label in enumerate(labels):
        y = 16 + row * ROW
        ends = row in (0, len(labels) - 1)
        look = 'fill="none" stroke="none"' if ends else f'fill="{NODE}33" stroke="{NODE}"'
        parts.append(_x('<rect x="2" y="{}" width="{}" height="24" rx="5" ' + look + "/>", y, BOX))
        parts.append(_text(middle, y + 16, label, anchor="middle"))
        if row:
            parts.append(_line(middle, y - ROW + 24, middle, y, "currentColor", 0.6))
    return canvas(BOX + 4, 16 + len(labels) * ROW, alt, Markup("").join(parts))


def _arcs(space: SearchSpace, graph: Any, order: Sequence[Any], alt: str) -> Markup:
    """Nodes one below the other, edges as arcs beside them, the longer the wider."""
    possible = [edge for edge in space.possible_edges() if set(edge) <= set(graph)]
    chosen = [edge for edge in graph.edges if edge in set(possible)]
    inner = {node for node in graph if graph.nodes[node]["label"] != node}
    leaves = {u for u, v in graph.edges if v not in inner}
    places = {node: 24 + row * ROW for row, node in enumerate(order)}
    longest = max((places[v] - places[u] for u, v in [*possible, *graph.edges]), default=ROW)
    x = 120.0
    width = x + _reach(longest) + 16

    def arcs(edges: Iterable[tuple[Any, Any]], colour: str, opacity: float, thick: float) -> Markup:
        paths = (
            _arc(
                x,
                places[u],
                places[v],
                colour,
                opacity,
                thick,
                leaves=RADIUS if u in inner else 4,
                meets=RADIUS if v in inner else 4,
            )
            for u, v in edges
        )
        return Markup("").join(paths)

    parts = [
        arcs([e for e in possible if e not in set(chosen)], NODE, 0.22, 1),
        arcs([e for e in graph.edges if e not in set(chosen)], "currentColor", 0.45, 1.2),
        arcs(chosen, CHOSEN, 1, 2.2),
    ]
    for node, y in places.items():
        if node in inner:
            full = LEAF if node in leaves else NODE
            parts.append(
                _x('<circle cx="{}" cy="{}" r="{}" fill="{}"/>', x, y, RADIUS, full)
                + _text(x, y + 4, str(node), anchor="middle", colour="#fff")
                + _text(x - 20, y + 4, str(graph.nodes[node]["label"]), anchor="end")
            )
        else:
            parts.append(
                _x('<circle cx="{}" cy="{}" r="4"/>', x, y)
                + _text(x - 20, y + 4, str(node), anchor="end")
            )
    height = 24 + len(places) * ROW - ROW / 2
    return canvas(width, height, alt, Markup("").join(parts))


def _label(graph: Any, node: Any) -> str:
    """A node's name and what it computes, once where they are the same or the name is in it."""
    label = str(graph.nodes[node]["label"])
    return label if label == str(node) else f"{node}: {label}"


def _arc(
    x: float,
    top: float,
    end: float,
    colour: str,
    opacity: float,
    thick: float,
    *,
    leaves: float,
    meets: float,
) -> Markup:
    """An edge down from height `top` to `end`, between nodes of the radii `leaves` and `meets`."""
    if end - top <= ROW:
        return _line(x, top + leaves, x, end - meets - 1, colour, opacity, thick)
    reach, start, tip = x + _reach(end - top) * 4 / 3, x + leaves, x + meets + 1
    path = _x(
        '<path d="M{} {}C{} {},{} {},{} {}" fill="none" stroke="{}" stroke-width="{}" '
        'opacity="{}"/>',
        start, top, reach, top, reach, end, tip, end, colour, thick, opacity,
    )  # fmt: skip
    return path + _head(tip, end, "left", colour, opacity)


def _reach(height: float) -> float:
    """How far an arc of this height goes to the right."""
    return 14 + 0.28 * height


def _line(
    x: float, y: float, to_x: float, to_y: float, colour: str, opacity: float = 1, thick: float = 2
) -> Markup:
    line = _x(
        '<path d="M{} {}L{} {}" stroke="{}" stroke-width="{}" opacity="{}"/>',
        x, y, to_x, to_y - 3, colour, thick, opacity,
    )  # fmt: skip
    return line + _head(to_x, to_y, "down", colour, opacity)


def _head(x: float, y: float, to: str, colour: str, opacity: float) -> Markup:
    """An arrow's head whose tip is at (x, y)."""
    a, b = ((x - 4, y - 6), (x + 4, y - 6)) if to == "down" else ((x + 6, y - 4), (x + 6, y + 4))
    return _x(
        '<path d="M{} {}L{} {}L{} {}z" fill="{}" opacity="{}"/>', x, y, *a, *b, colour, opacity
    )


def _text(x: float, y: float, text: str, *, anchor: str, colour: str = "currentColor") -> Markup:
    return _x(
        '<text x="{}" y="{}" text-anchor="{}" fill="{}" font-size="12">{}</text>',
        x, y, anchor, colour, text,
    )  # fmt: skip


def _x(element: str, *values: object) -> Markup:
    """An element with its values, rounded and escaped."""
    return Markup(element).format(
        *(f"{v:.4g}" if isinstance(v, float) else escape(v) for v in values)
    )
