"""A number is held against what is aimed at, from the right side."""

from __future__ import annotations

import pytest

from benchmarks.numbers import over_rounds


@pytest.mark.parametrize(
    ("aims", "aim", "verdict"),
    [
        ({"at_least": 2.5}, "≥ 2.5", "met"),
        ({"at_least": 2.51}, "≥ 2.51", "missed"),
        ({"at_most": 2.5}, "≤ 2.5", "met"),
        ({"at_most": 2.49}, "≤ 2.49", "missed"),
        ({}, "", ""),
    ],
)
def test_the_median_is_met_or_missed(aims: dict[str, float], aim: str, verdict: str) -> None:
    number = over_rounds("ratio", [9, 2.5, 1], **aims, beside={"a": 1})
    assert (number.value, number.lowest, number.highest) == (2.5, 1, 9)
    assert (number.aim, number.verdict) == (aim, verdict)
    written = number.as_json()
    assert written["met"] == {"met": True, "missed": False, "": None}[verdict]
    assert written["beside"] == {"a": 1}
