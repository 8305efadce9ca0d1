"""A study's plan: written before the first run, by the command that will run it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nas_lightning.analysis.power import power
from nas_lightning.analysis.several import simultaneous
from nas_lightning.commands import train
from nas_lightning.commands.planning import plan
from nas_lightning.errors import UserError
from nas_lightning.studies.plan import read_plan
from tests.written_runs import simulate, write_run

SCRATCH = ["-m", "experiment=nas_fashion_mnist_small", "arm=lstm,reconstruction,random"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_arms_and_seeds_of_an_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stand in its sweep; what is given on the command line has the last word."""
    command = ["-m", "experiment=study", "seed=range(3)", "plan=true", "plan.margin=0.02"]
    monkeypatch.setattr(sys, "argv", ["train.py", *command])
    train.main()
    assert "written    outputs/study/plan.json" in capsys.readouterr().out
    found = read_plan(tmp_path / "outputs/study")
    assert found is not None
    assert (found.arms, found.seeds) == (["lstm", "random", "reconstruction"], [0, 1, 2])
    assert (found.question, found.margin) == ("loss under common weights", 0.02)
    write_run(tmp_path / "outputs/study/arm=lstm,seed=0")
    with pytest.raises(UserError, match="has begun, and a plan is made before the first run"):
        plan(command)


def test_seeds_from_a_pilot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many as show the difference with 80 %, for both contenders at once, and no fewer."""
    simulate(tmp_path / "pilot", {"lstm": (0.0, 0.004)}, seeds=5)
    wanted = ["seed=0,1,2", "study=x/y", "plan=true", "plan.difference=0.004", "plan.pilot=pilot"]
    plan([*SCRATCH, *wanted])
    found = read_plan(tmp_path / "outputs/x/y")
    assert found is not None
    assert found.deviation is not None
    assert found.seeds_needed is not None
    level, n = simultaneous(2), found.seeds_needed
    assert power(0.004, found.deviation, n, level) >= 0.8
    assert power(0.004, found.deviation, n - 1, level) < 0.8
    told = capsys.readouterr()
    assert f"needed     {n} seeds, to show 0.004 with 80 % probability" in told.out
    assert told.err == "note: 3 seeds are fewer than that\n"
    assert found.question == "best child"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["plan.margin=-1"], "plan.margin=-1 is not allowed: must be a number above 0"),
        (["plan.margn=1"], "margn: no such key"),
        (["plan.question=loss under common weights"], "must be best child or mean proposal"),
        (["plan.difference=1"], "plan.difference and plan.pilot go together"),
        (["plan.pilot=nowhere", "plan.difference=1"], "nowhere: no finished runs there"),
    ],
)
def test_what_is_no_plan(more: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        plan([*SCRATCH, "seed=0,1", "plan=true", *more])
    assert not Path("outputs").exists()


def test_one_arm_is_no_study() -> None:
    with pytest.raises(UserError, match="compares several arms over several seeds"):
        plan(["-m", "seed=0,1", "plan=true"])
