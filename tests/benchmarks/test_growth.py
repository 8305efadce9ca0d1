"""Exponents are those of the costs, and the ledgers that are timed are what they are said to be."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.costs import appending, ledger, reading, resuming
from benchmarks.growth import Curve, draw, exponent, number
from nas_lightning.runs.folder import LEDGER
from tests.ledger_rows import ledger_rows


@pytest.mark.parametrize("e", [0, 0.5, 1, 2])
def test_an_exponent_is_that_of_the_cost(e: float) -> None:
    sizes = [1, 10, 20, 400]
    assert exponent(sizes, [7 * size**e for size in sizes]) == pytest.approx(e, abs=1e-9)


def test_a_curve_is_worse_than_linear() -> None:
    """Of three rounds the median counts."""
    curve = Curve("nodes", "step", [1, 10], lambda size: lambda: None)
    found = number(curve, [[1, 10], [1, 1000], [1, 100]])
    assert (found.lowest, found.value, found.highest) == pytest.approx((1, 2, 3))
    assert found.verdict == "missed"
    assert found.beside == {"ms at 1": 1000, "ms at 10": 100_000}


def test_a_round_times_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first round does not count; calls that are timed together are averaged."""
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)

    def taking(size: int) -> None:
        nonlocal now
        now += size

    curve = Curve("nodes", "step", [2, 5], lambda size: lambda: taking(size), repeats=4)
    assert curve.seconds(3) == [[2, 5]] * 3
    assert now == 4 * 4 * 7


def test_a_ledger_grows_and_is_cut_back(tmp_path: Path) -> None:
    with closing(ledger(tmp_path / LEDGER, 30)) as grown:
        assert len({tuple(row["actions"]) for row in ledger_rows(grown.path)}) == 30
        appending(grown)()
        assert len(ledger_rows(grown.path)) == 40
        reading(grown)()
        resume = resuming(grown)
        resume()
        resume()
        assert len(ledger_rows(grown.path)) == 40


def test_every_size_has_its_panel(tmp_path: Path) -> None:
    drawn = [(Curve(panel, "a cost", [1, 10], lambda _: int), [1.0, 2.0]) for panel in "abc"]
    path = tmp_path / "growth.svg"
    draw(drawn, path)
    first = path.read_bytes()
    assert all(f">{panel}<".encode() in first for panel in ("a", "b", "c", "a cost"))
    draw(drawn, path)
    assert path.read_bytes() == first
