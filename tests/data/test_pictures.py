"""Pictures in folders and archives: how they are arranged, decoded, scaled, and refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nas_lightning.data import pictures
from nas_lightning.data.base import in_words
from nas_lightning.data.image_files import ImageFiles, scaled
from nas_lightning.data.images import ImageData
from nas_lightning.data.pictures import arrange, decode
from nas_lightning.errors import UserError

RNG = np.random.default_rng(0)
SIZES: dict[str, Any] = {
    "batch_size": 2,
    "evaluation_batch_size": 2,
    "validation_size": 2,
    "test_size": 2,
    "split_seed": 0,
    "train_limit": None,
    "pad": 0,
    "flip": False,
}


def packed(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def coloured(height: int = 4, width: int = 4) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8))


def unpacked(data: bytes, size: int | None = None) -> Any:
    return decode(io.BytesIO(data), size)


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def source(path: Path, image_size: int | None = None) -> ImageFiles:
    return ImageFiles(path=path, layout="NHWC", image_size=image_size)


def own(path: Path, image_size: int | None = None) -> ImageData:
    return ImageData(source=source(path, image_size), **SIZES)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        own(path)
    message = str(caught.value)
    assert message.startswith(f"path={path}: ")
    assert "\n" not in message
    return message


FILES = {
    f"{split}/{name}/{number}.png": packed(coloured())
    for split in ("train", "Test")
    for name in ("cat", "ant")
    for number in range(4)
}


def test_folders_and_archives_read_alike(tmp_path: Path) -> None:
    others = {"train/cat/notes.txt": b"x", "train/.hidden/a.png": b"x", "__MACOSX/b/c.png": b"x"}
    sources = [tree(tmp_path / "a", FILES | others), tree(tmp_path / "b/inner", FILES).parent]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in reversed((FILES | others).items()):
            archive.writestr(f"outer/{name}", content)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        for name, content in reversed(FILES.items()):
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    sources += [tmp_path / "a.zip", tmp_path / "a.tgz"]
    expected = np.stack([unpacked(FILES[name]) for name in sorted(FILES) if "Test" in name])
    for path in sources:
        data = own(path)
        assert data.sizes == {"num_classes": 2, "channels": 3, "image_size": 4}
        assert data.class_names == ("ant", "cat")
        assert np.array_equal(source(path).read().x_test, expected)  # type: ignore[arg-type]
        assert data.test.labels.tolist() == [0] * 4 + [1] * 4
        assert (len(data.train.labels), len(data.validation.labels)) == (6, 2)
        assert in_words(data.description).startswith("images 6 train, 2 validation, 8 test; cla")


def test_classes_alone_are_held_out_from(tmp_path: Path) -> None:
    files = {f"{n}/deep/{i}.PNG": packed(coloured()) for n in ("b", "a") for i in range(5)}
    data = own(tree(tmp_path, files))
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [6, 2, 2]
    assert torch.bincount(data.test.labels).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no pictures in it"),
        (["a.png"], "a.png is in no folder of a class"),
        (["a/1.png", "1.png"], "1.png is in no folder of a class"),
        (["train/a/1.png", "train/2.png", "test/a/1.png"], "train/2.png is in no folder"),
        (["train/a/1.png", "more/a/1.png"], "beside train it holds more"),
        (["train/a/1.png", "val/a/1.png", "dev/a/1.png"], "several folders for the validation"),
        (["test/a/1.png", "val/a/1.png"], "no folder for the train split"),
    ],
)
def test_arrangements_that_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=r"^path=x: ") as caught:
        arrange(Path("x"), names)
    assert words in str(caught.value)


def test_arrangement() -> None:
    places = arrange(Path("x"), ["o/train/b/1.png", "o/train/a/2.png", "o/val/a/1.png"])
    assert places == {
        "o/train/a/2.png": ("train", 0, "a"),
        "o/train/b/1.png": ("train", 1, "b"),
        "o/val/a/1.png": ("validation", 0, "a"),
    }


def test_classes_that_training_lacks(tmp_path: Path) -> None:
    path = tree(tmp_path, FILES | {"Test/dog/0.png": packed(coloured())})
    assert "the test images have a class 'dog', which no training image has" in refused(path)


def test_sizes_that_differ(tmp_path: Path) -> None:
    path = tree(tmp_path / "a", FILES | {"train/cat/9.png": packed(coloured(4, 6))})
    message = refused(path)
    assert "train/cat/9.png is 6 x 4 (width x height), Test/ant/0.png is 4 x 4; im" in message
    assert own(path, image_size=3).sizes["image_size"] == 3
    path = tree(
        tmp_path / "b", {f"{c}/{n}.png": packed(coloured(2, 3)) for c in "ab" for n in "12"}
    )
    assert "a/1.png is 3 x 2 (width x height), pictures must be square; i" in refused(path)


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tree(tmp_path, FILES)
    monkeypatch.setattr(pictures, "ARRAY_LIMIT", 16 * 16 * 3 - 1)
    assert "take 768 bytes, at most 767 are read; lower image_size=" in refused(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
    assert "Test/ant/0.png is unsound (no picture that can be read, Decompression" in refused(path)
    monkeypatch.setattr(pictures, "FILE_LIMIT", 20)
    assert "Test/ant/0.png is unsound (it has more than 20 bytes)" in refused(path)


def test_damaged_pictures(tmp_path: Path) -> None:
    for name, data in (("cut", FILES["train/cat/0.png"][:-40]), ("none", b"hello"), ("no", b"")):
        path = tree(tmp_path / name, FILES | {"train/cat/0.png": data})
        assert "train/cat/0.png is unsound (no picture" in refused(path)


def test_grey_ones_stay_grey(tmp_path: Path) -> None:
    grey = {name: packed(coloured().convert("L")) for name in FILES}
    assert own(tree(tmp_path / "a", grey)).sizes["channels"] == 1
    mixed = tree(tmp_path / "b", grey | {"train/cat/0.png": packed(coloured())})
    assert own(mixed).sizes["channels"] == 3
    first = source(mixed).read().x_test[0]  # type: ignore[index]
    assert np.array_equal(first, np.repeat(unpacked(grey["Test/ant/0.png"]), 3, 2))


def test_kinds_of_pixels() -> None:
    deep = np.array([[0, 1, 128, 129, 257, 65535]], np.uint16)
    assert unpacked(packed(Image.fromarray(deep)))[0, :, 0].tolist() == [0, 0, 0, 1, 1, 255]
    half = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    half.putpixel((0, 0), (255, 0, 0, 255))
    assert unpacked(packed(half)).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert unpacked(packed(Image.new("LA", (1, 1), (9, 0)))).tolist() == [[[255]]]
    assert unpacked(packed(Image.new("1", (1, 1), 1))).tolist() == [[[255]]]
    plain = coloured()
    assert np.array_equal(unpacked(packed(plain.convert("RGB"), "BMP")), np.asarray(plain))
    with pytest.raises(ValueError, match="32 bits"):
        unpacked(packed(Image.new("F", (1, 1)), "TIFF"))


def test_moving_pictures_are_refused() -> None:
    frames = [coloured(), coloured()]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        data = packed(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.raises(ValueError, match="it holds 2 pictures, must be one"):
            unpacked(data)


def test_pictures_are_turned_as_the_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = coloured(2, 3)
    turned = unpacked(packed(image, exif=exif))
    assert np.array_equal(turned, np.rot90(np.asarray(image), -1))


def test_scaling() -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 2:10] = 200  # the middle, and what a filter reaches beyond it
    assert (unpacked(packed(Image.fromarray(wide)), 2) == 200).all()
    arrays = {"NHWC": wide[None], "NCHW": wide.transpose(2, 0, 1)[None], "NHW": wide[None, ..., 0]}
    for layout, array in arrays.items():
        for kind in (np.uint8, np.float64):
            found = scaled(array.astype(kind), layout, 4)  # type: ignore[arg-type]
            assert found.dtype == (np.uint8 if kind is np.uint8 else np.float32)
            axes = [layout.index(axis) for axis in "HW"]
            assert [found.shape[axis] for axis in axes] == [4, 4]
            assert (found == 200).all()


def test_npz_that_is_scaled(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (12, 6, 9, 3), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.array(["b", "a"] * 6))
    assert own(tmp_path / "a.npz", image_size=5).sizes["image_size"] == 5
    message = refused(tmp_path / "a.npz")
    assert "6 high and 9 wide, must be square; crop or scale them" in message
    assert "image_size=" in message
