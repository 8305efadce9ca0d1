"""The examples, the script of the how-to and the notebooks do what they say, at small sizes.

All are executed in this process, each in a folder of its own.
"""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import nas_lightning as nl
from nas_lightning.api.run import run_in
from nas_lightning.metrics import number
from tests.own_parts import SMALL
from tests.test_own_parts import split_of

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))
HOW_TO = (DOCS / "how-to-own-model.md").read_text(encoding="utf-8")
OF_DATA = [key for key in SMALL if key.startswith("data.")]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[nl.Run]:
    """What is searched is small, in a folder of the test's own; the runs, as they come."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    search, retrain = nl.search, nl.Run.retrain
    runs: list[nl.Run] = []

    def small_search(*given: Any, overrides: Any = None, **more: Any) -> nl.Run:
        sizes = {key: value for key, value in SMALL.items() if key not in OF_DATA}
        more["budget"] = "smoke"
        runs.append(
            search(*given, overrides={**(overrides or {}), **sizes, **fitting(more)}, **more)
        )
        return runs[-1]

    def small_retrain(run: nl.Run, seeds: Any = (0,), overrides: Any = None) -> nl.Run:
        return retrain(run, seeds, {**(overrides or {}), "retrain.epochs": 2})

    monkeypatch.setitem(vars(nl), "search", small_search)
    monkeypatch.setattr(nl.Run, "retrain", small_retrain)
    return runs


def fitting(more: dict[str, Any]) -> dict[str, Any]:
    """What else must be small beside a controller."""
    evolves = more.get("controller") == "evolution"
    return {"controller.population": 2, "controller.sample": 2} if evolves else {}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples(example: Path, small: list[nl.Run]) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 60
    runpy.run_path(str(example), run_name="__main__")
    assert [run.status for run in small] == ["finished"]
    retrained_network_gives_the_final_number(small[0])


def retrained_network_gives_the_final_number(searched: nl.Run) -> None:
    """To the last digit shown, on the test split, for the first seed."""
    run = run_in(searched.folder, searched.parts)
    run = run if run.final is not None else run.retrain()
    assert run.final is not None
    split = split_of(run)
    with torch.no_grad():
        outputs = run.network(weights="retrained")(split.inputs)
    if split.targets.is_floating_point():
        loss = F.mse_loss(outputs, split.targets.reshape(outputs.shape))
    else:
        loss = F.cross_entropy(outputs, split.targets)
        right = (outputs.argmax(dim=1) == split.targets).float().mean()
        assert number(float(right)) == number(run.final["test"][0]["accuracy"])
    assert number(float(loss)) == number(run.final["test"][0]["loss"])


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["diabetes", "digits_cnn", "text_transformer"]
    assert len(NOTEBOOKS) == 2


def script() -> str:
    """The script of the how-to."""
    found = re.search(
        r"`my_search\.py`:\n\n```python\n(.*?)^```$", HOW_TO, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("word", "another"), [("lstm", "random"), ("weight_sharing", "from_scratch")]
)
def test_the_script_of_the_how_to(
    word: str, another: str, small: list[nl.Run], tmp_path: Path
) -> None:
    """At most 25 lines; a word is changed for another controller, or for training from scratch."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    text = script()
    assert len([line for line in text.splitlines() if line.strip()]) <= 25
    assert text.count(word) == 1
    text = text.replace(word, another)
    (tmp_path / "my_search.py").write_text(text)
    found = runpy.run_path(str(tmp_path / "my_search.py"), run_name="__main__")
    assert small[0].best is not None
    assert small[0].best["kind"] == ("proxy" if another == "from_scratch" else "shared")
    assert found["logits"].shape == (2, 10)


def cells(notebook: Path) -> list[str]:
    """The code of a notebook, cell by cell."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks(notebook: Path, small: list[nl.Run]) -> None:
    """Cell by cell in one namespace; what a cell ends with shows itself."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for source in cells(notebook):
        *statements, last = ast.parse(source).body
        before = statements if isinstance(last, ast.Expr) else [*statements, last]
        exec(compile(ast.Module(before, []), notebook.name, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), notebook.name, "eval"), names)
            assert getattr(value, "_repr_html_", value.__repr__)()
    assert [run.status for run in small] == ["finished"]
