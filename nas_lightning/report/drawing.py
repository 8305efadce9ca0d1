"""An architecture as a picture: a stack where its graph is a chain, else nodes in layers.

As in the figure of Adam & Lorraine 2019: the edges that were chosen are red, those that were
possible pale where there are few, and the leaves, whose outputs make the output, orange.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import networkx as nx
from markupsafe import Markup, escape

from nas_lightning.report.svg import canvas
from nas_lightning.search_spaces.base import SearchSpace

CHOSEN, LEAF, NODE, DARK = "#d9412f", "#f0932b", "#6aa6e4", "#10151c"
ROW = 56
HALF = 16.0
"""Of the height of a node's box."""

STEP, BOX, GAP = 38, 250, 30
TALLEST = 9
"""Boxes of a stack one below the other; of more there are several columns."""

FEW = 10
"""Edges among which decisions choose: of more, those not chosen would hide those that were."""


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
    return _stack(labels, alt) if chain else _layers(space, graph, order, alt)


def _stack(labels: Sequence[str], alt: str) -> Markup:
    """Boxes one below the other, of a long chain in several columns of the same height."""
    columns = math.ceil(len(labels) / TALLEST)
    rows = math.ceil(len(labels) / columns)
    parts = []
    for place, label in enumerate(labels):
        column, row = divmod(place, rows)
        x, y = 2 + column * (BOX + GAP), 16 + row * STEP
        middle = x + BOX / 2
        ends = place in (0, len(labels) - 1)
        look = 'fill="none" stroke="none"' if ends else f'fill="{NODE}33" stroke="{NODE}"'
        parts.append(
            _x('<rect x="{}" y="{}" width="{}" height="24" rx="5" ' + look + "/>", x, y, BOX)
        )
        parts.append(_text(middle, y + 16, label, anchor="middle"))
        if row:
            parts.append(_arrow((middle, y - STEP + 24), (middle, y), "currentColor", 0.6))
        elif column:  # from the foot of the column before
            foot = 16.0 + (rows - 1) * STEP + 12
            parts.append(_arrow((x - GAP, foot), (x - 2, y + 12), "currentColor", 0.6))
    width = columns * (BOX + GAP) - GAP + 4
    return canvas(width, 16 + rows * STEP, alt, Markup("").join(parts))


def _layers(space: SearchSpace, graph: Any, order: Sequence[Any], alt: str) -> Markup:
    """Nodes from top to bottom, each one below all that it reads."""
    possible = {edge for edge in space.possible_edges() if set(edge) <= set(graph)}
    inner = {node for node in graph if graph.nodes[node]["label"] != node}
    leaves = {u for u, v in graph.edges if v not in inner}
    places, width, height = _places(graph, order)

    half = _width(graph) / 2

    def edge(u: Any, v: Any, colour: str, opacity: float, thick: float) -> Markup:
        (x, y), (to_x, to_y) = places[u], places[v]
        start = x, y + (HALF if u in inner else 4)
        end = to_x, to_y - (HALF if v in inner else 4)
        return _arrow(start, end, colour, opacity, thick, bend=_bend(places, u, v, half))

    others = sorted(possible - set(graph.edges), key=str) if len(possible) <= FEW else []
    parts = [_line(places[u], places[v]) for u, v in others]
    parts += [
        edge(u, v, "currentColor", 0.4, 1.2) for u, v in graph.edges if (u, v) not in possible
    ]
    parts += [edge(u, v, CHOSEN, 1, 2.2) for u, v in graph.edges if (u, v) in possible]
    for node, (x, y) in places.items():
        if node in inner:
            full = LEAF if node in leaves else NODE
            parts.append(
                _x(
                    '<rect x="{}" y="{}" width="{}" height="{}" rx="8" fill="{}"/>',
                    x - half, y - HALF, 2 * half, 2 * HALF, full,
                )
                + _text(x, y - 3, str(node), anchor="middle", colour=DARK)
                + _text(x, y + 11, str(graph.nodes[node]["label"]), anchor="middle", colour=DARK)
            )  # fmt: skip
        else:
            parts.append(
                _x('<circle cx="{}" cy="{}" r="4"/>', x, y)
                + _text(x + 8, y + 4, str(node), anchor="start")
            )
    return canvas(width, height, alt, Markup("").join(parts))


def _width(graph: Any) -> float:
    """Of every node's box: as the longest label of those that compute something."""
    labels = (str(graph.nodes[n]["label"]) for n in graph if graph.nodes[n]["label"] != n)
    return max(24.0, 7.0 * max(map(len, labels), default=0) + 12)


def _places(
    graph: Any, order: Sequence[Any]
) -> tuple[dict[Any, tuple[float, float]], float, float]:
    """Where each node is, and how wide and high the drawing is.

    A node's layer is one below the lowest of what it reads; within a layer nodes stand in the order
    of the middle of what they read, so that few edges cross.
    """
    depth: dict[Any, int] = {}
    for node in order:
        depth[node] = max((depth[u] + 1 for u in graph.predecessors(node)), default=0)
    for node in order:  # what reads nothing stands right above its first reader
        if not graph.in_degree(node) and graph.out_degree(node):
            depth[node] = min(depth[v] for v in graph.successors(node)) - 1
    layers: dict[int, list[Any]] = {}
    for node in order:
        layers.setdefault(depth[node], []).append(node)
    widest = max(map(len, layers.values()))
    across: dict[Any, float] = {}
    for layer in sorted(layers):

        def middle(node: Any) -> float:
            above = [across[u] for u in graph.predecessors(node) if u in across]
            return sum(above) / len(above) if above else 0.0

        nodes = sorted(layers[layer], key=middle)
        for place, node in enumerate(nodes):
            across[node] = place - (len(nodes) - 1) / 2
    column = max(_width(graph) + 14, 60)
    row = max(ROW, min(1.4 * ROW, 0.45 * widest * column / len(layers)))
    left = column / 2 + 5 + (widest - 1) / 2 * column
    places = {node: (left + across[node] * column, 18 + depth[node] * row) for node in order}
    return places, max(widest * column, left + column / 2 + 105) + 10, 36 + (len(layers) - 1) * row


def _bend(places: dict[Any, tuple[float, float]], u: Any, v: Any, half: float) -> float:
    """How far an edge bends to the side, that it does not run through a node between its ends."""
    (x, y), (to_x, to_y) = places[u], places[v]
    for node, (at, height) in places.items():
        if node in (u, v) or not y < height < to_y:
            continue
        if abs(x + (to_x - x) * (height - y) / (to_y - y) - at) < half:
            return half + 12
    return 0.0


def _label(graph: Any, node: Any) -> str:
    """A node's name and what it computes, once where they are the same or the name is in it."""
    label = str(graph.nodes[node]["label"])
    return label if label == str(node) else f"{node}: {label}"


def _arrow(
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    opacity: float = 1,
    thick: float = 2,
    *,
    bend: float = 0,
) -> Markup:
    """An edge whose middle is `bend` further to the right than straight."""
    (x, y), (to_x, to_y) = start, end
    mid_x, mid_y = (x + to_x) / 2 + 2 * bend, (y + to_y) / 2
    into = _unit(to_x - mid_x, to_y - mid_y)
    tip = to_x - into[0], to_y - into[1]
    neck = tip[0] - 6 * into[0], tip[1] - 6 * into[1]
    sides = [neck[0] - 4 * into[1], neck[1] + 4 * into[0]]
    sides += [neck[0] + 4 * into[1], neck[1] - 4 * into[0]]
    return _x(
        '<path d="M{} {}Q{} {} {} {}" fill="none" stroke="{}" stroke-width="{}" opacity="{}"/>',
        x, y, mid_x, mid_y, *neck, colour, thick, opacity,
    ) + _x(
        '<path d="M{} {}L{} {}L{} {}z" fill="{}" opacity="{}"/>', *tip, *sides, colour, opacity
    )  # fmt: skip


def _line(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    """A possible edge, from centre to centre, under the nodes."""
    path = '<path d="M{} {}L{} {}" stroke="{}" stroke-width="1" opacity="0.3"/>'
    return _x(path, *start, *end, NODE)


def _unit(x: float, y: float) -> tuple[float, float]:
    length = math.hypot(x, y) or 1.0
    return x / length, y / length


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
