"""Runs of another version: a line that names the version, before anything is made or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.assembly.messages import ending
from nas_lightning.assembly.run import run
from nas_lightning.assembly.versions import absent, lacks, written_by
from nas_lightning.commands.retrain import rewritten
from nas_lightning.commands.train import resumed
from nas_lightning.errors import UserError
from tests.written_runs import write_run

TEXT_0_1 = {
    "_target_": "nas_lightning.data.text_sources.TextFiles",
    "path": "my.zip",
    "batch_size": 32,
}
MOVED = {"_target_": "nas_lightning.reinforce.Reinforce", "frozen": False}
WHOLE = {
    "data": {
        "_target_": "nas_lightning.data.TextData",
        "source": {"_target_": "nas_lightning.data.TextFiles", "path": "my.zip"},
        "batch_size": 32,
    },
    "trainer": {"_target_": "pytorch_lightning.Trainer", "whatever": 1},
    "mine": {"_target_": "nowhere.at.All", "key": 1},
    "loss": {"_target_": "nas_lightning.rewards.Inverse", "_partial_": True},
}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"data": TEXT_0_1}, ["data.batch_size"]),
        ({"controller": MOVED}, ["controller._target_=nas_lightning.reinforce.Reinforce"]),
        ({"a": {"b": MOVED}}, ["a.b._target_=nas_lightning.reinforce.Reinforce"]),
        (
            {"data": {"_target_": "nas_lightning.data.TextFiles.Inner"}},
            ["data._target_=nas_lightning.data.TextFiles.Inner"],
        ),
        (WHOLE, ["loss._target_=nas_lightning.rewards.Inverse"]),
        ({**WHOLE, "loss": None}, []),
    ],
)
def test_what_this_version_lacks(config: dict[str, Any], found: list[str]) -> None:
    assert list(lacks(config)) == found


def test_a_library_that_is_not_installed_is_no_other_version() -> None:
    error = ImportError("Error loading 'nas_lightning.training.RayExecutor': …")
    for cause in ("No module named 'ray'", "module 'ray' has no attribute 'init'"):
        error.__cause__ = ImportError(cause)
        assert absent(error) is None


def old_run(folder: Path, data: dict[str, Any] = TEXT_0_1) -> Path:
    """A run that was killed, whose configuration is of version 0.1."""
    return write_run(folder, end="", data=data)


def stretch(folder: Path, versions: dict[str, str]) -> None:
    line = {"began": "", "versions": versions, "data": None}
    line["config"] = (folder / "config.yaml").read_text()
    (folder / "stretches.jsonl").write_text(json.dumps(line) + "\n")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_version_that_wrote_a_run(tmp_path: Path) -> None:
    folder = old_run(tmp_path / "run")
    (folder / "best_architecture.json").unlink(missing_ok=True)
    assert "(unknown)" in written_by(folder)
    best = {"provenance": {"nas-lightning": "0.1.0"}}
    (folder / "best_architecture.json").write_text(json.dumps(best))
    assert written_by(folder) == "another version of nas-lightning (0.1.0)"
    stretch(folder, {"nas-lightning": "0.1.5", "commit": "abc"})
    assert written_by(folder) == "another version of nas-lightning (0.1.5, commit abc)"


def test_it_is_not_gone_on_with(tmp_path: Path) -> None:
    """Neither resumed nor retrained, nor entered by the command that began it."""
    folder = old_run(tmp_path / "run")
    stretch(folder, {"nas-lightning": "0.1.5"})
    best = {"actions": [0, 0, 1, 1, 0], "found_in_epoch": 0}
    (folder / "best_architecture.json").write_text(json.dumps(best))
    before = contents(folder)
    config = OmegaConf.load(folder / "config.yaml")
    said = (
        r"another version of nas-lightning \(0\.1\.5\) wrote its configuration: data\.batch_size "
        r"is not in this one \(.*\); only the version that wrote it can go on with it$"
    )
    for again in (
        lambda: resumed([f"resume={folder}"]),
        lambda: rewritten([f"run={folder}"]),
        lambda: run(OmegaConf.create({**config, "data": WHOLE["data"]}), folder),
    ):
        with pytest.raises(UserError, match=said):
            again()
    (folder / ".lock").unlink()
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("option", "key"),
    [
        *(("text", "path"), ("images", "path"), ("ptb", "path")),
        *(("images", "layout"), ("images", "image_size"), ("mnist", "name")),
    ],
)
def test_keys_of_0_1_are_answered_with_the_new_ones(option: str, key: str) -> None:
    """Whether they have a value, null, or must be given one."""
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(Exception) as caught:  # noqa: PT011 (of Hydra's own kinds)
        compose("config", overrides=[f"data={option}", f"data.{key}=x"])
    expected = f"data.{key}=x: no such key; did you mean data.source.{key}?"
    assert ending(caught.value) == (2, expected)


def test_a_target_that_is_not_in_this_version() -> None:
    moved = {"data": {"_target_": "nas_lightning.data.TextData", "source": MOVED}}
    expected = (
        r"^data\.source: nas_lightning\.reinforce\.Reinforce is not in nas-lightning [\d.]+; if "
        r"another version has written this configuration, only that one can go on with it$"
    )
    with pytest.raises(UserError, match=expected):
        make(OmegaConf.create(moved), "data")
