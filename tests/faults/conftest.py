"""Undisturbed runs to compare with, and the table of docs/reliability.md at the end."""

from __future__ import annotations

import functools
import time
from collections import Counter
from pathlib import Path

import pytest
from arms import ARMS, Undisturbed
from processes import Command, run


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The folder of an arm's finished run, read only, and the seconds that it took."""

    @functools.cache
    def finished(arm: str) -> tuple[Path, float]:
        here = tmp_path_factory.mktemp("undisturbed") / "here"
        started = time.monotonic()
        ended = run(Command((*ARMS[arm], "hydra.run.dir=whole"), here))
        assert ended.code == 0, ended
        return here / "whole", time.monotonic() - started

    return finished


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test's report the row of the table in which it counts."""
    for item in items:
        mark = item.get_closest_marker("faults")
        if mark is not None:
            item.user_properties.append(("row", mark.kwargs["row"]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table: every test is a try."""
    tries: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            row = dict(report.user_properties).get("row")
            if row is not None and (outcome != "passed" or report.when == "call"):
                tries[row] += 1
                lost[row] += outcome != "passed"
    if tries:
        terminalreporter.write_line("| fault | tries | survived | lost |")
        terminalreporter.write_line("|---|---|---|---|")
    for row, number in sorted(tries.items()):
        line = f"| {row} | {number} | {number - lost[row]} | {lost[row]} |"
        terminalreporter.write_line(line)
