"""Runs at once are the real command, and their times are compared with one alone."""

from __future__ import annotations

import subprocess

import pytest

from benchmarks import at_once as module


def test_times_over_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.5, 27.5, 20.0, 25.0, 55.0])
    monkeypatch.setattr(module, "seconds", lambda work: next(times))
    two, three = module.at_once([], 2)
    assert (two.what, two.value, two.verdict) == ("2 at once, of one alone", 1.25, "met")
    assert (three.what, three.value, three.verdict) == ("3 at once, of one alone", 2.75, "missed")


def test_a_run_that_fails_is_no_time() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        module.together(2, ["--nosuch"])
