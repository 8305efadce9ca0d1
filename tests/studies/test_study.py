"""The numbers of a study, from folders written by hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from nas_lightning.assembly.composition import slug
from nas_lightning.errors import UserError
from nas_lightning.metrics import Metric
from nas_lightning.studies.study import finished_study
from nas_lightning.studies.table import means, write_numbers
from tests.processes import Command
from tests.shell import Shell
from tests.written_runs import CONFIG

ROOT = Path(__file__).parents[2]


def write_run(folder: Path, *, done: bool = True, **values: list[float]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "ledger.jsonl").touch()
    rows = [f"0,{epoch},0,0,0,{n},{v}" for n, vs in values.items() for epoch, v in enumerate(vs)]
    header = "time,epoch,child_step,controller_step,architectures_judged,name,value"
    (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
    if done:
        (folder / "DONE").touch()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_run(tmp_path / "arm=lstm,seed=0", reward=[0.0, 1.0], own=[2.0, 7.0])
    write_run(tmp_path / "arm=lstm,seed=1", reward=[0.0, 3.0], own=[5.0])
    write_run(tmp_path / "arm=random,seed=0", reward=[0.5])
    write_run(tmp_path / "arm=random,seed=1", reward=[9.0], done=False)
    return tmp_path


def test_last_values_of_finished_runs(study: Path) -> None:
    runs = finished_study(study).finished
    assert [(run.arm, run.seed) for run in runs] == [("lstm", 0), ("lstm", 1), ("random", 0)]
    assert [run.at_end["reward"] for run in runs] == [1.0, 3.0, 0.5]


def test_mean_and_spread(study: Path) -> None:
    assert means(finished_study(study).finished, ["reward", "none", "own"]).splitlines() == [
        "| mean over seeds | lstm | random |",
        "|---|---:|---:|",
        "| seeds | 2 | 1 |",
        "| reward | 2 ± 1.4 | 0.5 |",
        "| own | 7 (1 of 2) | – |",
    ]


def test_a_row_a_run(study: Path) -> None:
    write_numbers(finished_study(study).finished, ["reward", "own"], study / "numbers.csv")
    assert (study / "numbers.csv").read_text().splitlines() == [
        "arm,seed,reward,own",
        "lstm,0,1,7",
        "lstm,1,3,",
        "random,0,0.5,",
    ]


def test_what_is_undefined_is_left_out(tmp_path: Path) -> None:
    for seed, value in enumerate((float("nan"), 1.0, float("inf"), 3.0)):
        write_run(tmp_path / f"arm=a,seed={seed}", ratio=[value])
    assert "| ratio | 2 ± 1.4 (2 of 4) |" in means(finished_study(tmp_path).finished, ["ratio"])


def test_other_settings_are_other_arms(tmp_path: Path) -> None:
    """Folders named as a multirun names them by itself; what all share is left out."""
    for epochs, digest in ((5, "0123abcd"), (50, "4567abcd")):
        write_run(tmp_path / f"controller=lstm,seed=3,max_epochs={epochs}-{digest}", reward=[1.0])
    runs = finished_study(tmp_path).finished
    assert [(run.arm, run.seed) for run in runs] == [
        ("max_epochs=5", 3),
        ("max_epochs=50", 3),
    ]


def test_a_name_that_was_cut_does_not_tell(tmp_path: Path) -> None:
    """What stood behind may be the seed, or its last digit: the configurations tell."""
    long = f"a={'x' * 111},seed=1"
    for seed, lr in ((11, 0.1), (12, 0.1), (12, 0.2)):
        name = slug(f"a={'x' * 111},seed={seed},lr={lr}")
        assert name.startswith(f"{long}-")
        write_run(tmp_path / name, reward=[1.0])
        config = {"seed": seed, "controller": {"lr": lr}, "trainer": {"max_epochs": 1}}
        (tmp_path / name / "config.yaml").write_text(OmegaConf.to_yaml(config))
    (tmp_path / "broken").mkdir()
    shutil.copytree(tmp_path / name, tmp_path / "damaged")
    (tmp_path / "damaged/config.yaml").write_text("{")
    runs = finished_study(tmp_path).finished
    assert [(run.arm, run.seed) for run in runs] == [("lr=0.1", 11), ("lr=0.1", 12), ("lr=0.2", 12)]


def test_runs_of_single_commands(tmp_path: Path) -> None:
    """Named by their time; beside runs of a multirun they are left out."""
    for seed in (0, 1):
        write_run(tmp_path / f"2026-01-0{seed + 1}_10-00-00", reward=[1.0])
        config = OmegaConf.to_yaml({"seed": seed})
        (tmp_path / f"2026-01-0{seed + 1}_10-00-00/config.yaml").write_text(config)
    assert [(run.arm, run.seed) for run in finished_study(tmp_path).finished] == [
        ("all", 0),
        ("all", 1),
    ]
    write_run(tmp_path / "arm=lstm,seed=3", reward=[1.0])
    assert [(run.arm, run.seed) for run in finished_study(tmp_path).finished] == [("lstm", 3)]
    assert len(finished_study(tmp_path).left_out) == 2


def test_random_search_has_one_name(tmp_path: Path) -> None:
    """However it was chosen, or there would be nothing to compare the others with."""
    for arm in ("controller=lstm", "controller=random"):
        write_run(tmp_path / f"budget=smoke,{arm},seed=0,study=mine-0123abcd", reward=[1.0])
    assert [run.arm for run in finished_study(tmp_path).finished] == ["lstm", "random"]


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished runs there"):
        finished_study(tmp_path)


def test_the_command(study: Path, shell: Shell) -> None:
    """The script once as it is typed, and its refusals."""
    typed = [sys.executable, str(ROOT / "scripts/study_table.py"), "study=.", "metrics=[reward]"]
    ended = subprocess.run(typed, cwd=study, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "| reward | 2 ± 1.4 | 0.5 |" in ended.stdout
    assert (study / "numbers.csv").is_file()
    for wrong, says in (
        (["study=nowhere"], "no finished runs"),
        (["study=.", "metrics=[rewrd]"], "rewrd"),
        (["studi=."], "studi"),
        ([], "study"),
    ):
        refused = shell.run(Command(wrong, study, module="nas_lightning.commands.study_table"))
        assert refused.code == 2, wrong
        assert says in refused.err
        lines = [line for line in refused.err.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1


@pytest.mark.parametrize(("direction", "first"), [("less", "slow"), ("more", "fast")])
def test_arms_are_ranked_by_the_objective(tmp_path: Path, direction: str, first: str) -> None:
    for arm, speed in (("fast", 2.0), ("none", float("nan")), ("slow", 1.0)):
        values: dict[str, Any] = {"derive/best_speed": [speed], "x": [0.0]}
        write_run(tmp_path / f"arm={arm},seed=0", **values)
    best = Metric(name="speed", unit="m/s", direction=direction)  # type: ignore[arg-type]
    header, _, *rows = means(finished_study(tmp_path).finished, ["x"], best).splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| seeds", "| best speed (m/s)", "| x"]
    arms = header.strip("| ").split(" | ")[1:]
    assert (arms[0], arms[-1]) == (first, "none")
