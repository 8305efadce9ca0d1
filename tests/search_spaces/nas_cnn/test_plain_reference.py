"""The plain network beside an architecture: as deep, as costly, and blind to its other choices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.nas_cnn.network import ConvolutionalChild
from nas_lightning.search_spaces.nas_cnn.reference import (
    PlainReference,
    PlainReferenceOfParameters,
    PlainSpace,
)
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace, Layer

CLASSES, CHANNELS, SIZE = 4, 2, 9
SPACE = ConvolutionalSpace(
    num_layers=4,
    grow_by=1,
    grow_every=10,
    max_layers=6,
    heights=[1, 3, 5],
    widths=[1, 3, 5],
    filters=[4, 9, 16],
    strides=[1, 2],
)
CHILD = ConvolutionalChild(space=SPACE, num_classes=CLASSES, channels=CHANNELS, image_size=SIZE)
REFERENCE = PlainReference(child=CHILD)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("depth", "stages"),
    [
        (1, [0]),
        (2, [0, 1]),
        (3, [0, 1, 2]),
        (4, [0, 0, 1, 2]),
        (6, [0, 0, 1, 1, 2, 2]),
        (7, [0, 0, 0, 1, 1, 2, 2]),
    ],
)
def test_a_stage_halves_the_resolution_and_doubles_the_filters(
    depth: int, stages: list[int]
) -> None:
    layers = PlainSpace(space=SPACE, quarters=30).layers([0] * (4 * depth))
    assert [layer.filters for layer in layers] == [(7, 15, 30)[stage] for stage in stages]
    begins = [i for i in range(1, depth) if stages[i] > stages[i - 1]]
    assert [i for i, layer in enumerate(layers) if layer.stride == 2] == begins
    assert {(layer.height, layer.width) for layer in layers} == {(3, 3)}


def multiply_adds(network: nn.Module) -> int:
    """What a network does to one image, counted while it does it."""
    counted: list[int] = []

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        counted.append(weight.numel() * out[0, 0].numel() if out.ndim == 4 else weight.numel())

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    network(torch.zeros(1, CHANNELS, SIZE, SIZE))
    return sum(counted)


def test_costs_are_those_of_the_network_that_is_made() -> None:
    rows = SPACE.sample(5, seeded(0))
    made = REFERENCE.fresh(rows, [seeded(m) for m in range(5)]).eval()
    for row, network in zip(rows.tolist(), made.networks, strict=True):
        assert (
            REFERENCE.costs(row)
            == made.costs(row)
            == {
                "parameters": sum(p.numel() for p in network.parameters()),
                "multiply_adds": multiply_adds(network),
            }
        )


@pytest.mark.parametrize("kind", [PlainReference, PlainReferenceOfParameters])
def test_no_other_width_comes_closer(kind: type[PlainReference]) -> None:
    reference, cost = kind(child=CHILD), kind.cost
    assert f"of equal {cost.replace('_', '-')}, " in reference.describe([0] * 16)
    for row in SPACE.sample(10, seeded(1)).tolist():
        target = CHILD.costs(row)[cost]
        widths = [
            ConvolutionalChild(
                space=PlainSpace(space=SPACE, quarters=quarters),
                num_classes=CLASSES,
                channels=CHANNELS,
                image_size=SIZE,
            ).costs(row)[cost]
            for quarters in range(4, 200)
        ]
        assert max(widths) > target
        closest = min(abs(width - target) for width in widths)
        assert abs(reference.costs(row)[cost] - target) == closest
        made = reference.fresh(torch.tensor([row]), [seeded(0)])
        assert isinstance(made, kind)
        assert made.costs(row) == reference.costs(row)


def test_another_is_as_near_in_parameters() -> None:
    """Filters of 16 at full resolution cost multiply-adds, and few parameters."""
    other = PlainReferenceOfParameters(child=CHILD)
    for row in SPACE.sample(10, seeded(2)).tolist():
        target = CHILD.costs(row)["parameters"]
        off = {c: abs(r.costs(row)["parameters"] - target) for c, r in [(0, other), (1, REFERENCE)]}
        assert off[0] <= off[1]
        fresh = other.fresh(torch.tensor([row]), [seeded(0)])
        assert sum(p.numel() for p in fresh.parameters()) == other.costs(row)["parameters"]
    assert other.describe(row).startswith("plain 3×3 network of equal parameters, filters ")


def test_a_cheaper_architecture_than_any_plain_one_gets_the_narrowest() -> None:
    cheap = [0, 0, 0, 1] * 6
    layers = PlainSpace(space=SPACE, quarters=4).layers(cheap)
    assert layers[0] == Layer(3, 3, 1, 1)
    tiny = ConvolutionalSpace(
        num_layers=6,
        grow_by=1,
        grow_every=None,
        max_layers=6,
        heights=[1],
        widths=[1],
        filters=[1],
        strides=[3],
    )
    child = ConvolutionalChild(space=tiny, num_classes=CLASSES, channels=1, image_size=SIZE)
    described = PlainReference(child=child).describe([0] * 24)
    assert described.endswith("filters 1-1-2-2-4-4")


def test_it_sees_depth_and_cost_alone() -> None:
    wide, tall = [0, 2, 1, 0] * 4, [2, 0, 1, 0] * 4  # 1 × 5 and 5 × 1 filters cost the same
    assert CHILD.costs(wide) == CHILD.costs(tall)
    assert REFERENCE.describe(wide) == REFERENCE.describe(tall)
    one, other = (
        REFERENCE.fresh(torch.tensor([row]), [seeded(0)]).state_dict() for row in (wide, tall)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_scores_images() -> None:
    rows = SPACE.sample(3, seeded(2))
    made = REFERENCE.fresh(rows, [seeded(m) for m in range(3)]).eval()
    images = torch.rand(5, CHANNELS, SIZE, SIZE, generator=seeded(0))
    score = made.score(Batch(images, torch.tensor([0, 1, 2, 3, 0]), False), rows)
    assert score.loss_sum.shape == (3,)
    for m, network in enumerate(made.networks):
        alone = nn.functional.cross_entropy(
            network(images), torch.tensor([0, 1, 2, 3, 0]), reduction="sum"
        )
        torch.testing.assert_close(score.loss_sum[m], alone)
