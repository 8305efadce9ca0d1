"""The tables of docs/results/which-controller.md follow from every seed's numbers beside it."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import pytest

from nas_lightning.analysis.several import groups, holm, simultaneous
from nas_lightning.analysis.statistics import PairedDifference, two_sample_difference

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "results/which-controller.md"

Values = dict[str, list[float]]

TABLES = {
    "nas_bench_201": (("after_50", "after_100", "after_300"), "after_300", 2, 1),
    "nas_bench_201_3000": (("after_300", "after_1000", "after_3000"), "after_3000", 2, 1),
    "enas_rnn_3": (("after_50", "after_100"), "after_100", 4, -1),
}
"""A table of the page: its columns; by which of them arms are compared; the decimals of its
numbers; 1 where more is better, or -1."""


def numbers(table: str) -> dict[str, Values]:
    """Column -> arm -> a value for each seed that has the last column."""
    columns, *_ = TABLES[table]
    found: dict[str, Values] = {column: defaultdict(list) for column in columns}
    with (DOCS / "which_controller.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["table"] == table and row[columns[-1]]:
                for column in columns:
                    found[column][row["arm"]].append(float(row[column]))
    return found


def letters(values: Values, arms: list[str]) -> dict[str, str]:
    """A letter for each group of arms no two of which can be told apart (Holm, all pairs)."""
    pairs = list(itertools.combinations(arms, 2))
    adjusted = holm([two_sample_difference(values[a], values[b]).p for a, b in pairs])
    apart = {pair for pair, p in zip(pairs, adjusted, strict=True) if p <= 0.05}
    found = dict.fromkeys(arms, "")
    for letter, group in zip("abcdefghijklmnopqrstuvwxyz", groups(arms, apart), strict=False):
        for arm in group:
            found[arm] += letter
    return found


def rows(table: str) -> list[str]:
    """The lines of a table, the best arm first."""
    columns, compared, digits, sign = TABLES[table]
    found = numbers(table)
    last = found[compared]
    arms = sorted(last, key=lambda arm: -sign * mean(last[arm]))
    others = [arm for arm in arms if arm != "random"]
    level = simultaneous(len(others))
    differences = {a: two_sample_difference(last[a], last["random"], level) for a in others}
    p_values = dict(zip(others, holm([differences[a].p for a in others]), strict=True))
    group = letters(last, arms)
    lines = []
    for arm in arms:
        cells = [
            f"{mean(v):.{digits}f} ({stdev(v):.{digits}f})" for c in columns if (v := found[c][arm])
        ]
        against = (
            [said(differences[arm], digits), f"{p_values[arm]:.1g}"] if arm in others else ["", ""]
        )
        lines.append(
            " | ".join([f"| `{arm}`", str(len(last[arm])), *cells, *against, f"{group[arm]} |"])
        )
    return lines


def said(found: PairedDifference, digits: int) -> str:
    """A difference and its interval."""
    return f"{found.mean:+.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


@pytest.mark.parametrize("table", TABLES)
def test_a_table_follows_from_its_numbers(table: str) -> None:
    page = PAGE.read_text(encoding="utf-8").splitlines()
    made = rows(table)
    assert len(made) > 5
    places = [page.index(line) for line in made]
    assert places == list(range(places[0], places[0] + len(made))), "one under the other"
