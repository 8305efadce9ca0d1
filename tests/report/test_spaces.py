"""The pages of a study over search spaces: what is compared, what is not, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.commands.report import pages_of, report
from nas_lightning.errors import UserError
from nas_lightning.report.page import Page
from nas_lightning.runs import stretches
from nas_lightning.studies.spaces import named, spaces_in
from nas_lightning.studies.study import read_study
from tests.written_runs import CONFIG, write_run

RNN: dict[str, Any] = CONFIG["search_space"]


def write_final(run: Path, test: float, *, seed: int, epochs: int = 3) -> None:
    """The file of a retraining with one seed."""
    (run / "retrain").mkdir()
    final = {
        "objective": "perplexity",
        "test": [{"perplexity": test}],
        "validation": [{"perplexity": test + 1}],
        "seeds": [seed],
        "settings": {"epochs": epochs, "learning_rate": 20},
        "grid": [{"varied": {}}],
        "parameters": 1000,
    }
    (run / "retrain/final.json").write_text(json.dumps(final))


def study(folder: Path, *, epochs: int = 3, finals: bool = True) -> Path:
    """Cells of 3 and of 4 nodes; of the smaller ones LSTM and random search, of two seeds each."""
    for seed in (0, 1):
        for arm in ("lstm", "random"):
            run = write_run(folder / f"arm={arm},num_nodes=3,seed={seed}", seed=seed)
            if finals:
                write_final(run, 120.0 + 2 * seed, seed=seed)
        more = {**RNN, "num_nodes": 4}
        run = write_run(folder / f"arm=lstm,num_nodes=4,seed={seed}", seed=seed, search_space=more)
        if finals:
            write_final(run, 110.0 + 2 * seed, seed=seed, epochs=epochs)
    return folder


def table(page: Page) -> list[dict[str, object]]:
    """The rows of what can be compared."""
    (found,) = next(section for section in page.sections if section.anchor == "spaces").tables
    return [dict(zip(found.head, row, strict=True)) for row in found.rows]


def test_final_numbers_and_cost_are_compared(tmp_path: Path) -> None:
    first, three, four = pages_of(study(tmp_path / "mine"))
    answer, how, cannot = first.verdict[0]
    assert answer.endswith(
        "by test perplexity (final), means over runs: num_nodes=4 111, num_nodes=3 121."
    )
    assert how == "All were retrained alike. Nothing is tested between spaces."
    assert "numbers under shared weights" in cannot
    assert [
        (row["search space"], row["arm"], row["runs"], row["retrained"]) for row in table(first)
    ] == [
        ("num_nodes=3", "lstm", 2, 2),
        ("num_nodes=3", "random", 2, 2),
        ("num_nodes=4", "lstm,num_nodes=4", 2, 2),
    ]
    assert table(first)[0]["test perplexity (final)"] == "121 ± 1.4"
    assert table(first)[0]["parameters"] == 1000
    assert table(first)[0]["architectures judged"] == 3
    assert not any("shared" in str(section.tables) for section in first.sections[:2])
    assert (three.title, four.title) == ("Study mine: num_nodes=3", "Study mine: num_nodes=4")
    assert (three.file, four.file) == ("report_num_nodes=3", "report_num_nodes=4")
    assert {"lstm", "random"} == set(three.colours), "with its own answer"


def test_the_command_writes_a_page_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study(tmp_path / "mine")
    write_run(
        folder / "arm=lstm,num_nodes=4,seed=2",
        end="FAILED",
        reason="no space",
        search_space={**RNN, "num_nodes": 4},
    )
    (folder / "arm=lstm,num_nodes=4,seed=3").mkdir()
    (folder / "arm=lstm,num_nodes=4,seed=3/FAILED").write_text("no data")
    report(folder, markdown=False)
    said = capsys.readouterr()
    names = ["report.html", "report_num_nodes=3.html", "report_num_nodes=4.html"]
    assert [Path(line.split()[1]).name for line in said.out.splitlines()] == names
    assert "arm=lstm,num_nodes=4,seed=2 has failed, and is left out: no space" in said.err
    assert "arm=lstm,num_nodes=4,seed=3 has failed before it had begun: no data" in said.err
    page = (folder / "report.html").read_text()
    assert "a page for each space" in page
    with pytest.raises(UserError, match=r"num_nodes=4.*what can be compared is on the page of"):
        read_study(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 9}, "Not retrained alike: settings.epochs is 3 here and 9 there. Nothing"),
        ({"finals": False}, "final numbers are missing of num_nodes=3 and num_nodes=4; "),
    ],
)
def test_what_cannot_be_compared_is_said(changes: Any, said: str, tmp_path: Path) -> None:
    first, *_ = pages_of(study(tmp_path / "mine", **changes))
    assert said in " ".join(first.verdict[0])


def test_other_objectives_are_not_compared(tmp_path: Path) -> None:
    folder = study(tmp_path / "mine")
    for run in folder.glob("*num_nodes=4*"):
        declared = [{"name": "accuracy", "unit": "", "direction": "more"}]
        content = {"objectives": ["accuracy"], "metrics": declared}
        (run / "metrics.json").write_text(json.dumps(content))
    first, *_ = pages_of(folder)
    assert "final numbers are of several: accuracy, perplexity" in first.verdict[0][0]


def test_other_data_are_refused(tmp_path: Path) -> None:
    folder = study(tmp_path / "mine")
    for run in folder.glob("*"):
        data = {"train": "one" if "nodes=3" in run.name else "other"}
        text = (run / "config.yaml").read_text()
        (run / "stretches.jsonl").write_text(stretches.line(text, data))
    with pytest.raises(UserError, match="its train data are other, those of"):
        pages_of(folder)


def test_what_spaces_are_called() -> None:
    darts = {"_target_": "nas_lightning.search_spaces.darts_rnn.DartsCellSpace", "num_nodes": 8}
    four = {**RNN, "num_nodes": 4}
    assert named([RNN, four]) == ["num_nodes=3", "num_nodes=4"]
    assert named([RNN, darts]) == ["recurrent cell space", "darts cell space"]
    assert named([RNN, darts, four]) == [
        "recurrent cell space, num_nodes=3",
        "darts cell space",
        "recurrent cell space, num_nodes=4",
    ]


def test_a_study_of_one_space_is_as_before(tmp_path: Path) -> None:
    run = write_run(tmp_path / "mine/arm=lstm,seed=0")
    assert spaces_in(run) == {}
    assert list(spaces_in(run.parent)) == [""]
    assert [page.file for page in pages_of(run.parent)] == ["report"]
