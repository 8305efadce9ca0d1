"""Every script answers `--help` with what it does and with its keys."""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    done = runpy.run_path(str(script), run_name="__main__")
    out = capsys.readouterr().out
    assert f"python scripts/{script.name} " in out
    module = import_module(done["main"].__module__)
    for key in getattr(module, "SETTINGS", ()):
        assert f"{key}=" in out
