"""A function of the user's own judges: it is asked once, and its failures stay its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.errors import UserError
from nas_lightning.estimators import Function
from nas_lightning.search_spaces.choices import FunctionSpace

SPACE = FunctionSpace(build=None, decisions={"width": [1, 2, 3], "kind": ["a", "b"]})
ROWS = torch.tensor([[0, 0], [2, 1], [0, 0], [1, 0]])


def estimator(evaluate: Any, folder: Path, **changes: Any) -> Function:
    settings: dict[str, Any] = {
        "metrics": {"error": "less", "speed": "more"},
        "objective": "error",
        "controller_steps": 1,
    }
    return Function(space=SPACE, evaluate=evaluate, folder=folder, **{**settings, **changes})


def counting() -> tuple[list[dict[str, Any]], Callable[[dict[str, Any]], dict[str, float]]]:
    """What was asked, and a function that answers."""
    asked: list[dict[str, Any]] = []

    def evaluate(architecture: dict[str, Any]) -> dict[str, float]:
        asked.append(architecture)
        return {"error": 1 / architecture["width"], "speed": 5, "beside": 0}

    return asked, evaluate


def test_it_is_asked_once_and_a_resume_asks_no_more(tmp_path: Path) -> None:
    asked, evaluate = counting()
    found = estimator(evaluate, tmp_path).evaluate(ROWS, [])
    assert asked == [
        {"width": 1, "kind": "a"},
        {"width": 3, "kind": "b"},
        {"width": 2, "kind": "a"},
    ]
    torch.testing.assert_close(found.metrics["error"], torch.tensor([1, 1 / 3, 1, 0.5]))
    assert found.metrics.keys() == {"error", "speed"}, "what is declared"
    assert (found.cost, found.cost_unit) == (3, "calls")
    assert found.ranking().tolist()[0] == 1, "less is better"
    again = estimator(evaluate, tmp_path)
    repeated = again.evaluate(ROWS, [])
    assert len(asked) == 3
    assert torch.equal(repeated.metrics["error"], found.metrics["error"])
    assert repeated.cost == 3, "counted by what this run has come to"
    again.set_extra_state(again.get_extra_state())
    assert again.evaluate(ROWS, []).cost == 0


def test_one_that_fails_fails_alone(tmp_path: Path) -> None:
    def evaluate(architecture: dict[str, Any]) -> dict[str, float]:
        if architecture["width"] == 3:
            raise ZeroDivisionError("no\nwidth")
        return {"error": math.nan if architecture["width"] == 2 else 1.0, "speed": 1.0}

    found = estimator(evaluate, tmp_path).evaluate(ROWS, [])
    assert found.status == ["ok", "ZeroDivisionError: no width", "ok", "diverged"]
    assert found.values.isnan().tolist() == [False, True, False, True]
    assert found.ranking().tolist()[:2] == [0, 2]


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "KeyError: gives no 'error'"), (None, "TypeError"), ({"error": "x"}, "ValueError")],
)
def test_one_that_fails_for_all_is_the_users(given: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^evaluate fails for all: {said}"):
        estimator(lambda _: given, tmp_path).evaluate(ROWS, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate": "no.such"}, "evaluate='no.such' is not allowed: ModuleNotFoundError"),
        ({"evaluate": 3}, "evaluate=3 is not allowed: must be a class or a function"),
        ({"metrics": {}}, "metrics={} is not allowed: must be one or more names"),
        ({"metrics": {"error": "best"}}, "direction='best' is not allowed: must be less or more"),
        ({"objective": "loss"}, "objective='loss' is not allowed: must be error or speed"),
        ({"controller_steps": -1}, "controller_steps=-1 is not allowed"),
    ],
)
def test_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        estimator(**{"evaluate": dict, "folder": tmp_path, **changes})
