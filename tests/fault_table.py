"""A plugin: the table of docs/reliability.md, printed when the fault suite has run.

It stands beside the topmost conftest.py because workers alone load the one of tests/faults, and the
process that prints is none.
"""

from __future__ import annotations

from collections import Counter

import pytest


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
            row = dict(getattr(report, "user_properties", ())).get("row")
            if row is not None and (outcome != "passed" or report.when == "call"):
                tries[row] += 1
                lost[row] += outcome != "passed"
    if not tries:
        return
    terminalreporter.write_line("| fault | tries | survived | lost |")
    terminalreporter.write_line("|---|---:|---:|---:|")
    for row, number in sorted(tries.items()):
        line = f"| {row} | {number} | {number - lost[row]} | {lost[row]} |"
        terminalreporter.write_line(line)
