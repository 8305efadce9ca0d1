"""Runs at once are the real command, and their times are compared with one alone."""

from __future__ import annotations

import subprocess

import pytest

from benchmarks import at_once as module


def test_times_over_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On two processors three runs take half as long again as one, if they share them well."""
    times = iter([10.0, 12.5, 20.0, 11.0, 20.0, 25.0, 40.0, 30.0])
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(module, "seconds", lambda work: next(times))
    found = [(n.what, n.value, n.verdict) for n in module.at_once([], 2, most=3)]
    assert found == [
        ("1 alone, seconds", 15, ""),
        ("2 at once, of one alone", 1.25, "met"),
        ("3 at once, of one alone", 2.0, "missed"),
        ("1 beside a busy loop, of one alone", 1.3, "met"),
    ]


def test_no_more_at_once_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "seconds", lambda work: 1.0)
    found = [n.what for n in module.at_once([], 1, most=2)]
    assert found == [
        "1 alone, seconds",
        "2 at once, of one alone",
        "1 beside a busy loop, of one alone",
    ]


def test_a_busy_loop_ends_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there while the run is, even if that fails."""
    loops: list[subprocess.Popen[bytes]] = []

    class Loop(subprocess.Popen[bytes]):
        def __init__(self, command: list[str]) -> None:
            super().__init__(command)
            loops.append(self)

    def failing(number: int, overrides: list[str]) -> None:
        assert (number, loops[0].poll()) == (1, None)
        raise subprocess.CalledProcessError(1, overrides)

    monkeypatch.setattr(subprocess, "Popen", Loop)
    monkeypatch.setattr(module, "together", failing)
    with pytest.raises(subprocess.CalledProcessError):
        module.beside_a_loop(["a"])
    assert loops[0].poll() is not None


def test_a_run_that_fails_is_no_time() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        module.together(2, ["--nosuch"])
