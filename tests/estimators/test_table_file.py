"""What a table's columns say: metric, data, budget and seed; which is searched; refusals."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.estimators.table import Table
from nas_lightning.estimators.table_file import SHIPPED, read_table
from nas_lightning.metrics import measuring
from nas_lightning.rewards import AccuracyPower
from nas_lightning.search_spaces.nas_bench_201 import CellSpace
from nas_lightning.search_spaces.nas_bench_201.space import OPERATIONS

SPACE = CellSpace(operations=["skip_connect", "nor_conv_3x3"])
WORDS = [SPACE.word(actions) for actions in SPACE.architectures().tolist()]
ACCURACY = "accuracy (percent) | cifar10 validation"
HEADER = [
    "architecture",
    f"{ACCURACY} | 12 epochs | seed 7",
    f"{ACCURACY} | 12 epochs | seed 8",
    f"{ACCURACY} | 200 epochs",
    "accuracy (percent) | cifar10 test | 12 epochs",
    '"latency (ms, less) | one GPU | no training"',
]


def row(n: int) -> list[str]:
    return [WORDS[n], str(n), str(n + 1), str(100 - n), str(2 * n), str(n * n)]


def written(folder: Path, lines: list[list[str]], header: list[str] = HEADER) -> Path:
    path = folder / "table.csv.gz"
    text = "\n".join(",".join(line) for line in [header, *lines]) + "\n"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def table(path: Path, **keys: Any) -> Table:
    given = {"objective": "accuracy", "data_set": "cifar10 validation", "budget": "12 epochs"}
    return Table(
        space=SPACE, path=str(path), shipped="enas_rnn_3", controller_steps=1, **(given | keys)
    )


ROWS = [row(n) for n in range(64)]


def test_the_column_asked_for_is_searched_and_the_others_stand_beside(tmp_path: Path) -> None:
    """In any order of rows; the mean is over seeds, regret of what is searched alone."""
    made = table(written(tmp_path, ROWS[::-1]))
    found = made.evaluate(SPACE.architectures()[[3, 60]], [])
    assert {name: values.tolist() for name, values in found.metrics.items()} == {
        "accuracy_after_12_epochs": [3.5, 60.5],
        "regret_after_12_epochs": [60, 3],
        "accuracy_after_200_epochs_on_cifar10_validation": [97, 40],
        "accuracy_after_12_epochs_on_cifar10_test": [6, 120],
        "latency_after_no_training_on_one_GPU": [9, 3600],
    }
    labels = {metric.name: metric.label() for metric in made.metrics}
    assert labels["accuracy_after_12_epochs"] == (
        "accuracy-after-12-epochs (percent on cifar10 validation)"
    )
    assert {metric.name: metric.direction for metric in made.metrics}[
        "latency_after_no_training_on_one_GPU"
    ] == "less"
    assert AccuracyPower(power=2)(found).tolist() == [3.5**2, 60.5**2]
    longer = table(tmp_path / "table.csv.gz", budget="200 epochs")
    assert longer.objective.name == "accuracy_after_200_epochs"
    assert longer.evaluate(SPACE.architectures()[:1], []).of("regret").tolist() == [0]


def test_quantities_are_found_by_name() -> None:
    names = ["loss", "accuracy_after_12_epochs", "accuracy_after_2_epochs"]
    assert measuring("loss", names) == "loss"
    assert measuring("accuracy", names) == "accuracy_after_12_epochs"
    assert measuring("accur", names) is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"objective": "loss"},
            "objective='loss' is not allowed: must be accuracy or latency, as ",
        ),
        (
            {"data_set": "cifar100"},
            "data_set='cifar100' is not allowed: must be cifar10 validation",
        ),
        (
            {"data_set": None},
            "data_set=None is not allowed: must be cifar10 validation or cifar10 ",
        ),
        ({"budget": "90 epochs"}, "must be 12 epochs or 200 epochs, as the table has it"),
        ({"budget": None}, "budget=None is not allowed: must be 12 epochs or 200 epochs"),
        (
            {"shipped": "mine"},
            "shipped='mine' is not allowed: must be enas_rnn_3 or enas_rnn_4 or nas_bench",
        ),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    path = written(tmp_path, ROWS)
    with pytest.raises(ValueError, match="is not allowed") as refused:
        Table(
            **{
                "space": SPACE,
                "path": str(path),
                "shipped": "enas_rnn_3",
                "controller_steps": 1,
                "objective": "accuracy",
                "data_set": "cifar10 validation",
                "budget": "12 epochs",
                **keys,
            }
        )
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


OTHER = CellSpace(operations=OPERATIONS).word([4] * 6)


@pytest.mark.parametrize(
    ("lines", "header", "said"),
    [
        (ROWS[:9] + ROWS[10:], HEADER, f"63 of the space's 64 .* missing is {WORDS[9]}"),
        ([*ROWS[:63], [OTHER, *ROWS[63][1:]]], HEADER, f"row 64: architecture={OTHER} is none of"),
        (
            [*ROWS, ROWS[0]],
            HEADER,
            "row 65: the same architecture stands in row 1, so .* two values",
        ),
        ([*ROWS[:63], [*ROWS[63][:5], ""]], HEADER, "row 64: latency .*='' is not a finite number"),
        (ROWS, [*HEADER[:2], HEADER[1], *HEADER[3:]], "two columns are called .*seed 7'"),
        (
            ROWS,
            [*HEADER[:5], "latency (ms) | one GPU | none"],
            "which way is better; write latency",
        ),
        (ROWS, ["cell", *HEADER[1:]], "0 columns are called 'edge 0 to 1'"),
    ],
)
def test_tables_that_are_refused(
    tmp_path: Path, lines: list[list[str]], header: list[str], said: str
) -> None:
    pattern = re.compile(said.replace("|", r"\|").replace("+", r"\+"))
    with pytest.raises(ValueError, match=r"^path=.* is not allowed: ") as refused:
        read_table(written(tmp_path, lines, header), SPACE)
    assert pattern.search(str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_packed_file_that_is_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"is no whole \.gz file"):
        read_table(path, SPACE)
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"is no whole \.gz file"):
        read_table(path, SPACE)


def test_the_shipped_cells_are_those_published() -> None:
    """Two cells of the source; the best, and what uniform search comes to by the closed form."""
    space = CellSpace(operations=OPERATIONS)
    file = read_table(SHIPPED["nas_bench_201_12_epochs"], space)
    assert len(file.values) == 6
    assert {column.budget for column in file.values} == {"12 epochs"}
    means = file.means(file.column("accuracy", "cifar10 validation", None))
    cell = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|"
    place = space.rank(torch.tensor([space.actions(cell + "skip_connect~2|")]))
    assert means[place].tolist() == [63.364]
    test = file.means(file.column("accuracy", "ImageNet16-120 test", "12 epochs"))
    assert test[place].tolist() == [17.0]
    assert float(means.max()) == 84.892
