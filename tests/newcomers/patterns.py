"""Sources of one's own, of which the package's loaders make batches: a text, and images."""

import numpy as np

from nas_lightning.data import ImageSource, ImageSplits, Splits, TextSource


class Counting(TextSource):
    """The numbers from 0 on, again and again."""

    def __init__(self, *, highest: int) -> None:
        self.line = " ".join(map(str, range(highest + 1))) + "\n"

    def read(self) -> Splits:
        return Splits(self.line * 80, self.line * 10, self.line * 10)


class Stripes(ImageSource):
    """Rows and columns of noise, in equal numbers."""

    def read(self) -> ImageSplits:
        images = np.random.default_rng(0).integers(0, 256, (1000, 8, 8), np.uint8)
        images[::2, ::2] = images[1::2, :, ::2] = 0
        return ImageSplits(images, np.array(["rows", "columns"] * 500))
