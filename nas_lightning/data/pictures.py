"""Folders and archives of picture files, a folder for each class, and what becomes of a picture.

Read are `CLASS/…/FILE`, and `train/CLASS/…/FILE` with `test/CLASS/…/FILE` and, if there is one, a
split for validation (`sources.py`); a folder around all of it does not count. Pillow decodes
the formats named here and no others.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nas_lightning.data.image_formats import ARRAY_LIMIT, Stream
from nas_lightning.data.members import files_in, read, refusal
from nas_lightning.data.sources import ImageSplits, Split, split_called
from nas_lightning.errors import UserError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ENDINGS = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)

FILE_LIMIT = 64 * 1024**2
"""The largest picture file read, in bytes: 64 MiB. Pillow refuses more than 89 million pixels."""

WANTED = (
    "CLASS/PICTURE, or train/CLASS/PICTURE and test/CLASS/PICTURE, in a folder, .zip or .tar.gz; "
    f"pictures end in {', '.join(ENDINGS)}"
)

_DEEPEST = 5
"""Folders below the first that are looked into, so that a loop of links ends."""


def is_picture(name: str) -> bool:
    """Whether a file in a folder or archive counts, by its name; hidden ones do not."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not hidden and name.lower().endswith(ENDINGS)


def read_pictures(path: Path, size: int | None) -> ImageSplits:
    """Read the pictures of each split, with their classes' names for labels.

    Args:
        path: The folder or archive.
        size: Pixels that each is scaled and cropped to; `None` leaves them as they are.

    Returns:
        Images laid out `NHWC`: with one channel if all are grey, else three.

    Raises:
        UserError: If they are arranged in another way, one is damaged, or their sizes differ.
    """
    with files_in(path, f"give {WANTED}", _tree) as files:
        files = [file for file in files if is_picture(file.name)]
        places = arrange(path, [file.name for file in files])
        # In the archive's order, because going back in a .tar.gz is to start over.
        pixels = _Pixels(path, list(places.values()), size)
        for file in files:
            found = read(path, file, partial(decode, size=size))
            pixels.put(places[file.name], file.name, found)
    splits = pixels.splits()
    none = (None, None)
    x_valid, y_valid = splits.get("validation", none)
    x_test, y_test = splits.get("test", none)
    return ImageSplits(*splits["train"], x_valid, y_valid, x_test, y_test, layout="NHWC")


Place = tuple[Split, int, str]
"""Of a picture: its split, its number there, its class."""


def arrange(path: Path, names: Sequence[str]) -> dict[str, Place]:
    """Where each picture belongs, by its path inside; in a split they are sorted by that.

    Raises:
        UserError: If that cannot be told.
    """
    if not names:
        raise refusal(path, f"no pictures in it; it must hold {WANTED}, or be a .npz")
    folders = {name: PurePosixPath(name).parts[:-1] for name in names}
    while min(map(len, folders.values())) > 1 and len({p[0] for p in folders.values()}) == 1:
        folders = {name: parts[1:] for name, parts in folders.items()}
    tops = sorted({parts[0] for parts in folders.values() if parts})
    splits = {top: split_called(top) for top in tops}
    divided = "train" in splits.values() or (tops != [] and None not in splits.values())
    if divided:
        _require_splits(path, splits)
    depth = 2 if divided else 1
    counts: dict[Split, int] = {}
    places: dict[str, Place] = {}
    for name in sorted(folders):
        parts = folders[name]
        if len(parts) < depth:
            raise refusal(path, f"{name} is in no folder of a class; it must hold {WANTED}")
        split = (splits[parts[0]] if divided else None) or "train"
        places[name] = (split, counts.get(split, 0), parts[depth - 1])
        counts[split] = places[name][1] + 1
    return places


def _require_splits(path: Path, splits: dict[str, Split | None]) -> None:
    """Raise UserError unless each folder is another split, one of them for training."""
    strange = [top for top, split in splits.items() if split is None]
    if strange:
        raise refusal(path, f"beside train it holds {', '.join(strange)[:80]}; move that away")
    for split in ("train", "validation", "test"):
        found = [top for top, called in splits.items() if called == split]
        if len(found) > 1:
            raise refusal(path, f"several folders for the {split} split ({', '.join(found)})")
        if not found and split == "train":
            raise refusal(path, f"no folder for the train split; it must hold {WANTED}")


class _Pixels:
    """The pictures of all splits while they are read, three channels each."""

    def __init__(self, path: Path, places: list[Place], size: int | None) -> None:
        self.path = path
        self.places = places
        self.size = size
        self.first = ""
        self.shape: tuple[int, ...] = ()
        self.arrays: dict[Split, NDArray[np.uint8]] = {}
        self.grey = True

    def put(self, place: Place, name: str, pixels: NDArray[np.uint8]) -> None:
        """Keep a picture, which must be as large as the first one."""
        if not self.shape:
            self.first, self.shape = name, pixels.shape[:2]
            self._make_room()
        if pixels.shape[:2] != self.shape:
            raise self._refusal(name, pixels, f"{self.first} is {_size(self.shape)}")
        split, number, _ = place
        self.arrays[split][number] = pixels
        self.grey = self.grey and pixels.shape[2] == 1

    def splits(self) -> dict[Split, tuple[NDArray[np.uint8], NDArray[np.str_]]]:
        """The images and class names of each split."""
        labels: dict[Split, list[str]] = {split: [] for split in self.arrays}
        for split, _, name in self.places:
            labels[split].append(name)
        channels = 1 if self.grey else 3
        return {s: (x[..., :channels], np.array(labels[s])) for s, x in self.arrays.items()}

    def _make_room(self) -> None:
        height, width = self.shape
        if height != width:
            raise self._refusal(self.first, np.empty(self.shape), "pictures must be square")
        counts = {split: sum(p[0] == split for p in self.places) for split, *_ in self.places}
        size = sum(counts.values()) * height * width * 3
        if size > ARRAY_LIMIT:
            raise refusal(
                self.path,
                f"its pictures of {_size(self.shape)} take {size:,} bytes, at most "
                f"{ARRAY_LIMIT:,} are read; lower image_size=, or give fewer",
            )
        self.arrays = {s: np.empty((n, height, width, 3), np.uint8) for s, n in counts.items()}

    def _refusal(self, name: str, pixels: NDArray[Any], but: str) -> UserError:
        return refusal(
            self.path,
            f"{name} is {_size(pixels.shape)} (width x height), {but}; image_size=32 "
            "scales and crops all of them to 32 x 32",
        )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def decode(stream: Stream, size: int | None) -> NDArray[np.uint8]:
    """The pixels of a picture `(height, width, C)`: C is 1 for grey ones, 3 for others.

    It is turned as its camera says. What is transparent is laid on white; 16 bits a value become
    8; one that moves is refused.

    Args:
        stream: The file.
        size: Pixels to scale and crop it to, or `None`.

    Raises:
        ValueError: If it is damaged, or of another kind.
    """
    raw = stream.read(FILE_LIMIT + 1)
    if len(raw) > FILE_LIMIT:
        raise ValueError(f"it has more than {FILE_LIMIT:,} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd in a file and does no harm
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
                # A telephone's photo may hold a second one beside it (MPO); its first is the photo.
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                plain = _eight_bits(ImageOps.exif_transpose(image)) if frames == 1 else image
                pixels = np.asarray(plain if size is None else fit(plain, size))
        except Exception as error:  # A forged picture raises whatever its decoder does.
            reason = f"{type(error).__name__}: {error}"[:100]
            raise ValueError(f"no picture that can be read, {reason}") from error
    if frames > 1:
        raise ValueError(f"it holds {frames} pictures, must be one")
    return pixels[..., None] if pixels.ndim == 2 else pixels


def fit(image: Image.Image, size: int) -> Image.Image:
    """An image scaled until its shorter side has `size` pixels, and its middle cut out."""
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The same picture in mode L or RGB."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its values have 32 bits, must have 8 or 16")
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def _tree(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links too, down to a depth."""
    for here, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        if len(Path(here).relative_to(folder).parts) >= _DEEPEST:
            folders.clear()
        yield from (Path(here, name) for name in files)


def _raise(error: OSError) -> None:
    raise error
