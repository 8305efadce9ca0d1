"""Memory that grows is told from memory that goes up and down."""

from __future__ import annotations

import random

import torch

from benchmarks.steady import allocated, drift, resident, watched
from tests.given import composed
from tests.processes import TINY


def test_a_drift_is_found_among_jumps() -> None:
    """Jumps stay for a hundred steps; the warm-up, which is steeper, does not count."""
    draw = random.Random(0)
    jumps = [draw.choice([0, 500]) for _ in range(100)]
    flat = [10_000 + jumps[i // 100] for i in range(10_000)]
    gain, lowest, highest = drift(flat)
    assert lowest < 0 < highest
    growing = [size + i + 9 * min(i, 2_000) for i, size in enumerate(flat)]
    gain, lowest, highest = drift(growing)
    assert 0.9 < lowest < gain < highest < 1.1


def test_what_is_given_is_seen() -> None:
    before = resident(), allocated()
    held = torch.ones(12_500_000)
    assert 45e6 < resident() - before[0] < 60e6
    assert 49e6 < allocated() - before[1] < 51e6
    del held
    assert allocated() - before[1] < 1e6


def test_a_run_is_watched_after_every_epoch() -> None:
    cfg = composed(*TINY)
    sizes = watched(cfg)
    assert len(sizes) == 2
    assert min(sizes) > 1e7
