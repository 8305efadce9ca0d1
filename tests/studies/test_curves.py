"""How soon a curve reaches a target, on curves of which one can say it by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nas_lightning.errors import UserError
from nas_lightning.report.sample_efficiency import draw
from nas_lightning.studies.sample_efficiency import (
    POINTS,
    PUBLISHED,
    Curve,
    answers,
    reached,
    read,
    table,
    write,
)


def straight(until: float, top: float = 1.0) -> list[float]:
    """A gain that rises evenly until so many evaluations, and then stays."""
    return [top * min(1.0, point / until) for point in POINTS]


def test_a_target_between_two_points() -> None:
    assert reached(straight(2000), 0.6) == pytest.approx(1200)
    assert reached(straight(2000), 1.0) == pytest.approx(2000)
    assert reached(straight(2000), -0.1) == 0
    assert reached(straight(2000), 1.1) == math.inf


def test_one_lucky_point_does_not_count() -> None:
    lucky = straight(4000)
    lucky[2] = 0.9
    assert reached(lucky, 0.5) > 1000


def test_each_way_has_its_best_rate() -> None:
    curves: dict[Curve, list[float]] = {}
    for seed in (0, 1):
        curves |= {
            Curve("a study", PUBLISHED, 1e-3, 4, seed): straight(4000, 2.0),
            Curve("a study", PUBLISHED, 1e-2, 4, seed): straight(1000, 1.0),
            Curve("a study", "other", 1e-3, 4, seed): straight(2000, 2.0),
            Curve("a study", "other", 1e-2, 4, seed): straight(1000, 2.0),
            Curve("a study", "neither", 1e-3, 4, seed): straight(1000, 1.0),
            Curve("a study", "neither", 1e-2, 4, seed): straight(1000, 1.5),
        }
    found = answers(curves, resamples=50)
    assert list(found) == [PUBLISHED, "neither", "other"]
    assert (found[PUBLISHED].rate, found["other"].rate) == (1e-3, 1e-2)
    assert found[PUBLISHED].evaluations == pytest.approx(3800)
    assert found["other"].evaluations == pytest.approx(950)
    other = found["other"]
    assert (other.low, other.ratio, other.high) == pytest.approx((4, 4, 4))
    assert (found["neither"].rate, found["neither"].ratio) == (1e-2, 0)
    assert "| neither | 0.01 | 1.500 | not reached | 0.0 (0.0 to 0.0) |" in table(found)


def test_seeds_that_disagree_widen_the_interval(tmp_path: Path) -> None:
    curves = {
        Curve("a study", way, 1e-3, 4, seed): straight(until)
        for way, soon in ((PUBLISHED, (4000, 4000, 4000)), ("other", (500, 1000, 2000)))
        for seed, until in enumerate(soon)
    }
    other = answers(curves, resamples=200)["other"]
    assert other.low < other.ratio < other.high
    assert (other.low, other.high) == pytest.approx((2, 8), rel=0.01)
    draw(curves, answers(curves, resamples=2), tmp_path / "curves.svg")
    assert "other, lr 0.001" in (tmp_path / "curves.svg").read_text(encoding="utf-8")


def test_a_published_way_that_gains_nothing() -> None:
    curves = {
        Curve("a study", PUBLISHED, 1e-3, 4, 0): [-0.01] * len(POINTS),
        Curve("a study", "other", 1e-3, 4, 0): straight(1000),
    }
    found = answers(curves, resamples=10)
    assert found["other"].evaluations == 0
    assert math.isfinite(found["other"].ratio)
    assert "| other |" in table(found)


def test_curves_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    curves = {
        Curve("a study", "a, 1", 3.5e-4, 4, 0): straight(1000),
        Curve("a study", "b", 1e-2, 64, 3): straight(2000),
    }
    write(path, curves)
    found = read(path)
    assert list(found) == list(curves)
    for curve, gains in curves.items():
        assert found[curve] == pytest.approx(gains, abs=1e-6)
    assert read(tmp_path / "none.csv") == {}


@pytest.mark.parametrize(
    "content", ["something else\n", "way,rate,rows,seed,evaluations,gain\na,b,c,d,e,f\n"]
)
def test_another_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"output=.*curves\.csv: cannot be read"):
        read(path)
