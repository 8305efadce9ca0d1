"""Ratios of times, by a clock that the test sets."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from benchmarks.timing import Aims, Comparison, measure


def test_a_ratio_is_plain_over_ours_in_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first round, which warms up, does not count; the median does, not the mean."""
    now = 0.0
    order: list[str] = []
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    def taking(name: str, *seconds: float) -> Callable[[], None]:
        left = iter(seconds)

        def work() -> None:
            nonlocal now
            now += next(left)
            order.append(name)

        return work

    comparison = Comparison(
        aims=Aims(ratio=4, of_the_limit=2),
        plain=taking("plain", 100, 6, 40, 8),
        ours=taking("ours", 1, 2, 2, 4),
        amount=3,
        unit="children",
        limit=taking("limit", 1, 1, 1, 2),
        memory=lambda: (8, 2),
    )
    ratio, of_the_limit, memory = measure(comparison, rounds=3)
    assert order == ["plain", "ours", "limit"] * 4
    assert (ratio.value, ratio.lowest, ratio.highest) == (3, 2, 20)
    assert list(ratio.beside.values()) == [60 * 3 / 8, 60 * 3 / 2]
    assert (of_the_limit.value, memory.value) == (2, 0.25)
    assert [n.verdict for n in (ratio, of_the_limit, memory)] == ["missed", "met", ""]


def test_without_a_limit_there_is_no_multiple() -> None:
    comparison = Comparison(aims=Aims(ratio=1), plain=int, ours=int, amount=1, unit="children")
    assert [number.what for number in measure(comparison, rounds=1)] == ["ratio"]
