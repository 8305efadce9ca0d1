"""What is exported gives the same numbers in a process that knows nothing of this package."""

from __future__ import annotations

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
from tests.own_parts import SMALL, Net, points
from tests.scripted import search_stacks
from tests.written_runs import write_run

LOADED = """
import sys
import torch

formats = sys.argv[1].split(",")
for folder in sys.argv[2:]:
    given = torch.load(f"{folder}/given.pt")
    sys.path.insert(0, folder)
    sys.modules.pop("network", None)
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
        torch.save([x.detach() for x in outputs], f"{folder}/{name}.outputs")
assert not [name for name in sys.modules if name.startswith("nas_lightning")]
"""
ONNX = all(map(find_spec, ("onnx", "onnxscript", "onnxruntime")))
FORMATS = ["torch", "code", *(["onnx"] if ONNX else [])]


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


def test_every_format_gives_the_networks_numbers(
    finished: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(60, (4, 1), generator=generator), torch.rand(4, 8, generator=generator)
    images = (torch.rand(4, 1, 8, 8, generator=generator),)
    expected = {}
    for run, weights, given in (
        (finished, "shared", text),
        (search_stacks(tmp_path_factory), "fresh", images),
    ):
        folder = tmp_path / weights
        for name in FORMATS:
            export(run, f"format={name}", f"weights={weights}", f"to={folder}")
        written = capsys.readouterr().out
        assert all(file in written for file in ("network.pt2", "network.py", "network.pt\n"))
        network = nl.load(run).network(weights)  # type: ignore[arg-type]
        expected[folder] = outputs_of(network, given)
        torch.save(given, folder / "given.pt")
        assert json.loads((folder / "preparation.json").read_text()) == network.preparation
        source = (folder / "network.py").read_text()
        assert str(nl.load(run).draw()).splitlines()[0] in source
        assert "nas_lightning" not in source
        assert "nas-lightning" not in source
    call = [sys.executable, "-c", LOADED, ",".join(FORMATS), *map(str, expected)]
    subprocess.run(call, check=True, cwd=tmp_path)
    for folder, own in expected.items():
        for name in FORMATS:
            for x, y in zip(own, torch.load(folder / f"{name}.outputs"), strict=True):
                torch.testing.assert_close(x, y)


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
        command.as_program(nn.Linear(2, 3), tmp_path, "", None)
    with pytest.raises(UserError, match="Linear is not one of this package's networks"):
        command.as_code(nn.Linear(2, 3), tmp_path, "", None)


def test_a_model_of_ones_own_is_exported_with_nothing_more_from_the_user(tmp_path: Path) -> None:
    """The run knows what its inputs are; two formats, loaded again here."""
    overrides = {**SMALL, "budget": "smoke"}
    run = nl.search(Net, points, controller="random", folder=tmp_path, overrides=overrides)
    inputs = torch.randn(3, 4)
    expected = run.network("shared")(inputs).detach()
    export(tmp_path, "weights=shared")
    program = torch.export.load(tmp_path / "export/network.pt2").module()
    torch.testing.assert_close(program(inputs), expected)
    if ONNX:
        import onnxruntime

        export(tmp_path, "weights=shared", "format=onnx")
        session = onnxruntime.InferenceSession(tmp_path / "export/network.onnx")
        (found,) = session.run(None, {"x": inputs.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected)
    run.retrain(overrides={"retrain.epochs": 1})
    export(tmp_path)
    with pytest.raises(SystemExit):
        export(tmp_path, "weights=shared", "format=code")
