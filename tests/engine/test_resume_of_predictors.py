"""Killed and entered again, a search that fits predictors comes to the same end, to the last bit.

Nothing fitted is in its checkpoint: it is fitted again, on what was told, with the seed of then.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import TINY, UNSEEN, Kill, differing, train

FEW_EPOCHS = ("controller.predictor.member.epochs=3",)
SMALL = {
    "pnas": ("controller.kept=2", "controller.first=2", "controller.held_out=0", *FEW_EPOCHS),
    "predictor": (
        "controller/predictor=ensemble_mlp",
        "controller.initial=2",
        "controller.held_out=0",
        "controller.acquisition=thompson",
        *FEW_EPOCHS,
    ),
    "optuna": ("controller.sampler.n_startup_trials=2",),
}


@pytest.mark.parametrize("controller", SMALL)
def test_killed_and_resumed(controller: str, tmp_path: Path) -> None:
    """Among the controller's steps, of which an epoch's are 5 to 7."""
    every = "callbacks.checkpoint.every_seconds=0"
    start = (
        *TINY,
        *UNSEEN,
        f"controller={controller}",
        *SMALL[controller],
        every,
        "hydra.run.dir=run",
    )
    whole = train(tmp_path / "whole", *start)
    assert whole.code == 0, whole
    for arguments, kill in ((start, Kill(0, 6, "step")), (("resume=run",), Kill(1, 6, "saved"))):
        assert train(tmp_path / "here", *arguments, kill=kill).code == -kill.by
    ended = train(tmp_path / "here", "resume=run")
    assert ended.code == 0, ended
    assert differing(tmp_path / "here/run", tmp_path / "whole/run") == []
