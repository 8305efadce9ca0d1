"""What docs/how-to-own-model.md says is done: its files are written, and its commands are run."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.ledger_rows import ledger_rows
from tests.processes import UNSEEN, Command, Ended, train_all

TEXT = (Path(__file__).parents[1] / "docs/how-to-own-model.md").read_text(encoding="utf-8")
SMALL = (
    *("budget=smoke", "logger=csv", "threads=1", "controller=random", "trainer.max_epochs=1"),
    *("search.architectures_per_step=3", "search.candidates=3", "search.uniform_candidates=2"),
    *UNSEEN,
)


def find_them() -> None:
    """What PYTHONPATH=. does for a process that begins."""
    sys.path.insert(0, ".")


def commands() -> list[list[str]]:
    """The arguments of every command."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    words = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert all(line[:3] == ["PYTHONPATH=.", "python", "train.py"] for line in words)
    return [line[3:] for line in words]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Ended, Path]]:
    """All commands at small sizes."""
    folder = tmp_path_factory.mktemp("own") / "here"
    folder.mkdir()
    files = re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(files) == 4
    for name, code in files:
        (folder / name).write_text(code, encoding="utf-8")
    runs = [folder / f"run{number}" for number in range(len(commands()))]
    called = [
        Command((*given, *SMALL, f"hydra.run.dir={run.name}"), folder, prepare=find_them)
        for given, run in zip(commands(), runs, strict=True)
    ]
    return list(zip(train_all(called), runs, strict=True))


def test_every_command_finds_an_architecture(ended: list[tuple[Ended, Path]]) -> None:
    assert len(ended) == 5
    for one, folder in ended:
        assert one.code == 0, one
        assert (folder / "report.html").exists()
    shared, scratch, dataset, built, judged = (
        json.loads((folder / "best_architecture.json").read_text()) for _, folder in ended
    )
    names = {"blocks", *(f"blocks[{n}].operation" for n in range(3)), "pool"}
    assert shared["decisions"].keys() == scratch["decisions"].keys() == names
    assert (shared["kind"], scratch["kind"], dataset["kind"]) == ("shared", "proxy", "shared")
    assert built["decisions"].keys() == {"width", "activation"}
    assert judged["metrics"]["size"] == (64 + 1) * 16 + (16 + 1) * 10, "the least of all"


def test_the_table_is_said_before_anything_is_trained(ended: list[tuple[Ended, Path]]) -> None:
    shown = re.search(r"^5 decisions, \d+ architectures$", TEXT, re.MULTILINE)
    assert shown is not None
    for one, _ in ended[:3]:
        lines = one.err.splitlines()
        assert lines[0] == shown[0]
        assert lines[2].strip() == "blocks[0].operation: 3x3 | 5x5 | skip"
        epoch = next(n for n, line in enumerate(lines) if line.startswith("epoch 1/"))
        assert "largest" in [line.split()[0] for line in lines[:epoch]]


def test_what_was_held_out_is_written_down(ended: list[tuple[Ended, Path]]) -> None:
    described = json.loads((ended[2][1] / "data.json").read_text())
    assert described["examples"]["validation"] == described["examples"]["test"] == 200
    assert described["held out"] == "test by split_seed=0, validation by split_seed=0"


def test_closed_decisions_are_zero_in_the_ledger(ended: list[tuple[Ended, Path]]) -> None:
    for _, folder in ended[:3]:
        ledger = ledger_rows(folder / "ledger.jsonl")
        assert ledger
        for depth, *rest in (row["actions"] for row in ledger):
            assert not any(rest[depth + 1 : 3]), "of the blocks that are not there"
