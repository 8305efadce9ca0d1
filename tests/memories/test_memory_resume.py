"""Killed at any moment and entered again, a run with a memory comes to the same end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.processes import TINY, UNSEEN, Kill, differing, train

# An epoch: steps 1 to 4 child, 5 to 7 controller, 8 derivation. Saved after every step.
SETTINGS = (*TINY, *UNSEEN, "callbacks.checkpoint.every_seconds=0")
ARMS = {
    # Full within the first epoch, so that the second replaces some.
    "replay": ("memory=replay", "memory.capacity=100"),
    "reconstruction": ("memory=reconstruction", "memory.warmup=20"),
}
KILLS = [Kill(0, 6, "step"), Kill(0, 8, "saved"), Kill(1, 6, "saving")]


@pytest.mark.parametrize("arm", ARMS)
def test_killed_again_and_again(arm: str, tmp_path: Path) -> None:
    here, settings = tmp_path / "here", (*SETTINGS, *ARMS[arm])
    assert train(here, *settings, "hydra.run.dir=whole").code == 0
    for number, kill in enumerate(KILLS):
        arguments = ("resume=run",) if number else (*settings, "hydra.run.dir=run")
        assert train(here, *arguments, kill=kill).code < 0
    ended = train(here, "resume=run")
    assert ended.code == 0, ended
    assert "epoch 1/2" not in ended.err, "it has begun anew"
    assert differing(here / "run", here / "whole") == []

    checkpoint = torch.load(here / "run/checkpoints/last.ckpt", weights_only=True)
    state = checkpoint["state_dict"]
    assert "memory@cpu" in checkpoint["search"]["generators"]
    if arm == "replay":
        assert int(state["memory.buffer.count"]) == 100
        assert len(state["memory.buffer.rows"].unique(dim=0)) > 20
    else:
        moments = checkpoint["optimizer_states"][1]["state"]
        shapes = [moment["exp_avg"].shape for moment in moments.values()]
        assert state["memory.decoder.weight"].shape in shapes
