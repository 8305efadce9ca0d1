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
    for seed in (0, 1, 2):
        curves |= {
            Curve("a study", PUBLISHED, 1e-3, 4, seed): straight(4000, 2.0),
            Curve("a study", PUBLISHED, 1e-2, 4, seed): straight(1000, 1.0),
            Curve("a study", "other", 1e-3, 4, seed): straight(2000, 2.0),
            Curve("a study", "other", 1e-2, 4, seed): straight(1000 + 500 * seed, 2.0),
            Curve("a study", "neither", 1e-3, 4, seed): straight(1000, 1.0),
            Curve("a study", "neither", 1e-2, 4, seed): straight(1000, 1.5),
        }
    found = answers(curves)
    assert list(found) == [PUBLISHED, "neither", "other"]
    assert (set(found[PUBLISHED].rates), set(found["other"].rates)) == ({1e-3}, {1e-2})
    assert found[PUBLISHED].evaluations == pytest.approx([3800] * 3)
    assert found["other"].evaluations == pytest.approx([950, 1425, 1900])
    assert found["other"].ratios == pytest.approx([4, 8 / 3, 2])
    assert (set(found["neither"].rates), list(found["neither"].ratios)) == ({1e-2}, [0] * 3)
    shown = table(found)
    assert (
        f"| 1.500, 1.500 | not reached | {', '.join(['not reached'] * 3)} | not reached | " in shown
    )
    assert "none: no ratio with 3 of 3 seeds" in shown
    assert "| 4.0, 2.7, 2.0 | 2.7 | 2.8 (1.2 to 6.6, 3 seeds) |" in shown


def test_a_rate_is_chosen_on_the_other_seeds() -> None:
    """At each rate one seed alone is lucky, which tells nothing of the others."""
    curves = {}
    for seed in (0, 1):
        curves[Curve("a study", PUBLISHED, 1e-3, 4, seed)] = straight(4000)
        curves[Curve("a study", PUBLISHED, 1e-2, 4, seed)] = straight(4000)
        for rate, lucky in ((1e-3, 0), (1e-2, 1)):
            until = 100 if seed == lucky else 2000
            curves[Curve("a study", "other", rate, 4, seed)] = straight(until)
    other = answers(curves)["other"]
    assert other.rates == [1e-2, 1e-3]
    assert other.ratios == pytest.approx([2, 2])


def test_seeds_that_disagree_are_all_shown(tmp_path: Path) -> None:
    """Median 4, geometric mean 4, and an interval of the logarithms with two degrees of freedom."""
    curves = {
        Curve("a study", way, 1e-3, 4, seed): straight(until)
        for way, soon in ((PUBLISHED, (4000, 4000, 4000)), ("other", (500, 1000, 2000)))
        for seed, until in enumerate(soon)
    }
    found = answers(curves)
    assert found["other"].ratios == pytest.approx([8, 4, 2])
    half = 4.302653 * math.log(2) / math.sqrt(3)
    interval = f"{4 * math.exp(-half):.1f} to {4 * math.exp(half):.1f}"
    assert f"| 8.0, 4.0, 2.0 | 4.0 | 4.0 ({interval}, 3 seeds) |" in table(found)
    draw(curves, found, tmp_path / "curves.svg")
    assert "other, lr 0.001" in (tmp_path / "curves.svg").read_text(encoding="utf-8")


def test_a_published_way_that_stops_early_gives_a_lower_bound() -> None:
    """By the other seed the second rate is sooner; with this one it does not get there."""
    curves = {}
    for seed in (0, 1):
        curves[Curve("a study", PUBLISHED, 1e-3, 4, seed)] = straight(4000)
        curves[Curve("a study", PUBLISHED, 1e-2, 4, seed)] = straight(1000, 0.96 - 0.5 * seed)
        curves[Curve("a study", "other", 1e-3, 4, seed)] = straight(1000 + seed)
        curves[Curve("a study", "other", 1e-2, 4, seed)] = straight(3000)
    found = answers(curves)
    assert found[PUBLISHED].evaluations[1] == math.inf
    assert found["other"].ratios[1] == pytest.approx(4000 / 951, rel=1e-3)
    assert ", ≥ 4.2 |" in table(found)


def test_the_evaluations_of_the_results() -> None:
    """What docs/results/evaluations.md says of docs/evaluations.csv is what follows from it."""
    docs = Path(__file__).parents[2] / "docs"
    text, every = (
        (docs / "results/evaluations.md").read_text(encoding="utf-8"),
        read(docs / "evaluations.csv"),
    )
    for rows, rates in {4: (3.5e-3, 1e-2, 3.5e-2), 64: (3.5e-3, 1e-2)}.items():
        found = answers({c: g for c, g in every.items() if c.rows == rows and c.rate in rates})
        for line in table(found).splitlines()[2:]:
            assert line in text


def test_a_published_way_that_gains_nothing() -> None:
    curves = {
        Curve("a study", PUBLISHED, 1e-3, 4, 0): [-0.01] * len(POINTS),
        Curve("a study", "other", 1e-3, 4, 0): straight(1000),
    }
    found = answers(curves)
    assert found["other"].evaluations == [0]
    assert math.isnan(found["other"].ratios[0])
    assert "| undefined | undefined | none: no ratio with 1 of 1 seeds |" in table(found)


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
