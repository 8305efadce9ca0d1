"""What is exported gives the same numbers in a process that knows nothing of this package."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import nas_lightning as nl
from nas_lightning.commands import export as command
from nas_lightning.commands.export import compare
from nas_lightning.errors import UserError
from tests.conftest import made_once
from tests.scripted import STACKS
from tests.written_runs import write_run

LOADED = """
import sys
import torch

folder, *formats = sys.argv[1:]
given = torch.load(f"{folder}/given.pt")
sys.path.insert(0, folder)
for name in formats:
    if name == "torch":
        outputs = torch.export.load(f"{folder}/network.pt2").module()(*given)
    elif name == "code":
        from network import load

        outputs = load()(*given)
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(f"{folder}/network.onnx")
        names = [of.name for of in session.get_inputs()]
        fed = {name: x.numpy() for name, x in zip(names, given, strict=True)}
        outputs = tuple(map(torch.from_numpy, session.run(None, fed)))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.save([x.detach() for x in outputs], f"{folder}/{name}.given")
assert not [name for name in sys.modules if name.startswith("nas_lightning")]
"""
ONNX = all(map(find_spec, ("onnx", "onnxscript", "onnxruntime")))


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of convolutional networks."""

    def make_it(folder: Path) -> None:
        nl.search("nas_cnn", folder=folder, overrides=STACKS)

    return made_once(tmp_path_factory, "found stacks", make_it)


def export(*arguments: object) -> None:
    """The command, in this process."""
    before, sys.argv = sys.argv, ["export.py", *map(str, arguments)]
    try:
        command.main()
    finally:
        sys.argv = before


def outputs_of(network: nn.Module, given: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        outputs = network(*given)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def agree(folder: Path, network: nn.Module, given: tuple[Tensor, ...], *formats: str) -> None:
    """Load what was exported in one fresh process, and compare its outputs."""
    torch.save(given, folder / "given.pt")
    subprocess.run([sys.executable, "-c", LOADED, str(folder), *formats], check=True, cwd=folder)
    own = outputs_of(network, given)
    for name in formats:
        for x, y in zip(own, torch.load(folder / f"{name}.given"), strict=True):
            torch.testing.assert_close(x, y)


@pytest.mark.parametrize("kind", ["cells", "stacks"])
def test_each_format(
    kind: str,
    finished: Path,
    stacks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, weights = {"cells": (finished, "shared"), "stacks": (stacks, "fresh")}[kind]
    formats = ["torch", "code", *(["onnx"] if ONNX else [])]
    for name in formats:
        export(folder, f"format={name}", f"weights={weights}", f"to={tmp_path}")
    written = capsys.readouterr().out
    assert all(file in written for file in ("network.pt2", "network.py", "network.pt\n"))
    network = nl.load(folder).network(weights)  # type: ignore[arg-type]
    assert json.loads((tmp_path / "preparation.json").read_text()) == network.preparation
    generator = torch.Generator().manual_seed(0)
    if kind == "cells":
        tokens = torch.randint(60, (4, 1), generator=generator)
        given: tuple[Tensor, ...] = (tokens, torch.rand(4, 8, generator=generator))
    else:
        given = (torch.rand(4, 1, 8, 8, generator=generator),)
    agree(tmp_path, network, given, *formats)
    tree = ast.parse((tmp_path / "network.py").read_text())
    names = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not [name for name in names if name.startswith("nas_lightning")]
    assert str(nl.load(folder).draw()).splitlines()[0] in (tmp_path / "network.py").read_text()


@pytest.mark.skipif(ONNX, reason="onnx is installed")
def test_onnx_is_an_extra(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        export(finished, "format=onnx", "weights=shared")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error == "error: format=onnx: onnx is missing; pip install 'nas-lightning[onnx]'\n"


def test_what_cannot_be_exported(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = write_run(tmp_path / "bare")
    for arguments, said in (
        ([finished], "was not retrained (no final.json is there); first "),
        ([finished, "format=h5"], "format='h5' is not allowed: must be torch or onnx or code"),
        ([], "run: has no value; give run=…"),
        ([tmp_path / "nowhere"], "no such folder; give that of a run or a study"),
        ([bare, "weights=shared"], "its architectures have no networks"),
        ([finished, "weight=shared"], "weight: no such key; this command has run, format, weights"),
    ):
        with pytest.raises(SystemExit) as ended:
            export(*arguments)
        error = capsys.readouterr().err
        assert ended.value.code == 2
        assert said in error
        assert error.count("\n") == 1
    assert not (finished / "export").exists()


def test_other_numbers_are_noticed(tmp_path: Path) -> None:
    network, other = nn.Linear(2, 3), nn.Linear(2, 3)
    path = tmp_path / "network.pt2"
    path.touch()
    compare(network, network, (torch.zeros(2, 2),), path)
    with pytest.raises(UserError, match="does not give the numbers of the network"):
        compare(network, other, (torch.zeros(2, 2),), path)
    assert not path.exists()


def test_a_module_of_ones_own_must_say_its_inputs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Linear does not say what its inputs are"):
        command.as_program(nn.Linear(2, 3), tmp_path, "")
    with pytest.raises(UserError, match="Linear is not one of this package's networks"):
        command.as_code(nn.Linear(2, 3), tmp_path, "")
