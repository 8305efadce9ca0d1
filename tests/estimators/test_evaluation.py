"""What an evaluation says of itself, and the rewards that are made from it."""

from __future__ import annotations

import math

import pytest
import torch

from nas_lightning.estimators.base import Evaluation
from nas_lightning.metrics import Metric, require_declared
from nas_lightning.rewards import AccuracyPower, InversePerplexity, Objective
from nas_lightning.search_spaces.child import ACCURACY, LOSS, PERPLEXITY

NAN, INF = math.nan, math.inf
METRICS = {metric.name: metric for metric in (ACCURACY, LOSS, PERPLEXITY)}


def evaluation(objective: str, *values: float) -> Evaluation:
    return Evaluation(
        metrics={objective: torch.tensor(values)},
        kind="shared",
        objectives=(METRICS[objective],),
        status=["ok"] * len(values),
        cost=1,
        cost_unit="tokens",
    )


@pytest.mark.parametrize(
    ("objective", "values", "ranking"),
    [
        ("perplexity", [3, 1, 2], [1, 2, 0]),
        ("loss", [3, 1, 2], [1, 2, 0]),
        ("accuracy", [0.3, 0.1, 0.2], [0, 2, 1]),
        ("perplexity", [NAN, 5, NAN, 2], [3, 1, 0, 2]),
        ("accuracy", [NAN, 0.5, 0.0], [1, 2, 0]),
        ("perplexity", [INF, 5, 2], [2, 1, 0]),
        ("loss", [1, 1, 1], [0, 1, 2]),
    ],
)
def test_ranking(objective: str, values: list[float], ranking: list[int]) -> None:
    assert evaluation(objective, *values).ranking().tolist() == ranking


def test_inverse_perplexity() -> None:
    rewards = InversePerplexity(scale=80)(evaluation("perplexity", 80, 160, NAN, INF))
    assert rewards.tolist() == [1, 0.5, 0, 0]


def test_accuracy_power() -> None:
    rewards = AccuracyPower(power=3)(evaluation("accuracy", 0.5, 1, 0, NAN))
    assert rewards.tolist() == [0.125, 1, 0, 0]


@pytest.mark.parametrize("value", [0, -1, NAN, "80", None])
def test_bad_factors_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"scale=.*not allowed"):
        InversePerplexity(scale=value)
    with pytest.raises(ValueError, match=r"power=.*not allowed"):
        AccuracyPower(power=value)


@pytest.mark.parametrize(
    ("objective", "values", "rewards"),
    [
        ("loss", [3, 1, NAN], [-6, -2, -6]),
        ("accuracy", [0.5, INF, 0.25], [1, 0.5, 0.5]),
        ("loss", [NAN, NAN], [0, 0]),
    ],
)
def test_the_objective_as_reward(objective: str, values: list[float], rewards: list[float]) -> None:
    """More is better, whatever the direction; what came to nothing gets the least."""
    assert Objective(scale=2)(evaluation(objective, *values)).tolist() == rewards


def test_an_undeclared_metric_is_refused() -> None:
    with pytest.raises(ValueError, match=r"objective='f1' is not allowed: must be loss or accur"):
        require_declared("objective", "f1", (LOSS, ACCURACY))
    with pytest.raises(ValueError, match=r"direction='up' is not allowed: must be less or more"):
        Metric(name="f1", unit="", direction="up")  # type: ignore[arg-type]
