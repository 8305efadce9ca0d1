"""The convolutional space and its networks: growth, padding, costs, and scores by a naive loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.nas_cnn.network import ConvolutionalChild
from nas_lightning.search_spaces.nas_cnn.plain import same_padding
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace, Layer

CLASSES, CHANNELS, SIZE = 4, 2, 7


def make_space(**changes: Any) -> ConvolutionalSpace:
    arguments: dict[str, Any] = {
        "num_layers": 2,
        "grow_by": 2,
        "grow_every": 100,
        "max_layers": 5,
        "heights": [1, 3, 4],
        "widths": [5, 2],
        "filters": [3, 2],
        "strides": [1, 2, 3],
    }
    return ConvolutionalSpace(**(arguments | changes))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_grows_as_published() -> None:
    space = make_space()
    layers = [len(space.at(n).decisions) // 4 for n in (0, 99, 100, 199, 200, 10_000)]
    assert layers == [2, 2, 4, 4, 5, 5]
    assert len(space.largest.decisions) == 20
    assert len(make_space(grow_every=None).at(10_000).decisions) == 8


def test_decisions_are_layers() -> None:
    space = make_space()
    names = [decision.name for decision in space.decisions[:5]]
    assert names == [f"layer 0 {k}" for k in ("height", "width", "filters", "stride")] + [
        "layer 1 height"
    ]
    assert space.layers([1, 0, 0, 2, 2, 1, 1, 0]) == [Layer(3, 5, 3, 3), Layer(4, 2, 2, 1)]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num_layers", 0),
        ("num_layers", 6),
        ("grow_by", 0),
        ("grow_every", 0),
        ("heights", []),
        ("widths", [3, 3]),
        ("filters", [0]),
        ("strides", [1.5]),
    ],
)
def test_bad_arguments_are_refused(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{argument}=.*not allowed: must be"):
        make_space(**{argument: value})


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        (7, 3, 1, (1, 1)),
        (7, 4, 1, (1, 2)),  # the odd one behind
        (7, 1, 1, (0, 0)),
        (7, 3, 2, (1, 1)),
        (8, 3, 2, (0, 1)),
        (7, 1, 3, (0, 0)),
        (7, 5, 3, (2, 2)),
    ],
)
def test_padding(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == padding


def naive_convolution(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Position by position; what lies outside of the image is zero."""
    height, width = weight.shape[2:]
    top = same_padding(x.shape[2], height, stride)[0]
    left = same_padding(x.shape[3], width, stride)[0]
    rows, columns = (-(-size // stride) for size in x.shape[2:])
    out = torch.zeros(len(x), len(weight), rows, columns, dtype=x.dtype)
    for r in range(rows):
        for c in range(columns):
            for i in range(height):
                for j in range(width):
                    y, z = r * stride - top + i, c * stride - left + j
                    if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]:
                        out[:, :, r, c] += x[:, :, y, z] @ weight[:, :, i, j].T
    return out


@pytest.mark.parametrize("training", [False, True])
def test_scores_are_those_of_a_naive_loop(training: bool) -> None:
    space = make_space(num_layers=2)
    architectures = space.sample(4, seeded(1))
    template = ConvolutionalChild(
        space=space, num_classes=CLASSES, channels=CHANNELS, image_size=SIZE
    )
    child = template.fresh(architectures, [seeded(m) for m in range(4)]).double().train(training)
    images = torch.rand(3, CHANNELS, SIZE, SIZE, generator=seeded(0), dtype=torch.float64)
    targets = torch.tensor([0, 3, 1])
    score = child.score(Batch(images, targets, continues=False), architectures)
    assert score.state is None
    assert score.correct is not None
    for m, row in enumerate(architectures.tolist()):
        weights = [parameter.detach() for parameter in child.networks[m].parameters()]
        kernels = [weight for weight in weights if weight.ndim == 4]
        (matrix,) = (weight for weight in weights if weight.ndim == 2)
        x = images
        for layer, kernel in zip(space.layers(row), kernels, strict=True):
            assert kernel.shape[2:] == (layer.height, layer.width)
            x = naive_convolution(x, kernel, layer.stride)
            mean, variance = torch.tensor([0.0, 1.0], dtype=torch.float64)
            if training:
                mean = x.mean(dim=(0, 2, 3), keepdim=True)
                variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
            x = ((x - mean) / (variance + 1e-5).sqrt()).clamp_min(0)
        logits = x.mean(dim=(2, 3)) @ matrix.T
        chances = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
        expected = -sum(float(chances[b, t].log()) for b, t in enumerate(targets.tolist()))
        assert score.loss_sum[m].item() == pytest.approx(expected, rel=1e-9)
        right = int((logits.argmax(dim=1) == targets).sum())
        assert int(score.correct[m]) == right


def test_multiply_adds_are_those_that_are_done() -> None:
    """Counted at every convolution from what went out of it."""
    space = make_space(num_layers=3)
    template = ConvolutionalChild(
        space=space, num_classes=CLASSES, channels=CHANNELS, image_size=SIZE
    )
    image = Batch(torch.zeros(1, CHANNELS, SIZE, SIZE), torch.zeros(1, dtype=torch.int64), False)
    counted: list[int] = []

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counted.append(module.weight.numel() * out.shape[2] * out.shape[3])

    for row in space.sample(5, seeded(0)):
        child = template.fresh(row.unsqueeze(0), [seeded(0)]).eval()
        for module in child.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        counted.clear()
        child.score(image, row.unsqueeze(0))
        assert len(counted) == 3
        classifier = space.layers(row.tolist())[-1].filters * CLASSES
        assert child.costs(row.tolist())["multiply_adds"] == sum(counted) + classifier
