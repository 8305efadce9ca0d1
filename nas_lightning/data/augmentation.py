"""Random shifts and mirrors of training images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_images


def augment(images: Tensor, generator: torch.Generator, *, pad: int, flip: bool) -> Tensor:
    """Shift and mirror images at random, each by its own numbers.

    Args:
        images: `(B, C, S, S)`, normalised, so that the border of zeros is the mean colour.
        generator: Draws, in this order: the B top edges and the B left edges of the crops, if
            `pad` is not 0; the B mirrors, if `flip`. On whatever device it is.
        pad: Pixels of zeros put on each side, of which a random S x S is cut out; 0 for no shift.
        flip: Whether each image is mirrored left to right with probability 1/2.

    Returns:
        `(B, C, S, S)` on the images' device; `images` itself if there is nothing to do.
    """
    if not pad and not flip:
        return images
    batch, channels, height, width = images.shape

    def draw(high: int) -> Tensor:
        numbers = torch.randint(high, (batch, 1), generator=generator, device=generator.device)
        return numbers.to(images.device)

    rows = torch.arange(height, device=images.device).expand(batch, height)
    columns = torch.arange(width, device=images.device).expand(batch, width)
    if pad:
        images = pad_images(images, (pad, pad, pad, pad))
        rows = rows + draw(2 * pad + 1)
        columns = columns + draw(2 * pad + 1)
    if flip:
        columns = torch.where(draw(2) == 1, columns.flip(1), columns)
    image = torch.arange(batch, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return images[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
