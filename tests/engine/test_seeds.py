"""Many seeds in one process: what is on record, what is skipped, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.assembly.run import run
from nas_lightning.assembly.search import make_search
from nas_lightning.engine.seeds import search
from nas_lightning.errors import UserError
from nas_lightning.memories import NoMemory
from nas_lightning.runs.seeds import SeedRecord, read
from nas_lightning.runs.state import state_of

OPTIONS = "[skip_connect,nor_conv_3x3]"


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(
            "config",
            [
                "experiment=nas_bench_201",
                "threads=1",
                "trainer.max_epochs=1",
                "logger=csv",
                *overrides,
            ],
        )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 64 cells: the more convolutions the better, the last edge counting most."""
    space = make(composed(f"search_space.operations={OPTIONS}"), "search_space")
    path: Path = tmp_path_factory.mktemp("tables") / "cells.csv"
    lines = ["architecture,accuracy (percent) | planted validation | 3 epochs"]
    for actions in space.architectures().tolist():
        value = sum(action * (t + 1) for t, action in enumerate(actions))
        lines.append(f"{space.word(actions)},{value}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def cfg(table: Path) -> Any:
    def made(*overrides: str) -> DictConfig:
        return composed(
            f"search_space.operations={OPTIONS}",
            f"estimator.path='{table}'",
            "estimator.data_set=null",
            "estimator.controller_steps=40",
            *overrides,
        )

    return made


def test_a_record_tells_both_axes() -> None:
    """Against the course written out: of five proposals the second and the fourth are repeats."""
    record = SeedRecord(
        seed=3,
        proposals=5,
        improvements=[(1, 1.0), (3, 4.0), (5, 9.0)],
        repeats=[2, 4],
        actions=[0],
        word="a",
        metrics={},
        derived={},
        kind="proxy",
    )
    assert [record.best_after(n) for n in range(1, 6)] == [1, 1, 4, 4, 9]
    assert record.distinct == 3
    assert [record.best_after_distinct(n) for n in range(1, 5)] == [1, 4, 9, None]


@pytest.mark.parametrize("controller", ["random", "evolution_nats_bench", "local_search"])
def test_the_record_agrees_with_asking_and_telling(cfg: Any, controller: str) -> None:
    """Step by step by hand, with the generators of the same names."""
    from nas_lightning.generators import Generators

    config = cfg(f"controller={controller}")
    space, reward = make(config, "search_space"), make(config, "reward")
    estimator = make(config, "estimator", space=space)
    proposer = make(config, "controller", space=space)
    found = search(
        controller=proposer,
        estimator=estimator,
        reward=reward,
        memory=NoMemory(),
        seed=5,
        proposals=40,
        architectures_per_step=1,
    )
    generators = Generators(5)
    proposer.reset_parameters(generators("controller weights"))
    seen: list[tuple[int, ...]] = []
    values: list[float] = []
    for n in range(1, 41):
        proposal = proposer.ask(1, generators("rollouts"))
        judged = estimator.evaluate(proposal.architectures, [])
        proposer.tell(proposal, reward(judged), judged, generators("controller"))
        actions = tuple(proposal.architectures[0].tolist())
        assert (n in found.repeats) == (actions in seen)
        seen.append(actions)
        values.append(float(judged.values[0]))
        assert found.best_after(n) == max(values)
        assert found.best_after_distinct(len(set(seen))) == max(values)
    assert seen[values.index(max(values))] == tuple(found.actions)
    assert found.metrics["regret_after_3_epochs"] == 21 - max(values)


def test_who_learns_finds_it_sooner(cfg: Any) -> None:
    best = {}
    for controller in ("random", "evolution_nats_bench", "local_search"):
        config = cfg(f"controller={controller}")
        space = make(config, "search_space")
        best[controller] = [
            search(
                controller=make(config, "controller", space=space),
                estimator=make(config, "estimator", space=space),
                reward=make(config, "reward"),
                memory=NoMemory(),
                seed=seed,
                proposals=40,
                architectures_per_step=1,
            ).best_after_distinct(20)
            for seed in range(20)
        ]
    means = {name: sum(v or 21 for v in values) / 20 for name, values in best.items()}
    assert means["evolution_nats_bench"] > means["random"]
    assert means["local_search"] > means["random"]


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture
def whole(cfg: Any, tmp_path: Path) -> Iterator[Path]:
    threads = torch.get_num_threads()
    run(cfg("seeds=4"), tmp_path / "whole")
    yield tmp_path / "whole"
    torch.set_num_threads(threads)


def test_one_folder_one_done_and_what_is_done_is_skipped(
    cfg: Any, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records, damaged = read(whole)
    assert [record.seed for record in records] == [0, 1, 2, 3]
    assert damaged == 0
    assert (whole / "DONE").exists()
    state = state_of(whole)
    assert state is not None
    assert (state.name, state.begun) == ("done", True)
    before = lines_of(whole)
    run(cfg("seeds=4"), whole)
    assert lines_of(whole) == before
    assert "finished already" in capsys.readouterr().err
    # Killed within the third line: the first two stay as they are, and the end is the same.
    (whole / "DONE").unlink()
    (whole / "ledger.jsonl").write_bytes(b"".join(before[:2]) + before[2][:50])
    run(cfg("seeds=4"), whole)
    assert lines_of(whole) == before
    said = capsys.readouterr().out
    assert "2 of them now" in said
    assert "after so many distinct architectures" in said
    assert "accuracy-after-3-epochs" in said, "the budget is named"
    # A folder for a seed gives the same line.
    run(cfg("seeds=1", "seed=2"), tmp_path / "alone")
    assert lines_of(tmp_path / "alone") == before[2:3]


def test_seeds_are_added_to_a_finished_folder(cfg: Any, whole: Path, tmp_path: Path) -> None:
    before = lines_of(whole)
    run(cfg("seeds=6"), whole)
    run(cfg("seeds=2", "seed=4"), tmp_path / "others")
    assert lines_of(whole) == before + lines_of(tmp_path / "others")
    assert (whole / "DONE").exists()
    run(cfg("seeds=3"), whole)  # fewer: they are all there
    assert [record.seed for record in read(whole)[0]] == [0, 1, 2, 3, 4, 5]


def test_a_memory_learns_as_in_the_whole_search(cfg: Any, tmp_path: Path) -> None:
    """The same proposals as by Lightning, over two epochs; without the memory others."""
    learns = (
        *("controller=lstm", "memory.warmup=3", "memory.weight=5", "controller.optimizer.lr=0.1"),
        *("search.architectures_per_step=5", "estimator.controller_steps=4"),
        "trainer.max_epochs=2",
    )
    for folder, seeds, memory in (
        ("whole", "null", "reconstruction"),
        ("short", "1", "reconstruction"),
        ("alone", "1", "none"),
    ):
        kept = [key for key in learns if memory != "none" or not key.startswith("memory.")]
        run(cfg(f"memory={memory}", f"seeds={seeds}", *kept), tmp_path / folder)
    ((short,), _), ((alone,), _) = read(tmp_path / "short"), read(tmp_path / "alone")
    rows = [json.loads(line) for line in lines_of(tmp_path / "whole")]
    asked = [row for row in rows if row["purpose"] == "controller"]
    assert len(asked) == short.proposals == 40
    seen: list[tuple[int, ...]] = []
    best: list[float] = []
    for row in asked:
        seen.append(tuple(row["actions"]))
        best.append(max([row["metrics"]["accuracy_after_3_epochs"], *best[-1:]]))
    assert [short.best_after(n) for n in range(1, 41)] == best
    repeats = [n for n in range(1, 41) if seen[n - 1] in seen[: n - 1]]
    assert short.repeats == repeats
    assert alone.repeats != repeats


def test_a_folder_of_seeds_is_no_other_run(cfg: Any, whole: Path) -> None:
    for other in ("seeds=null", "seed=1"):
        with pytest.raises(
            UserError, match=rf"^{other.replace('null', 'None')}: the run in .* has"
        ):
            run(cfg("seeds=4", other), whole)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds=0"], r"^seeds=0 is not allowed: must be a whole number >= 1"),
        (["seeds=2", "search_space=enas_rnn"], r"^seeds=2 is for estimators that look up"),
        (["seeds=2", "memory=replay"], r"^memory: needs a controller that trains a policy"),
        (["seeds=2", "search.beside=[0,0,0,0,0,0]"], r"^seeds=2 is for searches without search.be"),
        (["seeds=2", "controller=lstm"], r"architectures_per_step=1 is not allowed"),
        (["controller.population=9999"], r"^controller: needs 9999 architectures before"),
        (
            ["estimator.objective=loss"],
            r"^estimator.objective='?loss'? is not allowed: must be acc",
        ),
        (
            ["estimator.budget=200 epochs"],
            r"budget=.*200 epochs.* is not allowed: must be 12 epochs",
        ),
        (["estimator.shipped=enas_rnn_3"], r"0 columns are called 'edge 0 to 1'"),
    ],
)
def test_what_does_not_go_is_refused_in_a_line(
    tmp_path: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said) as refused:
        run(composed(*overrides), tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run/ledger.jsonl").exists()


@pytest.mark.parametrize("estimator", ["from_scratch", "weight_sharing"])
def test_networks_are_not_trained_without_data(tmp_path: Path, estimator: str) -> None:
    config = composed("seeds=null", f"estimator={estimator}")
    with pytest.raises(UserError, match=r"^data=null is not allowed: .*choose data=cifar10"):
        make_search(config, tmp_path)
