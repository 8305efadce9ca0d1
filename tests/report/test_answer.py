"""What a page answers first: the forest of the arms, its numbers, and two studies at once."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from nas_lightning.commands.report import arguments, report
from nas_lightning.errors import UserError
from nas_lightning.metrics import number
from nas_lightning.report.contents import aligned
from nas_lightning.report.page import page_of
from nas_lightning.report.two import joined
from nas_lightning.studies.study import read_study
from tests.report.test_page import Parsed, html_of
from tests.written_runs import simulate, write_run


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([40.0, 45.0], ["40", "45"]),
        ([355.7, 24.53, 1339.0], ["355.7", "24.5", "1,339.0"]),
        ([0.327, 0.2643], ["0.3270", "0.2643"]),
        ([58.25, 109560910977715641778176.0, 61.0], ["58.25", "1.096e23", "61.00"]),
        ([2e-6, math.inf], ["2e-6", "inf"]),
        ([], []),
    ],
)
def test_a_column_of_numbers(values: list[float], texts: list[str]) -> None:
    assert aligned(values) == texts


def test_no_number_of_many_digits() -> None:
    assert number(109560910977715641778176.0) == "1.096e23"
    assert number(12_345_678.0) == "12,345,678"
    assert number(1339.4) == "1,339"
    assert number(0.00001234) == "1.234e-5"


def test_the_forest(tmp_path: Path) -> None:
    """The best first, random search where it stands, one sentence each, and which are alike."""
    arms = {"good": (-0.04, 0.004), "same": (0.001, 0.02), "bad": (0.05, 0.004)}
    page = page_of(read_study(simulate(tmp_path, arms, seeds=6)), None)
    forest = page.answer
    assert forest is not None
    assert {"same", "random"} <= set(forest.alike[0].split(", "))
    assert forest.better == "left"
    rows = {row.arm: row for row in forest.rows}
    assert next(iter(rows)) == "good"
    assert rows["good"].says == "better than random"
    assert rows["bad"].says == "worse than random"
    assert re.fullmatch(r"not shown; .+ seeds.* would show it", rows["same"].says)
    assert rows["random"].places is None
    low, _, high = rows["good"].places or (0, 0, 0)
    assert 0 < low < high < forest.zero
    assert forest.zero < (rows["bad"].places or (0,))[0]
    assert not set(rows["good"].letters.split()) & set(rows["bad"].letters.split())


def test_two_studies_beside_each_other(tmp_path: Path) -> None:
    """Each with its own answer, their arms apart; nothing of the first's own page is lost."""
    first = simulate(tmp_path / "a", {"lstm": (-0.04, 0.004)}, seeds=3)
    second = simulate(tmp_path / "b", {"lstm": (0.04, 0.004)}, seeds=3, seed=1)
    report(first, second, markdown=False)
    page = Parsed((first / "report_with_b.html").read_text())
    for words in (
        "a: lstm: yes, better",
        "b: lstm: no, worse",
        "Nothing is tested between the two",
    ):
        assert words in page.text
    assert {"a: lstm", "a: random", "b: lstm", "b: random"} <= set(
        joined(read_study(first), read_study(second)).arms
    )
    assert not (first / "report.html").exists()
    with pytest.raises(UserError, match="num_nodes"):
        report(first, write_run(tmp_path / "run"), markdown=False)
    with pytest.raises(UserError, match="the same folder twice"):
        arguments([str(first), str(first)])


def test_a_page_stays_small(tmp_path: Path) -> None:
    """Of eight arms: two megabytes at most."""
    arms = {f"arm-{n}": (0.0, 0.01) for n in range(7)}
    assert len(html_of(simulate(tmp_path, arms, seeds=5)).encode()) < 2_000_000
