"""The best so far over the budget, and the best child for equal cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas_lightning.metrics import Metric
from nas_lightning.studies.budget import curves, equal_cost, equality, so_far, value_at
from nas_lightning.studies.study import read_study
from tests.written_runs import simulate

ERROR = Metric(name="error", unit="share", direction="less")


def test_in_every_unit(tmp_path: Path) -> None:
    """20 evaluations an epoch; 40 epochs of 1,000 images; a child learns 2 epochs.

    A forward pass of each of them takes 1e6 multiply-adds an image.
    """
    runs = read_study(simulate(tmp_path, {"lstm": (0.0, 0.0)}, seeds=2)).finished
    found = curves(runs, ERROR)
    assert list(found) == ["evaluations", "images", "multiply-adds"]
    spent, best = found["evaluations"]["lstm", 1]
    assert spent.tolist() == list(range(20, 161, 20))
    assert (np.diff(best) < 0).all()
    assert found["images"]["lstm", 1][0].tolist() == [40_000.0 * n for n in range(1, 9)]
    forward = np.array(runs[0].judged.forward)
    of_child = 2 * (3 * 1000 + 200)
    assert found["multiply-adds"]["lstm", 0][0] == pytest.approx(forward[19::20] * of_child)
    assert (forward[0], forward[-1]) == (1e6, 160e6)


def test_interquartile_mean_and_ends() -> None:
    """Of four seeds the middle two; a value holds until the next is known."""
    at = np.array([10.0, 20.0])
    seeds = {
        ("a", n): (at, np.array([value, value - 1.0])) for n, value in enumerate((1, 2, 4, 90))
    }
    found = so_far(seeds)["a"]
    assert found.spent.tolist() == [10, 20]
    assert found.middle.tolist() == [3, 2]
    assert (found.low.tolist(), found.high.tolist()) == ([1, 0], [90, 89])
    assert np.isnan(value_at(seeds["a", 0], 9.0))
    assert value_at(seeds["a", 0], 19.0) == 1
    assert value_at(seeds["a", 0], 1e9) == 0


def test_the_best_child_is_that_of_equal_cost(tmp_path: Path) -> None:
    """One arm has gone on for twice as long: what it found then does not count."""
    simulate(tmp_path / "long", {"lstm": (0.0, 0.0)}, seeds=2, epochs=8)
    simulate(tmp_path / "short", {"lstm": (0.0, 0.0)}, seeds=2, epochs=4)
    long, short = (read_study(tmp_path / name).finished for name in ("long", "short"))
    mixed = [run for run in long if run.arm == "lstm"] + [r for r in short if r.arm == "random"]
    best = {run.arm: run.metrics["derive/best_error"] for run in mixed if run.seed == 0}
    found = equal_cost(mixed, ERROR)
    assert found["random", 0] == best["random"].values[-1]
    assert found["lstm", 0] == best["lstm"].values[3]


def test_by_what_the_arms_are_equal(tmp_path: Path) -> None:
    """The one arm's networks grow with its ledger; the other has half of the epochs."""
    simulate(tmp_path / "long", {"lstm": (0.0, 0.0)}, seeds=2, epochs=8)
    simulate(tmp_path / "short", {"lstm": (0.0, 0.0)}, seeds=2, epochs=4)
    long, short = (read_study(tmp_path / name).finished for name in ("long", "short"))
    said = equality(long, ERROR)
    assert said is not None
    assert "equal by evaluations and images" in said
    mixed = [run for run in long if run.arm == "lstm"] + [r for r in short if r.arm == "random"]
    said = equality(mixed, ERROR)
    assert said is not None
    assert said.startswith("The arms are equal by nothing that was counted, and not by evaluations")
    assert "evaluations (the most is 2 times the least), images (the most is 2 times" in said
    assert equality([run for run in long if run.arm == "lstm"], ERROR) is None
