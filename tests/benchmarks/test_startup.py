"""The command that is timed is the real one, in an interpreter of its own."""

from __future__ import annotations

import time

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
    imports, steps = iter([9.0, 0.1, 0.3, 0.2]), iter([9.0, 2.0, 5.0, 3.0])
    answers = {
        ("--help",): iter([9.0, 0.3, 0.4, 0.5]),
        ("--cfg", "job"): iter([9.0, 2.0, 4.0, 3.0]),
    }
    monkeypatch.setattr(startup, "imported", lambda: next(imports))
    monkeypatch.setattr(startup, "answered", lambda *arguments: next(answers[arguments]))
    monkeypatch.setattr(startup, "first_step", lambda: next(steps))
    found = startup.startup(3)
    assert [number.value for number in found] == [0.2, 0.4, 3.0, 3.0]
    assert [number.verdict for number in found] == ["met", "missed", "missed", "met"]


@pytest.mark.slow
def test_a_search_ends_with_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the real command, in which the callback is found."""
    began = time.time()
    taken = startup.first_step()
    assert 0 < taken < time.time() - began
