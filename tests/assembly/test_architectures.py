"""Architectures that somebody has written down: judged beside a search, or told before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas_lightning as nl
from nas_lightning.assembly.architectures import BESIDE, WARM_START, architectures_in
from nas_lightning.commands.show import rows_of
from nas_lightning.errors import UserError
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.choices import ChoiceSpace
from nas_lightning.search_spaces.darts_rnn import DartsCellSpace
from nas_lightning.search_spaces.enas_rnn import RecurrentCellSpace
from nas_lightning.search_spaces.nas_cnn import ConvolutionalSpace
from nas_lightning.search_spaces.published import published
from nas_lightning.search_spaces.written import actions_of
from tests.ledger_rows import ledger_rows
from tests.newcomers.own_model import Net
from tests.scripted import OVERRIDES
from tests.written_runs import write_run

CELL = [0, 0, 1, 1, 2]
CELLS = RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu", "identity", "sigmoid"])
GROWING = ConvolutionalSpace(
    num_layers=1,
    grow_by=1,
    grow_every=5,
    max_layers=2,
    heights=[1, 3],
    widths=[1],
    filters=[4, 8],
    strides=[1],
)
OWN = ChoiceSpace(model=Net, arguments=None, pretrained=False)


@pytest.mark.parametrize(
    ("space", "actions"),
    [(CELLS, CELL), (GROWING.stages[0], None), (GROWING, None), (OWN, [0, 1, 0, 0, 1])],
)
def test_words_and_actions_are_the_same(space: SearchSpace, actions: list[int] | None) -> None:
    actions = actions or [0] * len(space.decisions)
    words = space.describe(actions)
    turned = dict(reversed(words.items()))
    assert actions_of({"decisions": words}, space) == actions
    assert actions_of({"decisions": turned, "actions": "ignored"}, space) == actions
    assert actions_of({"actions": actions, "metrics": {}}, space) == actions


def test_what_is_closed_may_be_left_out() -> None:
    words = {"blocks": 1, "blocks[0].operation": "5x5", "activation": "tanh"}
    assert actions_of({"decisions": words}, OWN) == [0, 1, 0, 0, 1]
    with pytest.raises(ValueError, match=r"^decision blocks\[1\]\.operation: is not there$"):
        actions_of({"decisions": {**words, "blocks": 2}}, OWN)


WORDS = {name: str(word) for name, word in CELLS.describe(CELL).items()}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory; give a file that holds decisions in words, or"),
        ("{", "is no JSON in UTF-8"),
        ("[]", "holds no architecture"),
        ("3", "must have `decisions` in words, or `actions`"),
        ({"decisions": 3}, "decisions: must be names of decisions and of what each chooses"),
        ({"decisions": {**WORDS, "node 9": 1}}, "decision node 9: there is no such one"),
        ({"decisions": {**WORDS, "node 0 activation": "tan"}}, "activation=tan: must be tanh or"),
        ({"actions": [0, 0, 1, 9, 2]}, r"actions\[3\]=9 is not allowed"),
        ({"actions": CELL[:3]}, "must be a list of 5 whole numbers"),
        ([{"actions": CELL}] * 2, "holds 2 architectures; give a file of one"),
    ],
)
def test_bad_files_are_refused_in_a_line(content: object, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    if content is not None:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    overrides = {**OVERRIDES, "search.beside": str(file)}
    with pytest.raises(UserError, match=rf"^search\.beside=\S+mine\.json: (.*{said})") as raised:
        nl.search(folder=tmp_path / "run", overrides=overrides)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run/ledger.jsonl").exists()


def test_a_run_and_a_published_name_stand_for_architectures(tmp_path: Path) -> None:
    darts = DartsCellSpace(
        num_nodes=8, operations=["tanh", "relu", "sigmoid", "identity"], none=True
    )
    (found,) = architectures_in("search.beside", "darts_v1", darts, BESIDE)
    assert found == published("darts_v1", darts)
    run = write_run(tmp_path / "run")
    assert architectures_in("k", str(run), CELLS, BESIDE) == [[0, 0, 1, 1, 0]], "its best"
    ledger = [[0, 0, 1, 1, 0], [1, 0, 1, 1, 0]]
    assert architectures_in("k", str(run), CELLS, WARM_START) == ledger, "the best first"
    for key in (BESIDE, WARM_START):
        with pytest.raises(UserError, match=r"^k: "):
            architectures_in("k", str(tmp_path), CELLS, key)


def without_numbers(rows: list[Any]) -> list[Any]:
    return [{name: value for name, value in row.items() if name != "number"} for row in rows]


def test_one_made_by_hand_is_judged_beside(finished: Path, tmp_path: Path) -> None:
    """Once an epoch, as the best is; nothing else of the search changes; then it is retrained."""
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"decisions": WORDS}))
    overrides = {**OVERRIDES, "search.beside": str(file)}
    run = nl.search(folder=tmp_path / "run", overrides=overrides)
    file.unlink()
    rows = ledger_rows(run.folder / "ledger.jsonl")
    beside = [row for row in rows if row["purpose"] == "beside"]
    assert [(row["epoch"], row["actions"], row["kind"]) for row in beside] == [
        (0, CELL, "shared"),
        (1, CELL, "shared"),
    ]
    others = [row for row in rows if row["purpose"] != "beside"]
    assert without_numbers(others) == without_numbers(ledger_rows(finished / "ledger.jsonl"))
    recorded = run.record.metrics["derive/beside_loss"].values
    assert recorded == [row["metrics"]["loss"] for row in beside]
    assert run.beside == beside[-1]
    assert nl.load(finished).beside is None
    assert rows_of(run.record)["made by hand"].startswith("perplexity ")
    assert "made by hand" not in rows_of(nl.load(finished).record)
    again = nl.search(folder=run.folder, overrides={**OVERRIDES, "search.beside": CELL})
    assert again.status == "finished"
    page = (run.folder / "report.html").read_text()
    assert "One made by hand was judged as the best was: perplexity" in page
    assert ">made by hand: perplexity" in page
    sizes = {"batch_size": 128, "evaluation_batch_size": 256, "sequence_length": 32}
    quick = {"retrain.epochs": 1, **{f"data.{name}": size for name, size in sizes.items()}}
    final = run.retrain(overrides=quick).final
    assert final is not None
    assert final["beside"]["actions"] == CELL
    assert final["beside"]["description"] == "an architecture made by hand"
    assert final["beside"]["test"][0]["loss"] > 0
    assert final["beside"]["test"] != final["test"]


def test_one_made_by_hand_is_never_what_was_found(tmp_path: Path) -> None:
    """Not where it is better than all that was proposed, either."""
    best = {"a": 7, "b": 7, "c": 7}

    def evaluate(architecture: dict[str, int]) -> dict[str, float]:
        return {"error": 21.0 - sum(architecture.values())}

    run = nl.search(
        "function",
        controller="random",
        estimator=evaluate,
        folder=tmp_path / "run",
        overrides={
            "search_space.decisions": {name: list(range(8)) for name in best},
            "estimator.metrics": {"error": "less"},
            "estimator.objective": "error",
            "reward": "objective",
            "logger": "csv",
            "trainer.max_epochs": 1,
            "search.candidates": 3,
            "search.uniform_candidates": 2,
            "search.beside": list(best.values()),
        },
    )
    assert run.beside is not None
    assert run.beside["metrics"] == {"error": 0}
    assert run.best is not None
    assert run.best["metrics"]["error"] > 0
