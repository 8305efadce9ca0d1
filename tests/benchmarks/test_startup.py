"""The command that is timed is the real one, in an interpreter of its own."""

from __future__ import annotations

import pytest

from benchmarks import startup
from benchmarks.startup import COMMAND, IMPORT, _python


def test_the_command_answers() -> None:
    assert _python(COMMAND, "--cfg", "job").startswith("budget:\n")


def test_an_import_is_not_from_memory() -> None:
    """It imports the package, and nothing before the clock starts has done so."""
    loaded = "import sys; assert not any(name.startswith('nas_lightning') for name in sys.modules)"
    assert float(_python(loaded + IMPORT + "assert 'nas_lightning' in sys.modules")) > 0


def test_rounds_are_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first, which warms up, does not count."""
    imports, answers = iter([9.0, 0.1, 0.3, 0.2]), iter([9.0, 2.0, 4.0, 3.0])
    monkeypatch.setattr(startup, "imported", lambda: next(imports))
    monkeypatch.setattr(startup, "answered", lambda: next(answers))
    found = startup.startup(3)
    assert [number.value for number in found] == [0.2, 3.0]
    assert [number.verdict for number in found] == ["met", "missed"]
