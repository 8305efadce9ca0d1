"""A stack of convolutions that classifies images, in plain PyTorch.

It needs torch and nothing else: `nas-lightning export` writes this file out, with an architecture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init


class ConvolutionalNetwork(nn.Module):
    """Convolutions with `same` padding, each with batch normalisation and ReLU; then a classifier.

    The classifier is linear, of the mean over all positions.

    Args:
        layers: Filter height and width, number of filters, and stride of every convolution.
        channels: Channels of an image, C.
        image_size: Height and width of an image, pixels, S.
        num_classes: Classes of images, K.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        layers: Sequence[tuple[int, int, int, int]],
        channels: int,
        image_size: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.arguments = {
            "layers": list(layers),
            "channels": channels,
            "image_size": image_size,
            "num_classes": num_classes,
        }
        self.layers = list(layers)
        self.image_shape = (channels, image_size, image_size)
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        for height, width, filters, stride in layers:
            # The norm's shift makes a bias superfluous. Padding is done in `forward`.
            convolution = skip_init(
                nn.Conv2d, channels, filters, (height, width), stride, bias=False
            )
            self.convolutions.append(convolution)
            self.norms.append(nn.BatchNorm2d(filters))
            channels = filters
        self.classifier = skip_init(nn.Linear, channels, num_classes)
        for name in ("mean", "std"):  # no weights: they are the data's
            values = torch.empty(self.image_shape[0], 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.prepare(mean=[0.0] * len(self.mean), std=[1.0] * len(self.std))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew: normal with variance 2 / fan-out, the classifier's uniform."""
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            nn.init.kaiming_normal_(
                convolution.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        bound = self.classifier.in_features**-0.5
        with torch.no_grad():
            self.classifier.weight.uniform_(-bound, bound, generator=generator)
            self.classifier.bias.zero_()

    def prepare(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        """Say how images are normalised: mean and standard deviation of each channel."""
        self.preparation = {"mean": list(mean), "std": list(std)}
        self.mean.copy_(torch.tensor(mean).view(-1, 1, 1))
        self.std.copy_(torch.tensor(std).view(-1, 1, 1))

    def preprocess(self, images: Tensor) -> Tensor:
        """Images as they are stored, `(B, C, S, S)`, bytes or floats, normalised for `forward`."""
        return (images.to(self.mean) - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, K)` of normalised images `(B, C, S, S)`."""
        x = images
        for (height, width, _, stride), convolution, norm in zip(
            self.layers, self.convolutions, self.norms, strict=True
        ):
            rows = same_padding(x.shape[2], height, stride)
            columns = same_padding(x.shape[3], width, stride)
            x = F.relu(norm(convolution(F.pad(x, (*columns, *rows)))), inplace=True)
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Two images: what `forward` is traced with."""
        return (torch.zeros(2, *self.image_shape),)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, so that `size` pixels become ceil(size / stride)."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2
