"""Killed and entered again, a search by gradient comes to the same end, on every kind of space.

On darts_rnn `test_resume.py` asks it of the first order. That of each run its page shows the
weights is asked here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.given import choosing
from tests.processes import UNSEEN, Kill, differing, train

FEW = "data.train_limit=64"
SPACES = {
    "nas_bench_201": (*choosing("nas_bench_201"), "child.affine=false", FEW),
    "modules": (*choosing("modules"), "data=digits", FEW),
    "darts_rnn": choosing("darts_rnn"),
}
CONTROLLERS = {
    "darts": ("controller=darts",),
    "second order": ("controller=darts", "controller.order=2"),
    "gdas": ("controller=gdas",),
    "drnas": ("controller=drnas",),
}
QUICK = (("gdas", "nas_bench_201"), ("second order", "modules"))
"""Of the pairs those that are asked without being asked for."""


@pytest.mark.parametrize(
    ("controller", "space"),
    [
        pytest.param(c, s, id=f"{c}-{s}", marks=() if (c, s) in QUICK else pytest.mark.slow)
        for c in CONTROLLERS
        for s in SPACES
    ],
)
def test_killed_and_resumed(controller: str, space: str, tmp_path: Path) -> None:
    start = (
        "experiment=smoke",
        "logger=csv",
        "threads=1",
        "estimator=weight_sharing",
        *SPACES[space],
        *CONTROLLERS[controller],
        "controller.early_stop.measurements=2",
        "callbacks.checkpoint.every_seconds=0",
        *UNSEEN,
        "hydra.run.dir=run",
    )
    whole = train(tmp_path / "whole", *start)
    assert whole.code == 0, whole
    for arguments, kill in ((start, Kill(0, 3, "step")), (("resume=run",), Kill(1, 2, "saved"))):
        killed = train(tmp_path / "here", *arguments, kill=kill)
        assert killed.code == -kill.by, killed
    ended = train(tmp_path / "here", "resume=run", page=True)
    assert ended.code == 0, ended
    assert differing(tmp_path / "here/run", tmp_path / "whole/run") == []
    page = (tmp_path / "here/run/report.html").read_text(encoding="utf-8")
    for shown in ("Entropy of the weights", "eigenvalue", "skip"):
        assert shown.lower() in page.lower(), shown
