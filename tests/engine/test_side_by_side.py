"""Architectures judged by several processes: the same search, to the last bit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.assembly.run import quiet_lightning
from nas_lightning.assembly.search import build
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.estimators.forks import Forks
from tests.given import composed
from tests.processes import TINY, UNSEEN

# So large that cells are scored one by one.
SEARCH = (*TINY, *UNSEEN, "child.hidden_size=32")


def searched(folder: Path, processes: int) -> ArchitectureSearch:
    folder.mkdir()
    quiet_lightning()
    trainer, search = build(composed(*SEARCH), folder)
    search.estimator.processes = processes
    try:
        trainer.fit(search)
    finally:
        search.metrics.close()
        search.ledger.close()
        search.estimator.close()
    return search


@pytest.mark.skipif(sys.platform != "linux", reason="only there is anything forked")
def test_the_search_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    fork = Forks._fork

    def counted(self: Forks[Any, Any, Any], todo: int) -> None:
        made.append(todo)
        fork(self, todo)

    monkeypatch.setattr(Forks, "_fork", counted)
    one = searched(tmp_path / "one", 1)
    assert not made
    three = searched(tmp_path / "three", 3)
    # Two epochs: after each one's training there are new ones, with the new weights.
    assert len(made) == 2 * 2
    assert (tmp_path / "one/ledger.jsonl").read_bytes() == (
        tmp_path / "three/ledger.jsonl"
    ).read_bytes()
    for (name, value), (_, other) in zip(
        one.state_dict().items(), three.state_dict().items(), strict=True
    ):
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other), name
