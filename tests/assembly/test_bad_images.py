"""Bad settings and data of convolutional searches: one line, exit code 2, nothing astray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shell import Shell

CNN = ("experiment=smoke", "search_space=nas_cnn", "logger=csv", "threads=1", "hydra.run.dir=run")

# The arguments, and what the line must hold. `{…}` are the files that the test makes.
REFUSED: dict[str, tuple[str, list[str]]] = {
    "heights": ("search_space.heights=[0,3]", ["search_space.heights=[0, 3]", ">= 1"]),
    "heights in words": ("search_space.heights=tall", ["search_space.heights=", "whole"]),
    "no widths": ("search_space.widths=[]", ["search_space.widths=[]", "whole"]),
    "filters twice": ("search_space.filters=[4,4]", ["search_space.filters=[4, 4]", "whole"]),
    "strides": ("search_space.strides=[1.5]", ["search_space.strides=[1.5]", "whole"]),
    "unknown choice list": ("search_space.kernels=[3]", ["search_space.kernels=[3]", "heights"]),
    "added choice list": ("+search_space.kernels=[3]", ["search_space.kernels=[3]", "heights"]),
    "too many layers": ("search_space.num_layers=9", ["search_space.num_layers=9", "max_layers"]),
    "no layers": ("search_space.num_layers=0", ["search_space.num_layers=0", ">= 1"]),
    "epochs": ("estimator.training.epochs=0", ["estimator.training.epochs=0", ">= 1"]),
    "rate": ("estimator.training.learning_rate=-1", ["learning_rate=-1", "> 0"]),
    "objective": ("estimator.objective=perplexity", ["objective='perplexity'", "accuracy"]),
    "copies": ("estimator.copies=0", ["estimator.copies=0", ">= 1"]),
    "workers": ("executor.workers=0", ["executor.workers=0", ">= 1"]),
    "seconds": ("executor.child_timeout=0", ["executor.child_timeout=0", "> 0"]),
    "executor": ("executor=nosuch", ["executor=nosuch", "local, ray"]),
    "Ray is not there": (
        "executor=ray executor.address=127.0.0.1:1",
        ["executor.address=127.0.0.1:1", "cannot be reached", "null"],
    ),
    "Ray without a port": (
        "executor=ray executor.address=somewhere",
        ["executor.address=somewhere", "host:port", "null"],
    ),
    "fractions of CPUs": ("executor=ray executor.cpus=0", ["executor.cpus=0", "> 0"]),
    "a text": ("data=python_docs", ["needs", "data=…"]),
    "shape": ("data=images data.source.path={flat}", ["data.source.path={flat}", "(N, H, W"]),
    "not square": (
        "data=images data.source.path={oblong}",
        ["data.source.path={oblong}", "square"],
    ),
    "dtype": (
        "data=images data.source.path={whole}",
        ["data.source.path={whole}", "int64", "uint8"],
    ),
    "class that never occurs": (
        "data=images data.source.path={labels}",
        ["data.source.path={labels}", "class"],
    ),
    "label below zero": (
        "data=images data.source.path={negative}",
        ["data.source.path={negative}", "-1"],
    ),
    "label too large": (
        "data=mnist data.source.path={idx}",
        ["data.source.path={idx}", "to 10", "from 0 to 9"],
    ),
    "no labels": (
        "data=images data.source.path={unlabelled}",
        ["data.source.path={unlabelled}", "y_train"],
    ),
    "truncated idx": (
        "data=mnist data.source.path={short}",
        ["data.source.path={short}", "truncated"],
    ),
    "truncated batch": (
        "data=cifar10 data.source.path={batch}",
        ["data.source.path={batch}", "data_batch_1"],
    ),
    "no such images": (
        "data=images data.source.path={missing}",
        ["data.source.path={missing}", "no such file"],
    ),
    "batch larger than the data": ("data.batch_size=5000", ["data.batch_size=5000", "training"]),
}


def idx(array: np.ndarray) -> bytes:
    """Bytes in MNIST's format."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bad images, and what else a row may name."""
    root = tmp_path_factory.mktemp("images")
    x = np.zeros((2000, 8, 8, 1), dtype=np.uint8)
    y = np.arange(2000) % 10
    arrays: dict[str, dict[str, Any]] = {
        "flat": {"x_train": x.reshape(2000, 64), "y_train": y},
        "oblong": {"x_train": x[:, :4], "y_train": y},
        "whole": {"x_train": x.astype(np.int64), "y_train": y},
        "labels": {"x_train": x, "y_train": y * 2},
        "negative": {"x_train": x, "y_train": y - 1},
        "unlabelled": {"x_train": x},
    }
    paths = {name: root / f"{name}.npz" for name in arrays}
    for name, path in paths.items():
        np.savez(path, **arrays[name])
    paths |= {name: root / name for name in ("idx", "short", "batch", "missing")}
    for name in ("idx", "short"):
        paths[name].mkdir()
        for split in ("train", "t10k"):
            images = idx(x[..., 0])
            cut = images[:-1] if name == "short" else images
            (paths[name] / f"{split}-images-idx3-ubyte").write_bytes(cut)
            labels = idx(y + (name == "idx"))
            (paths[name] / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    paths["batch"].mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        (paths["batch"] / name).write_bytes(b"\x80\x02}q\x01")
    return paths


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, files: dict[str, Path], tmp_path: Path, shell: Shell) -> None:
    asked, words = REFUSED[case]
    ended = shell.train(tmp_path / "here", *CNN, *asked.format_map(files).split(" "))
    assert ended.code == 2, ended
    (line,) = ended.ours
    assert line.startswith("error: ")
    for word in words:
        assert word.format_map(files) in line
    assert [path.name for path in (tmp_path / "here").iterdir()] in ([], ["run"])
    assert {path.name for path in tmp_path.glob("here/run/*")} <= {"FAILED", ".lock"}
    assert list((tmp_path / "here.home").iterdir()) == []
