"""The searches that are disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.processes import CNN, TINY

ARMS = {
    "rnn, reconstruction": (
        *TINY,
        "arm=reconstruction",
        "memory.warmup=20",
        "callbacks.checkpoint.every_seconds=0",
    ),
    "rnn, replay": (*TINY, "arm=replay"),
    "rnn, random": (*TINY, "controller=random"),
    "cnn, replay": (*CNN, "arm=replay", "executor.workers=1"),
    "cnn, random": (*CNN, "controller=random", "executor.workers=1"),
}
"""Both spaces, controllers that learn and one that does not, two memories."""

Undisturbed = Callable[[str], tuple[Path, float]]
