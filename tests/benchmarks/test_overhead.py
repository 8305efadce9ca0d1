"""The bare loop is the same search."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from benchmarks.overhead import BareLoop, Turns, in_turn
from nas_lightning.callbacks.analysis import Analysis
from nas_lightning.engine import ArchitectureSearch
from tests.given import composed
from tests.processes import TINY


@pytest.mark.slow
def test_the_bare_loop_comes_to_the_same_weights(tmp_path: Path) -> None:
    """And the same best architecture, after as many epochs, without a file."""
    cfg = composed(*TINY, "trainer.max_epochs=3")
    turns = in_turn(cfg, tmp_path)
    search, bare = turns.search, turns.bare.parts
    assert search is not bare
    for side in ("estimator", "controller"):
        ours, plain = getattr(search, side).state_dict(), getattr(bare, side).state_dict()
        assert list(ours) == list(plain)
        torch.testing.assert_close(ours, plain, rtol=0, atol=0)
    assert search.incumbent is not None
    assert turns.bare.best == (
        search.incumbent["actions"],
        search.incumbent["metrics"]["perplexity"],
    )
    assert [0 < epoch.looks < epoch.run for epoch in turns.epochs] == [True] * 3
    assert not any(bare.counters.values())


def test_the_clocks_stand_still_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch of the run takes 5, 2 of them a look, of the bare loop 3; the run's end takes 1."""
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)

    def pass_by(seconds: float) -> None:
        nonlocal now
        now += seconds

    class Bare(BareLoop):
        parts = cast(ArchitectureSearch, None)

        def __init__(self) -> None: ...

        def epoch(self) -> None:
            pass_by(3)

    class Look(Analysis):
        def __init__(self) -> None: ...

        def look(self, search: ArchitectureSearch, folder: Path) -> None:
            pass_by(2)

    bare = Bare()
    turns = Turns(bare.parts, bare)
    analysis = Look()
    turns.time_looks(analysis)
    for _ in range(2):
        pass_by(3)
        analysis.look(bare.parts, Path())
        turns.on_train_epoch_end()
    pass_by(1)
    turns.close()
    assert turns.epochs == [(5, 2, 3), (6, 2, 3)]
