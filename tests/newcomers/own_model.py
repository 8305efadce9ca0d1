"""A model of one's own with choices: a small CNN for images; networks that a function builds.

The first is searched by `search_space=modules search_space.model=own_model.Net`, under shared
weights, or with `estimator=from_scratch` from scratch.
"""

from torch import Tensor, nn

from nas_lightning.search_spaces.choices import Choice, Repeat


def convolution(kernel: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(width, width, kernel, padding="same"), nn.GroupNorm(4, width), nn.ReLU()
    )


class Block(nn.Module):
    """A residual block whose operation is to be found."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.operation = Choice(
            {
                "3x3": convolution(3, width),
                "5x5": convolution(5, width),
                "pool": nn.AvgPool2d(3, stride=1, padding=1),
                "skip": nn.Identity(),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.operation(x)
        return x + y


class Net(nn.Module):
    """Digits: how many blocks, what each computes, and with which activation it ends."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = Repeat(lambda: Block(width), at_most=depth)
        self.activation = Choice({"relu": nn.ReLU(), "tanh": nn.Tanh()})
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.activation(self.blocks(self.stem(images)))
        logits: Tensor = self.classifier(self.dropout(x.mean(dim=(2, 3))))
        return logits


def build(width: int, first: int, second: int) -> nn.Module:
    """A choice that changes shapes: every architecture has its own."""
    return nn.Sequential(
        nn.Conv2d(1, width, first, padding="same"),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, second, padding="same"),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(64 * 2 * width, 10),
    )
