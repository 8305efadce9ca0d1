"""Architectures as pictures: their edges, their leaves, and what is told who cannot see them."""

from __future__ import annotations

import itertools
import re

import pytest
import torch

from nas_lightning.report.drawing import CHOSEN, LEAF, NODE, draw
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace

CELL = RecurrentCellSpace(num_nodes=4, activations=["tanh", "relu"])
STACK = ConvolutionalSpace(
    num_layers=1,
    grow_by=1,
    grow_every=1,
    max_layers=3,
    heights=[1, 3],
    widths=[5],
    filters=[24],
    strides=[1, 2],
)


class Words(SearchSpace):
    """A space that knows no graph of its own."""

    decisions = (Decision("<first>", "word", ("a&b", "c")),)

    def canonical(self, architecture: object) -> tuple[object, ...]:
        raise NotImplementedError

    def draw(self, architecture: object) -> str:
        raise NotImplementedError


def test_a_cell() -> None:
    """Node 1 reads 0, nodes 2 and 3 read 1: three of the six possible edges, two leaves."""
    picture = draw(CELL, [0, 0, 1, 1, 0, 1, 1], alt="a cell")
    assert len(re.findall(f'stroke="{CHOSEN}"', picture)) == 3
    assert len(re.findall(f'stroke="{NODE}"', picture)) == 3
    assert len(re.findall(f'<rect [^>]*fill="{LEAF}"', picture)) == 2
    assert len(re.findall(f'<rect [^>]*fill="{NODE}"', picture)) == 2
    alt = "a cell: input; previous state; 0: tanh; 1: relu; 2: tanh; 3: relu; output"
    assert f'aria-label="{alt}"' in picture


def test_every_cell_chooses_among_possible_edges() -> None:
    possible = set(CELL.possible_edges())
    assert len(possible) == 6
    for architecture in CELL.sample(20, torch.Generator().manual_seed(0)).tolist():
        inner = [edge for edge in CELL.graph(architecture).edges if set(edge) <= set(range(4))]
        assert len(inner) == 3
        assert set(inner) <= possible


@pytest.mark.parametrize("nodes", [4, 12])
def test_no_narrow_strips_and_nothing_outside(nodes: int) -> None:
    """Nor does one node cover another."""
    cell = RecurrentCellSpace(num_nodes=nodes, activations=["tanh", "identity"])
    for actions in cell.sample(20, torch.Generator().manual_seed(1)).tolist():
        picture = draw(cell, actions, alt="a cell")
        (box,) = re.findall(r'viewBox="0 0 (\S+) (\S+)"', picture)
        width, height = map(float, box)
        assert 0.3 < width / height < 3.5
        found = re.findall(r'<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"', picture)
        boxes = [tuple(map(float, rect)) for rect in found]
        assert len({(x, y) for x, y, *_ in boxes}) == nodes
        assert all(x >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
        for (x, y, w, _), (other, beside, *_) in itertools.combinations(boxes, 2):
            assert y != beside or abs(x - other) > w


@pytest.mark.parametrize("layers", [1, 3])
def test_a_stack_at_any_growth(layers: int) -> None:
    picture = draw(STACK, [1, 0, 0, 1] * layers, alt="a stack")
    assert picture.count("<rect") == layers + 2
    assert picture.count("3×5 convolution, 24 filters, stride 2</text>") == layers


def test_a_space_without_a_graph_of_its_own_is_a_chain() -> None:
    picture = draw(Words(), [0], alt="<words>")
    assert "&lt;first&gt;: a&amp;b</text>" in picture
    assert 'aria-label="&lt;words&gt;: start; &lt;first&gt;: a&amp;b"' in picture
