"""Cross-evaluation of a real, tiny study, against judging each architecture by itself."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.make import make
from nas_lightning.assembly.rebuild import controller_of
from nas_lightning.commands import cross_evaluate as command
from nas_lightning.estimators.weight_sharing import shared_weights
from nas_lightning.search_spaces.child import score_all
from nas_lightning.studies.cross_evaluation import RECORD, Scores, append_scores, read_record
from nas_lightning.studies.study import finished_study

OPTIONS: dict[str, Any] = {
    "study": "",
    "architectures": 12,
    "against": "random",
    "minibatches": 2,
    "calibration_minibatches": 2,
    "workers": 1,
}


@pytest.fixture
def study(small_study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_study, tmp_path / "study"))


def evaluate(study: Path) -> None:
    command.cross_evaluate(OmegaConf.create({**OPTIONS, "study": str(study)}))


@pytest.fixture(scope="module")
def evaluated(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The study after the command, read only, and what it printed."""
    study = Path(shutil.copytree(small_study, tmp_path_factory.mktemp("evaluated") / "study"))
    with redirect_stdout(io.StringIO()) as out:
        evaluate(study)
    return study, out.getvalue()


@pytest.fixture
def repeated(evaluated: tuple[Path, str], tmp_path: Path) -> Path:
    """The same, to be evaluated again."""
    return Path(shutil.copytree(evaluated[0], tmp_path / "study"))


def scored(study: Path) -> dict[tuple[int, str, str], Scores]:
    return {s.place: s for s in read_record(study)[0]}


def test_each_arm_at_home_and_with_random(evaluated: tuple[Path, str]) -> None:
    study, out = evaluated
    cells = [("lstm", "lstm"), ("lstm", "random"), ("random", "lstm"), ("random", "random")]
    cells += [("random", "random_10"), ("random_10", "random"), ("random_10", "random_10")]
    assert set(scored(study)) == {(seed, c, w) for seed in (0, 1) for c, w in cells}
    assert all(s.drawn == 12 and s.diverged == 0 for s in read_record(study)[0])
    rows = (study / "cross_evaluation.csv").read_text().splitlines()
    assert len(rows) == 15
    assert rows[0].startswith("seed,architectures_of,weights_of,drawn,distinct,diverged,mean,")
    assert "Calibrated per architecture, which changes: " in out
    assert "lstm: " in out, "the verdict"


def test_a_score_is_that_of_the_architecture_alone(evaluated: tuple[Path, str]) -> None:
    """Drawn again from the run's checkpoint, each judged and calibrated by itself."""
    study, _ = evaluated
    found = scored(study)[1, "lstm", "random"]
    runs = {(run.arm, run.seed): run for run in finished_study(study).finished}
    config = OmegaConf.load(runs["random", 1].folder / "config.yaml")
    assert isinstance(config, DictConfig)
    data, space = make(config, "data"), make(config, "search_space")
    child = make(config, "child", space=space, **data.sizes)
    child.load_state_dict(shared_weights(runs["random", 1].folder, child))
    child.eval()
    controller = controller_of(runs["lstm", 1].folder)
    seed = command.seed_of_draw(runs["lstm", 1])
    drawn = controller.ask(12, torch.Generator().manual_seed(seed)).architectures
    distinct, counts = torch.unique(drawn, dim=0, return_counts=True)
    assert counts.tolist() == found.counts
    batches = data.validation_batches()[:2]
    training = [data.train_batch(0), data.train_batch(1)]
    assert found.uncalibrated is not None
    for row, own, before in zip(distinct, found.losses, found.uncalibrated, strict=True):
        for network, expected in (
            (child.recalibrated(row.unsqueeze(0), training), own),
            (child, before),
        ):
            with torch.no_grad():
                result = score_all(network, batches, row.unsqueeze(0))
            assert float(result.loss_sum / result.count) == pytest.approx(expected, rel=1e-5)


def test_the_same_command_scores_only_what_is_missing(
    repeated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = repeated
    whole = (study / RECORD).read_text()
    lines = whole.splitlines(keepends=True)
    (study / RECORD).write_text("".join(lines[:5]) + lines[5][:40])  # killed while it wrote
    calls: list[Any] = []
    score = command.score

    def counted(*task: Any) -> Any:
        calls.append(task)
        return score(*task)

    monkeypatch.setattr(command, "score", counted)
    evaluate(study)
    assert sum(len(others) for (_, others), _ in calls) == len(lines) - 5
    assert sorted((study / RECORD).read_text().splitlines()) == sorted(whole.splitlines())
    calls.clear()
    evaluate(study)
    assert calls == []


def test_what_has_changed_is_scored_again(repeated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = repeated
    before = scored(study)
    config = study / "arm=lstm,seed=0" / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 2", "max_epochs: 5"))
    asked: list[tuple[str, str]] = []

    def noted(task: command.Task, options: DictConfig) -> list[Scores]:
        asked.extend((run.arm, task[0].arm) for run in task[1])
        return [
            dataclasses.replace(before[0, run.arm, task[0].arm], epochs=(5, 5)) for run in task[1]
        ]

    monkeypatch.setattr(command, "score", noted)
    evaluate(study)
    assert sorted(asked) == [("lstm", "lstm"), ("lstm", "random"), ("random", "lstm")]


def test_duplicates_count_as_often_as_they_were_drawn(tmp_path: Path) -> None:
    row = Scores(0, "lstm", "random", [1.0, 2.0, float("nan")], [3, 1, 2], None, 1, (2, 2))
    append_scores(tmp_path, [row])
    (read,), _ = read_record(tmp_path)
    assert (read.mean(), read.median(), read.drawn, read.diverged) == (1.25, 1.0, 6, 2)


def refused(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cross_evaluate.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "study: has no value; give study=…"),
        (["study={study}", "against=lstn"], "against=lstn: no finished run of that arm; there is "),
        (["study={study}", "architectures=0"], "architectures=0 is not allowed: must be a whole"),
        (["study={study}/nowhere"], "nowhere: no finished runs there"),
        (["study={study}", "arch=3"], "arch: no such key; "),
    ],
)
def test_bad_input(
    small_study: Path,
    arguments: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(monkeypatch, *(a.format(study=small_study) for a in arguments)) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert reason in err


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "hidden_size: 8",
            "hidden_size: 9",
            "child.hidden_size=9: arm=random,seed=1 has it, but arm=lstm,seed=0 has ",
        ),
        (
            "num_nodes: 3",
            "num_nodes: 4",
            "search_space.num_nodes=4: arm=random,seed=1 has it, but arm=lstm",
        ),
    ],
)
def test_runs_that_cannot_be_compared(
    study: Path,
    old: str,
    new: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = study / "arm=random,seed=1" / "config.yaml"
    config.write_text(config.read_text().replace(old, new))
    config.with_name("stretches.jsonl").unlink()  # which would tell that it was edited
    assert refused(monkeypatch, f"study={study}") == 2
    assert reason in capsys.readouterr().err
    assert not (study / RECORD).exists()


def test_the_record_is_plain_json(evaluated: tuple[Path, str]) -> None:
    study, _ = evaluated
    for line in (study / RECORD).read_text().splitlines():
        row = json.loads(line)
        assert len(row["losses"]) == len(row["counts"]) == len(row["uncalibrated"])
