"""The population on the page of a run."""

from __future__ import annotations

import json
from pathlib import Path

from nas_lightning.report.page import page_of
from nas_lightning.search_spaces.enas_rnn import RecurrentCellSpace
from nas_lightning.studies.study import read_study
from tests.written_runs import write_run

SPACE = RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu"])
CONTROLLER = {
    "_target_": "nas_lightning.controllers.Evolution",
    "population": 2,
    "sample": 1,
    "aging": True,
}


def judged(step: int, actions: list[int], reward: float, origin: object) -> str:
    row = {
        "actions": actions,
        "reward": reward,
        "origin": origin,
        "purpose": "controller",
        "epoch": 0,
        "controller_step": step,
        "metrics": {"perplexity": 100.0},
    }
    return json.dumps(row) + "\n"


def test_family_and_living(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", controller=CONTROLLER)
    first, second, third = [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0]
    with (run / "ledger.jsonl").open("a", encoding="utf-8") as file:
        file.write(judged(0, first, 0.25, "uniform"))
        file.write(judged(1, second, 0.5, first))
        file.write(judged(2, third, 0.75, second))
    best = json.loads((run / "best_architecture.json").read_text(encoding="utf-8"))
    best["actions"] = third
    (run / "best_architecture.json").write_text(json.dumps(best), encoding="utf-8")
    page = page_of(read_study(run), SPACE)
    (section,) = [section for section in page.sections if section.anchor == "population"]
    family, living = section.tables
    assert [row[:5] for row in family.rows] == [
        [0, 1, 0, 0.25, 1],
        [1, 2, 0, 0.5, 1],
        [2, 3, 0, 0.75, 0],
    ]
    assert [row[5] for row in family.rows] == [
        "drawn uniformly",
        f"{SPACE.decisions[2].name}: {SPACE.decisions[2].choices[0]} → "
        f"{SPACE.decisions[2].choices[1]}",
        f"{SPACE.decisions[3].name}: {SPACE.decisions[3].choices[0]} → "
        f"{SPACE.decisions[3].choices[1]}",
    ]
    assert [row[:4] for row in living.rows] == [[3, 0, 0.75, 2], [2, 1, 0.5, 1]]
    assert len(section.figures) == 2


def test_without_a_population_there_is_none(tmp_path: Path) -> None:
    page = page_of(read_study(write_run(tmp_path / "run")), SPACE)
    assert "population" not in [section.anchor for section in page.sections]
