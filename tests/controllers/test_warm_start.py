"""A warm start: architectures that a controller is given, and told before any of its own.

Asked of every YAML in conf/controller that has the key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import nas_lightning as nl
from nas_lightning.controllers import Controller, LocalSearch
from nas_lightning.controllers.base import GIVEN
from nas_lightning.errors import UserError
from tests.controllers.test_controller_contract import (
    CONTROLLERS,
    FOLDER,
    SMALLER,
    Closed,
    Growing,
    Plain,
    build,
    judged,
    seeded,
)
from tests.given import composed
from tests.ledger_rows import ledger_rows

TAKES_ONE = [
    name
    for name in CONTROLLERS
    if "warm_start" in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
]
WHOLE = {Plain: [[0, 1, 1], [1, 2, 0], [0, 1, 0], [1, 0, 0]], Closed: [[2, 0, 1], [1, 0, 2]]}
WHOLE[Growing] = WHOLE[Plain]
M = 3


def warm(name: str, space: type[Plain], given: object = None) -> Controller:
    cfg = composed(f"controller={name}", *SMALLER.get(name, []))
    cfg.controller.warm_start = WHOLE[space] if given is None else given
    return build(cfg, space())


def of_given(controller: Controller) -> list[Sequence[int]]:
    """What is proposed as given until there is none, in order; told at once."""
    found: list[Sequence[int]] = []
    for step in range(4):
        asked = controller.ask(M, seeded(step))
        rows = asked.architectures.tolist()
        origins = asked.origins or [None] * M
        given = [row for row, origin in zip(rows, origins, strict=True) if origin == GIVEN]
        assert rows[: len(given)] == given, "before anything of its own"
        assert found == [] or len(found) % M == 0 or not given, "and in nothing but the first steps"
        found += given
        rewards, evaluation = judged(M)
        controller.tell(asked, rewards, evaluation, seeded(100 + step))
    return found


def test_who_takes_one() -> None:
    assert {"evolution", "local_search", "optuna", "predictor", "proposer"} == set(TAKES_ONE)


@pytest.mark.parametrize("space", WHOLE)
@pytest.mark.parametrize("name", [*TAKES_ONE, "evolution_nats_bench"])
def test_what_was_given_is_told_first_and_once(name: str, space: type[Plain]) -> None:
    controller = warm(name, space)
    whole = WHOLE[space][:1] if isinstance(controller, LocalSearch) else WHOLE[space]
    decisions = len(space().decisions)
    expected = [row[:decisions] for row in whole]
    assert of_given(controller) == expected
    assert of_given(warm(name, space)) == expected, "a function of the seed"


@pytest.mark.parametrize("name", TAKES_ONE)
def test_what_was_not_told_yet_waits(name: str) -> None:
    """Though the weights, and so all values, are others meanwhile."""
    controller = warm(name, Plain)
    controller.renew()
    asked = controller.ask(2, seeded(0))
    rewards, evaluation = judged(2)
    controller.tell(asked, rewards, evaluation, seeded(1))
    controller.renew()
    rest = controller.ask(6, seeded(2))
    given = [
        r
        for r, o in zip(rest.architectures.tolist(), rest.origins or (), strict=False)
        if o == GIVEN
    ]
    assert given == ([] if name == "local_search" else WHOLE[Plain][2:])


@pytest.mark.parametrize("name", TAKES_ONE)
def test_it_goes_on_from_its_state(name: str) -> None:
    controller, other = warm(name, Plain), warm(name, Plain)
    for step in range(5):
        other.load_state_dict(controller.state_dict())
        asked, again = (c.ask(M, seeded(step)) for c in (controller, other))
        assert torch.equal(asked.architectures, again.architectures)
        assert asked.origins == again.origins
        rewards, evaluation = judged(M)
        controller.tell(asked, rewards, evaluation, seeded(9))


@pytest.mark.parametrize("name", TAKES_ONE)
@pytest.mark.parametrize("given", [3, [[0, 1]], [[0, 1, 1], [0, 3, 0]], [["a"]]])
def test_what_is_no_architecture_is_refused(name: str, given: object) -> None:
    with pytest.raises(UserError, match=r"^controller\.warm_start"):
        warm(name, Plain, given)


def test_a_better_beginning_is_climbed_from() -> None:
    """Where local search was given is what it derives until it finds better."""
    controller = warm("local_search", Plain, [[1, 2, 0]])
    asked = controller.ask(4, seeded(0))
    _, evaluation = judged(4)
    controller.tell(asked, torch.tensor([5.0, 1.0, 2.0, 3.0]), evaluation, seeded(1))
    assert controller.candidates(1, seeded(2)).architectures.tolist() == [[1, 2, 0]]


OPTIONS: dict[str, Any] = {
    "search_space.decisions": {name: list(range(5)) for name in "abc"},
    "estimator.metrics": {"error": "less"},
    "estimator.objective": "error",
    "estimator.controller_steps": 2,
    "reward": "objective",
    "logger": "csv",
    "search.architectures_per_step": 3,
    "search.candidates": 4,
    "search.uniform_candidates": 2,
}


ASKED: list[dict[str, int]] = []


def evaluate(architecture: dict[str, int]) -> dict[str, float]:
    ASKED.append(architecture)
    return {"error": 12.0 - sum(architecture.values())}


def search(folder: Path, controller: str, epochs: int, **more: Any) -> nl.Run:
    overrides = {**OPTIONS, "trainer.max_epochs": epochs, **more}
    if controller == "evolution":
        overrides |= {"controller.population": 6, "controller.sample": 2}
    return nl.search(
        "function",
        controller=controller,
        estimator=evaluate,
        folder=folder,
        overrides=overrides,
    )


def test_from_another_runs_ledger(tmp_path: Path) -> None:
    """Counted and marked; what a resume finds is what an undisturbed run does."""
    before = search(tmp_path / "before", "random", 2)
    best = [row["actions"] for row in before.record.judged.best[:20]]
    assert len(best) > 6
    start = {"controller.warm_start": str(before.folder)}
    whole = search(tmp_path / "whole", "evolution", 3, **start)
    rows = ledger_rows(whole.folder / "ledger.jsonl")
    told = [row for row in rows if row["purpose"] == "controller"]
    assert len(told) == 3 * 2 * 3, "as many as without"
    assert [row["actions"] for row in told[:6]] == best[:6], "at most a population"
    assert [row.get("origin") for row in told].count(GIVEN) == 6
    assert all(isinstance(row["origin"], list) for row in told[6:]), "their children"
    (before.folder / "ledger.jsonl").unlink()
    start["controller.warm_start"] = json.loads(json.dumps(best))
    assert search(tmp_path / "parts", "evolution", 1, **start).status == "finished"
    parts = search(tmp_path / "parts", "evolution", 3, **start)
    assert ledger_rows(parts.folder / "ledger.jsonl") == rows
    ASKED.clear()
    (tmp_path / "copied").mkdir()
    shutil.copy(parts.folder / "children.jsonl", tmp_path / "copied")
    copied = search(tmp_path / "copied", "evolution", 3, **start)
    assert ASKED == [], "what another run has come to is looked up"
    assert ledger_rows(copied.folder / "ledger.jsonl") == rows
    page = (parts.folder / "report.html").read_text(encoding="utf-8")
    assert f"was begun with {len(best)} architectures that were given" in page


def test_who_takes_none_says_so(tmp_path: Path) -> None:
    for controller in ("random", "lstm", "pnas"):
        with pytest.raises(UserError, match=r"^controller\.warm_start=.+: no such key") as raised:
            search(tmp_path / "run", controller, 1, **{"controller.warm_start": [[0, 0, 0]]})
        assert "\n" not in str(raised.value)
