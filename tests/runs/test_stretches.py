"""A stretch's record names the commit of the program that has searched."""

from __future__ import annotations

import subprocess
from pathlib import Path

from nas_lightning.runs.stretches import commit

ROOT = Path(__file__).parents[2]


def test_the_commit_is_that_of_the_checkout() -> None:
    """None outside one, like an unpacked archive."""
    if not (ROOT / ".git").exists():
        assert commit() is None
        return
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    assert str(commit()).removesuffix("-dirty") == head
