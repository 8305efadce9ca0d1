"""Architectures looked up in a table: exact regret, and tables that are refused."""

from __future__ import annotations

import csv
import itertools
import json
import math
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch

from nas_lightning.analysis.statistics import expected_best
from nas_lightning.assembly.make import make
from nas_lightning.errors import NotAllowedError, Remedy
from nas_lightning.estimators.table import Table
from nas_lightning.estimators.table_file import SHIPPED, read_table
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace
from tests.given import composed
from tests.shell import Shell

SPACE = RecurrentCellSpace(num_nodes=3, activations=list(ACTIVATIONS))
SMALL = RecurrentCellSpace(num_nodes=2, activations=["tanh", "relu"])
LOSS = "loss | planted | 3 epochs | seed"
HEADER = f"node 0 activation,node 1 previous node,node 1 activation,{LOSS} 0,{LOSS} 1"
ROWS = ("tanh,0,tanh,3,5", "tanh,0,relu,2,4", "relu,0,tanh,1.5,1.5", "relu,0,relu,9,1")


def looked_up(space: SearchSpace, path: Path | None = None, objective: str = "perplexity") -> Table:
    made = Table(
        space=space,
        path=None if path is None else str(path),
        shipped="enas_rnn_3",
        controller_steps=1,
        objective=objective,
        data_set=None,
        budget=None,
    )
    return made


def shipped() -> dict[tuple[int, ...], list[float]]:
    table = read_table(SHIPPED["enas_rnn_3"], SPACE)
    return table.rows(table.column("loss", "python_docs validation", "2 epochs"))


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def every(space: SearchSpace) -> torch.Tensor:
    return torch.tensor(list(itertools.product(*(range(n) for n in space.num_choices))))


def test_values_are_means_over_seeds(tmp_path: Path) -> None:
    """In any order of the rows."""
    for rows in itertools.permutations(ROWS):
        found = looked_up(SMALL, written(tmp_path, *rows)).evaluate(every(SMALL), [])
        assert found.of("loss").tolist() == [4, 3, 1.5, 5]
        assert found.of("regret").tolist() == [2.5, 1.5, 0, 3.5]
        assert found.of("perplexity").tolist() == pytest.approx(
            [math.exp(x) for x in (4, 3, 1.5, 5)]
        )
        assert found.ranking().tolist() == [2, 1, 0, 3]
        assert (found.kind, found.status, found.cost) == ("proxy", ["ok"] * 4, 0)


def test_shipped_regret_agrees_with_brute_force() -> None:
    """The file is read anew, each architecture found by its words, in a shuffled order."""
    with SHIPPED["enas_rnn_3"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = {
        tuple(row[decision.name] for decision in SPACE.decisions): mean(
            float(value) for name, value in row.items() if name.startswith("loss ")
        )
        for row in rows
    }
    assert len(rows) == len(losses) == SPACE.size == 128
    asked = SPACE.sample(500, torch.Generator().manual_seed(0))
    found = looked_up(SPACE).evaluate(asked, [])
    for actions, loss, regret in zip(
        asked.tolist(), found.of("loss"), found.of("regret"), strict=True
    ):
        words = tuple(str(option) for option in SPACE.describe(actions).values())
        assert float(loss) == pytest.approx(losses[words], abs=1e-6)
        assert float(regret) == pytest.approx(losses[words] - min(losses.values()), abs=1e-6)
    assert looked_up(SPACE).evaluate(every(SPACE), []).of("regret").min() == 0


def test_best_of_k_agrees_with_brute_force() -> None:
    """All subsets of the table's first rows, and all pairs of the whole table."""
    losses = [mean(row) for row in shipped().values()]
    few = losses[:12]
    for k in (1, 2, 5, 12):
        brute = np.mean([min(chosen) for chosen in itertools.combinations(few, k)])
        assert expected_best(few, [k])[0] == pytest.approx(brute, rel=1e-9)
    brute = np.mean([min(pair) for pair in itertools.combinations(losses, 2)])
    assert expected_best(losses, [2])[0] == pytest.approx(brute, rel=1e-9)
    assert expected_best(losses, [128])[0] == pytest.approx(min(losses))


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (ROWS[:3], HEADER, "3 of the space's 4 architectures are there; the first that is missing"),
        (
            (*ROWS, ROWS[1]),
            HEADER,
            "row 5: the same architecture stands in row 2, so that there are",
        ),
        ((*ROWS[:3], "relu,0,gelu,9,1"), HEADER, "row 4: node 1 activation=gelu is none of tanh, "),
        ((*ROWS[:3], "relu,0,relu,nan,1"), HEADER, f"row 4: {LOSS} 0='nan' is not a finite number"),
        ((*ROWS[:3], "relu,0,relu,9,inf"), HEADER, f"row 4: {LOSS} 1='inf' is not a finite number"),
        ((*ROWS[:3], "relu,0,relu,9,"), HEADER, f"row 4: {LOSS} 1='' is not a finite number"),
        ((*ROWS[:3], "relu,0,relu,9"), HEADER, "row 4 has 4 columns, not 5"),
        ((*ROWS[:3], 'relu,0,"relu'), HEADER, "is no CSV file in UTF-8"),
        (
            ROWS,
            HEADER.replace("node 1 act", "node 2 act"),
            "0 columns are called 'node 1 activation', where one is needed for each decision",
        ),
        (ROWS, HEADER.replace(f"{LOSS} 0", "loss seed 0"), "column 4 is 'loss seed 0', where "),
        (ROWS, HEADER.replace("seed 1", "seed"), f"column 5 is '{LOSS}', where 'METRIC"),
        (
            ROWS,
            HEADER.replace("seed 1", "seed 0"),
            f"two columns are called '{LOSS} 0': two values",
        ),
        (
            ROWS,
            HEADER.replace("loss", "latency (ms)"),
            "does not say which way is better; write latency (…, less)",
        ),
        ((), "", "0 columns are called 'node 0 activation'"),
        ((), HEADER.rsplit(",", 2)[0], "there are no numbers; a column of them is called 'METRIC "),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, rows: Any, header: str, said: str) -> None:
    path = written(tmp_path, *rows, header=header)
    with pytest.raises(ValueError, match="path=") as refused:
        looked_up(SMALL, path)
    message = str(refused.value)
    assert message.startswith(f"path={path} is not allowed: ")
    assert said in message
    assert isinstance(refused.value, NotAllowedError)
    assert refused.value.remedy is Remedy.ANOTHER_TABLE
    assert "\n" not in message


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv is not allowed: there is no such file"):
        looked_up(SMALL, tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"cannot be read|is no regular file"):
        looked_up(SMALL, tmp_path)
    other = tmp_path / "utf16.csv"
    other.write_text("\n".join([HEADER, *ROWS]), encoding="utf-16")
    with pytest.raises(ValueError, match="is no CSV file in UTF-8"):
        looked_up(SMALL, other)


def test_the_shipped_table_is_for_one_space() -> None:
    larger = RecurrentCellSpace(num_nodes=8, activations=list(ACTIVATIONS))
    with pytest.raises(ValueError, match="330,301,440 architectures, too many"):
        looked_up(larger)
    without = RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu", "sigmoid"])
    with pytest.raises(ValueError, match="activation=identity is none of tanh, relu, sigmoid"):
        looked_up(without)
    growing = ConvolutionalSpace(
        num_layers=1,
        grow_by=1,
        grow_every=10,
        max_layers=4,
        heights=[1],
        widths=[1],
        filters=[4, 8],
        strides=[1],
    )
    with pytest.raises(ValueError, match="this search space grows"):
        looked_up(growing)


def test_only_what_a_table_gives_can_be_the_objective() -> None:
    with pytest.raises(ValueError, match="objective='accuracy' is not allowed: must be loss"):
        looked_up(SPACE, objective="accuracy")


def regret_of(arm: str, seed: int) -> float:
    """Mean regret of what a controller proposes after 200 steps of `experiment=table`."""
    from nas_lightning.generators import Generators

    overrides = ["experiment=table", f"arm={arm}", f"seed={seed}"]
    cfg = composed(*overrides)
    generators = Generators(seed)
    estimator, reward = make(cfg, "estimator", space=SPACE), make(cfg, "reward")
    controller = make(cfg, "controller", space=SPACE)
    controller.reset_parameters(generators("controller weights"))
    if controller.learns:
        optimizer = controller.make_optimizer(controller.parameters())
        for _ in range(200):
            proposal = controller.ask(10, generators("rollouts"))
            judged = estimator.evaluate(proposal.architectures, [])
            loss = controller.tell(proposal, reward(judged), judged, generators("controller"))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    proposed = controller.ask(1000, generators("candidates")).architectures
    return float(estimator.evaluate(proposed, []).of("regret").mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_lstm_beats_uniform_sampling(seed: int) -> None:
    uniform = float(looked_up(SPACE).evaluate(every(SPACE), []).of("regret").mean())
    assert regret_of("random", seed) == pytest.approx(uniform, rel=0.1)
    assert regret_of("lstm", seed) < uniform / 2


def test_a_search_logs_its_regret(tmp_path: Path, shell: Shell) -> None:
    """Of what it proposes and of the best it has found, which is told with its kind."""
    ended = shell.train(
        tmp_path / "here",
        "experiment=table",
        "logger=csv",
        "threads=1",
        "trainer.max_epochs=2",
        "estimator.controller_steps=2",
        "search.candidates=5",
        "search.uniform_candidates=2",
        "callbacks.hidden_states.architectures=20",
        "callbacks.probes.architectures=60",
        "callbacks.similarity.architectures=20",
        "callbacks.diversity.architectures=20",
        "hydra.run.dir=run",
    )
    assert ended.code == 0, ended
    run = tmp_path / "here/run"
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        last = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    judged = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    regrets = [row["metrics"]["regret_after_2_epochs"] for row in judged]
    assert last["derive/best_regret_after_2_epochs"] == pytest.approx(min(regrets), abs=1e-7)
    assert (
        0
        <= last["derive/best_regret_after_2_epochs"]
        <= last["derive/regret_after_2_epochs_median"]
    )
    best = json.loads((run / "best_architecture.json").read_text(encoding="utf-8"))
    assert {row["kind"] for row in judged} == {"proxy"}
    assert "regret" in json.dumps(best)
    losses = shipped()
    least = min(map(mean, losses.values()))
    for row in judged:
        exact = mean(losses[tuple(row["actions"])]) - least
        assert row["metrics"]["regret_after_2_epochs"] == pytest.approx(exact, abs=1e-6)
