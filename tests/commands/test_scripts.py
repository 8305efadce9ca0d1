"""Every script answers `--help` with what it does and with its keys."""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest

from nas_lightning.__main__ import RENAMED, refuse
from nas_lightning.errors import UserError

SCRIPTS = sorted(
    path
    for path in (Path(__file__).parents[2] / "scripts").glob("*.py")
    if path.stem.replace("_", "-") not in RENAMED
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    done = runpy.run_path(str(script), run_name="__main__")
    out = capsys.readouterr().out
    assert f"python scripts/{script.name}" in out
    module = import_module(done["main"].__module__)
    for key in getattr(module, "SETTINGS", ()):
        assert f"{key}=" in out


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_ones_tell_their_new_name(old: str, new: str) -> None:
    with pytest.raises(UserError, match=f"^{old}: is called {new} now$"):
        refuse(old)
