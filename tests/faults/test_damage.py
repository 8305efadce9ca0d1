"""What the disk gives back is not what was written: it is said, and the one before is used."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.arms import Undisturbed
from tests.processes import differing, train

ARM = "rnn, replay"

pytestmark = pytest.mark.timeout(900)


def flip(path: Path, draw: random.Random, share: float) -> None:
    """Change bits of a file between `share` of its length and a little further."""
    content = bytearray(path.read_bytes())
    first = int(share * len(content))
    for place in range(first, first + 200):  # more than the padding between two tensors
        content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


@pytest.mark.faults(row="last checkpoint damaged")
@pytest.mark.parametrize("number", range(6))
def test_a_damaged_checkpoint(number: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    whole, _ = undisturbed(ARM)
    folder = shutil.copytree(whole, tmp_path / "here/run")
    (folder / "DONE").unlink()
    draw = random.Random(number)
    flip(folder / "checkpoints/last.ckpt", draw, draw.uniform(0.01, 0.95))
    ended = train(folder.parent, "resume=run")
    assert ended.code == 0, ended
    assert ended.err.startswith(f"{folder}/checkpoints/last.ckpt is damaged: going on from prev")
    assert differing(folder, whole) == []


@pytest.mark.faults(row="ledger or metrics shorter than the checkpoint knows")
@pytest.mark.parametrize("name", ["ledger.jsonl", "metrics.csv"])
@pytest.mark.parametrize("lost", [1, 30])
def test_missing_rows(name: str, lost: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    whole, _ = undisturbed(ARM)
    folder = shutil.copytree(whole, tmp_path / "here/run")
    (folder / "DONE").unlink()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-lost])
    ended = train(folder.parent, "resume=run")
    assert ended.code == 0, ended
    size = len(content)
    said = f"last.ckpt knows of {size} bytes of {name}, which has {size - lost}: going on from prev"
    assert said in ended.err.splitlines()[0]
    assert differing(folder, whole) == []
