"""Images of the user's own: a .npz of arrays, or picture files in a folder for each class.

Whatever is wrong with a file ends in one line that starts with `path=…` and tells the
way out.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas_lightning.data.labels import KINDS
from nas_lightning.data.members import local, read_npz
from nas_lightning.data.pictures import WANTED, fit, is_picture, read_pictures
from nas_lightning.data.sources import LAYOUTS, ImageSource, ImageSplits, Layout
from nas_lightning.errors import UserError, require_one_of, require_whole


class ImageFiles(ImageSource):
    """A NumPy .npz, or pictures in a folder for each class, themselves in a folder or archive.

    The .npz holds `x_train`, `y_train`, and what else it has of `x_valid`, `y_valid`, `x_test` and
    `y_test`. Its images are uint8 or floating, its labels whole numbers from 0 to K - 1, each of
    which occurs in training, or names; arrays of Python objects are not read. Pictures are
    arranged as `CLASS/PICTURE`, or `train/CLASS/PICTURE` and so on; `pictures.py` tells more.

    Args:
        path: The .npz, or the folder, .zip or .tar.gz with pictures.
        layout: The dimensions of images in a .npz: `NHW` (grey), `NHWC` or `NCHW`.
        image_size: Height and width S that each image is scaled and, where it is no square,
            cropped to; `None` leaves them as they are, square and all of one size.
    """

    ARRAYS = ("train", "valid", "test")

    def __init__(self, *, path: str | Path, layout: Layout, image_size: int | None) -> None:
        require_one_of("layout", layout, LAYOUTS)
        if image_size is not None:
            require_whole("image_size", image_size, at_least=1, at_most=4096)
        self.path = local(path)
        self.layout = layout
        self.image_size = image_size
        self.origin = f"path={self.path}"

    def read(self) -> ImageSplits:
        """The pictures, or the arrays of the file."""
        if holds_pictures(self.path):
            return read_pictures(self.path, self.image_size)
        kinds = {f"x_{name}": "uif" for name in self.ARRAYS}
        arrays = read_npz(self.path, kinds | {f"y_{name}": KINDS for name in self.ARRAYS})
        for name in ("x_train", "y_train"):
            if name not in arrays:
                raise self.refusal(
                    f"there is no {name} in it; it must hold x_train and y_train, or {WANTED}"
                )
        self._require_layout(arrays["x_train"].shape)
        if self.image_size is not None:
            for name in arrays:
                if name.startswith("x_"):
                    arrays[name] = scaled(arrays[name], self.layout, self.image_size)
        return ImageSplits(
            arrays["x_train"],
            arrays["y_train"],
            arrays.get("x_valid"),
            arrays.get("y_valid"),
            arrays.get("x_test"),
            arrays.get("y_test"),
            layout=self.layout,
        )

    def _require_layout(self, shape: tuple[int, ...]) -> None:
        """Raise UserError where another layout fits the training images, and this one does not."""

        def square(layout: Layout) -> bool:
            fits = len(shape) == len(layout)
            return fits and shape[layout.index("H")] == shape[layout.index("W")]

        if len(shape) == len(self.layout) and (len(shape) == 3 or square(self.layout)):
            return
        others = [layout for layout in LAYOUTS if len(layout) == len(shape)]
        others = [layout for layout in others if square(layout)] or others
        if others and self.layout not in others:
            raise UserError(
                f"layout={self.layout}: x_train has {len(shape)} dimensions, {shape}; "
                "set " + " or ".join(f"layout={layout}" for layout in others)
            )


def holds_pictures(path: Path) -> bool:
    """Whether pictures are to be looked for in `path`, and not the arrays of a .npz."""
    try:
        if path.is_dir() or path.name.lower().endswith((".tar", ".tar.gz", ".tgz")):
            return True
        if path.is_file() and zipfile.is_zipfile(path):  # opening a pipe could wait for ever
            with zipfile.ZipFile(path) as archive:
                return any(map(is_picture, archive.namelist()))
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        pass  # who reads it says what is wrong
    return False


def scaled(images: NDArray[Any], layout: Layout, size: int) -> NDArray[Any]:
    """Images scaled, their middle cut out; those that `ImageData` refuses as they are.

    Args:
        images: uint8 or floating, laid out as `layout` says.
        layout: The same holds for what is returned.
        size: Pixels of the new height and width.
    """
    floating = images.dtype.kind == "f"
    if images.ndim != len(layout) or 0 in images.shape or not (floating or images.dtype == "u1"):
        return images
    planes = np.moveaxis(images, 3, 1) if layout == "NHWC" else images
    if floating:
        with np.errstate(over="ignore"):  # Too large a number becomes infinite: refused later.
            planes = planes.astype(np.float32)
    flat = planes.reshape(-1, *planes.shape[-2:])
    fitted = np.empty((len(flat), size, size), flat.dtype)
    for number, plane in enumerate(flat):
        fitted[number] = np.asarray(fit(Image.fromarray(plane), size))
    new = fitted.reshape(*planes.shape[:-2], size, size)
    return np.moveaxis(new, 1, 3) if layout == "NHWC" else new
