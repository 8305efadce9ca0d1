"""The command that trains every architecture of a space, as a process: killed, and repeated."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.commands.ground_truth import every_architecture, some_of
from nas_lightning.estimators.table_file import read_table
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace
from tests.processes import Command, Ended, Kill, run
from tests.shell import Shell

MODULE = "nas_lightning.commands.ground_truth"
SPACE = RecurrentCellSpace(num_nodes=2, activations=["tanh", "relu", "sigmoid"])
TINY = (
    "search_space.num_nodes=2",
    "search_space.activations=[tanh,relu,sigmoid]",
    "child.hidden_size=4",
    "data=text",
    "data.source.path=text.zip",
    "data.batch_size=4",
    "data.evaluation_batch_size=4",
    "data.sequence_length=8",
    "data.vocabulary_size=30",
    "estimator.training.epochs=1",
    "estimator.copies=2",
    "executor.workers=1",
    "folder=kept",
    "output=table.csv",
)
"""Nine cells on a text of 900 words."""


COLUMN = "loss (nats per target) | text validation | 1 epoch | seed "


def losses_in(folder: Path) -> dict[tuple[int, ...], list[float]]:
    """What the table there holds."""
    table = read_table(folder / "table.csv", SPACE)
    return table.rows(table.column("loss", "text validation", "1 epoch"))


def write_text(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "text.zip", "w") as archive:
        for split in ("train", "valid", "test"):
            words = " ".join(f"w{i * i % 29}" for i in range(900))
            archive.writestr(f"{split}.txt", f"{words}\n")


def call(
    folder: Path, *arguments: str, kill: Kill | None = None, by: Callable[[Command], Ended] = run
) -> tuple[int, str, str]:
    """The command, as a fork."""
    write_text(folder)
    threads = {"OMP_NUM_THREADS": "1"}
    ended = by(Command((*TINY, *arguments), folder, threads, kill, module=MODULE))
    return ended.code, ended.out, ended.err


def children(folder: Path, seed: int) -> list[tuple[int, ...]]:
    """The architectures on record, in the order in which they finished."""
    path = folder / f"kept/seed-{seed}/children.jsonl"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [tuple(json.loads(line)["actions"]) for line in lines]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of an undisturbed call, and what it printed; read only."""
    folder = tmp_path_factory.mktemp("ground_truth") / "here"
    code, out, err = call(folder)
    assert code == 0, err
    return folder, out


def test_the_table_is_one_of_its_space(made: tuple[Path, str]) -> None:
    folder, _ = made
    rows = losses_in(folder)
    assert list(rows) == every_architecture(SPACE)
    assert all(len(set(losses)) == 2 for losses in rows.values()), "seeds make no difference"
    for seed in (0, 1):
        assert sorted(children(folder, seed)) == sorted(rows)


def test_what_is_printed(made: tuple[Path, str]) -> None:
    folder, out = made
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        means = [
            (float(row[COLUMN + "0"]) + float(row[COLUMN + "1"])) / 2
            for row in csv.DictReader(file)
        ]
    assert "architectures  9" in out
    assert f"best           {min(means):.4f}" in out
    assert "between seeds 0 and 1" in out
    assert f"    1  {sum(means) / 9:.4f}" in out
    assert "    8  " in out
    assert "   16  " not in out


def test_killed_and_repeated(made: tuple[Path, str], tmp_path: Path) -> None:
    """The same table, and what had finished is kept."""
    killed, _, _ = call(tmp_path, kill=Kill(0, 1, "child"))
    assert killed == -signal.SIGKILL
    before = children(tmp_path, 0)
    assert before
    assert not (tmp_path / "table.csv").exists()
    code, _, err = call(tmp_path)
    assert code == 0, err
    folder, _ = made
    assert (tmp_path / "table.csv").read_bytes() == (folder / "table.csv").read_bytes()
    after = children(tmp_path, 0)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == SPACE.size


def test_a_finished_child_is_not_trained_again(made: tuple[Path, str], tmp_path: Path) -> None:
    """A number that no training would give is planted in the record, and served from there."""
    shutil.copytree(made[0] / "kept", tmp_path / "kept")
    record = tmp_path / "kept/seed-1/children.jsonl"
    rows = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    rows[4]["history"]["loss"] = [0.125]
    record.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, _, err = call(tmp_path, f"data.source.path={made[0] / 'text.zip'}")
    assert code == 0, err
    losses = losses_in(tmp_path)
    assert losses.pop(tuple(rows[4]["actions"]))[1] == 0.125
    undisturbed = losses_in(made[0])
    assert all(undisturbed[actions] == values for actions, values in losses.items())


def test_some_are_drawn(made: tuple[Path, str], tmp_path: Path) -> None:
    """The same ones in every folder; what the record knows is served from it."""
    shutil.copytree(made[0] / "kept", tmp_path / "kept")
    code, out, err = call(tmp_path, "drawn=4", f"data.source.path={made[0] / 'text.zip'}")
    assert code == 0, err
    assert "architectures  4" in out
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    with (made[0] / "table.csv").open(encoding="utf-8", newline="") as file:
        every = [tuple(row.values()) for row in csv.DictReader(file)]
    assert [row for row in every if row in rows] == rows
    assert some_of(every_architecture(SPACE), 4) == [
        every_architecture(SPACE)[every.index(row)] for row in rows
    ]
    assert some_of(every_architecture(SPACE), 9) == every_architecture(SPACE)


def test_children_of_other_settings_are_not_mixed(made: tuple[Path, str], shell: Shell) -> None:
    folder, _ = made
    code, out, err = call(folder, "child.hidden_size=5", by=shell.run)
    assert (code, out) == (2, "")
    assert err == (
        "error: child.hidden_size=5: the children in kept/seed-0 have child.hidden_size=4; give "
        "the value they have, or another folder=…\n"
    )


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("seeds=3", "seeds=3 is not allowed: must be a list such as [0,1]"),
        ("seeds=[]", "seeds=[] is not allowed: must be a list such as [0,1]"),
        ("search_space.num_nodes=9", "search_space: has "),
        ("drawn=10", "drawn=10 is not allowed: must be a whole number from 2 to 9, all that"),
        ("drawn=1", "drawn=1 is not allowed: must be a whole number from 2 to 9, all that"),
        ("sed=3", "sed"),
    ],
)
def test_a_wrong_argument_ends_in_one_line(
    tmp_path: Path, argument: str, said: str, shell: Shell
) -> None:
    code, out, err = call(tmp_path, argument, by=shell.run)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1
    assert not (tmp_path / "kept").exists()
