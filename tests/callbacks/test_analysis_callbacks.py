"""What the analysing callbacks leave behind, for every space and whatever the controller is."""

from __future__ import annotations

import csv
import json
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.analysis.probes import Probe, probe
from nas_lightning.assembly import search as experiment
from nas_lightning.callbacks.diversity import Diversity, LedgerReader
from nas_lightning.callbacks.heat_maps import HeatMaps
from nas_lightning.callbacks.hidden_states import HiddenStates
from nas_lightning.callbacks.probes import Probes
from nas_lightning.callbacks.similarity import Similarity
from nas_lightning.engine import ArchitectureSearch
from tests.given import composed
from tests.processes import TINY
from tests.shell import Shell

FILES = {
    "diversity.csv",
    "hidden_states.csv",
    "probes.csv",
    "similarity.csv",
    "states_own.png",
    "states_uniform.png",
}


def recorded(folder: Path) -> dict[str, list[float]]:
    """The values of every metric."""
    found: dict[str, list[float]] = {}
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["name"], []).append(float(row["value"]))
    return found


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_first_and_the_last_epoch_are_looked_at(finished: Path) -> None:
    """The probes, and with the smallest budget the heat maps, after the last alone."""
    first = {name for name in FILES if name.endswith(".csv")} - {"probes.csv"}
    for epoch, files in (("epoch_0000", first), ("epoch_0001", FILES)):
        assert {path.name for path in (finished / "analysis" / epoch).iterdir()} == files
    numbers = recorded(finished)
    assert len(numbers["probes/accuracy"]) == 1
    assert len(numbers["hidden/uniform_variance"]) == 2
    assert 0 < numbers["hidden/uniform_variance"][0] < 2
    assert -1 <= numbers["similarity/uniform_one_hot_same_activation"][0] < -0.3


def test_every_number_is_explained(finished: Path) -> None:
    """Each metric of a run has its row in docs/metrics*.md, if by its family."""
    pages = sorted((Path(__file__).parents[2] / "docs").glob("metrics*.md"))
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for name in recorded(finished):
        family, _, rest = name.partition("/")
        if family == "similarity":
            _, embedding, measure = re.fullmatch(  # type: ignore[union-attr]
                r"(uniform|own)_(before_last|final|one_hot|edit_distance)_(\w+)", rest
            ).groups()
            known = (embedding, measure) == ("edit_distance", "exact") or (
                f"`{embedding}`" in text and (f"`{measure}`" in text or measure.startswith("same_"))
            )
        else:
            bare = re.sub(r"_(std|median)$", "", rest)
            known = any(f"`{part}`" in text for part in (name, rest, f"{family}/{bare}_mean"))
        assert known, f"{name} is not explained"


def test_a_controller_without_states(uninterrupted: dict[str, Path]) -> None:
    """What needs none is still there; I_t of 5 equally likely architectures is known."""
    folder = uninterrupted["random"]
    files = {path.name for path in (folder / "analysis/epoch_0001").iterdir()}
    assert files == {"diversity.csv", "hidden_states.csv"}
    undefined = {path.name for path in (folder / "analysis").glob("*.undefined")}
    assert undefined == {f"{name}.undefined" for name in ("HeatMaps", "Probes", "Similarity")}
    assert not [*(uninterrupted["default"] / "analysis").glob("*.undefined")]
    numbers = recorded(folder)
    assert not any(name.startswith(("probes/", "similarity/")) for name in numbers)
    assert numbers["diversity/effective_policy"][-1] == pytest.approx(5)
    assert numbers["hidden/own_information"][-1] > 0


def test_a_growing_space_of_convolutions(tmp_path: Path, shell: Shell) -> None:
    growing = (
        "experiment=smoke",
        "search_space=nas_cnn",
        "logger=csv",
        "threads=1",
        "executor.workers=1",
        "data.train_limit=64",
        "search_space.num_layers=1",
        "search_space.grow_every=8",
        "search_space.filters=[2,4]",
        "callbacks.similarity.every_epochs=1",
        "hydra.run.dir=run",
    )
    ended = shell.train(tmp_path / "here", *growing)
    assert ended.code == 0, ended
    analysis = tmp_path / "here/run/analysis"
    rows = [len(table(analysis / f"epoch_{epoch:04}" / "diversity.csv")) for epoch in (0, 1)]
    assert rows[1] > rows[0]
    assert {path.name for path in (analysis / "epoch_0001").iterdir()} == FILES
    said = " ".join(ended.out.replace("│", " ").split())
    assert re.search(r"variance between architectures \d\S* standard ", said), "of two spaces"
    for epoch in (0, 1):  # the distances are of the space as it is now
        found = table(analysis / f"epoch_{epoch:04}/similarity.csv")
        known = {(r["sample"], r["embedding"], r["measure"]): r["value"] for r in found}
        assert float(known["uniform", "one_hot", "hamming_distance"]) == pytest.approx(1)
    measures = {row["measure"] for row in table(analysis / "epoch_0001/similarity.csv")}
    assert {
        "same_filters",
        "common_connections",
        "performance_difference",
        "edit_distance",
    } <= measures


def test_the_table_says_what_has_moved(tmp_path: Path, shell: Shell) -> None:
    settings = (*TINY, "memory=reconstruction", "memory.warmup=20", "hydra.run.dir=run")
    ended = shell.train(tmp_path / "here", *settings)
    assert ended.code == 0, ended
    said = " ".join(ended.out.replace("│", " ").split())
    assert re.search(r"read off the final state [01]\S* \(untrained\) → [01]\S* \(chance", said)
    assert re.search(r"variance between architectures [01]\S* → [01]\S* ", said)
    assert "Spearman with same activation" in said


@contextmanager
def built(tmp_path: Path, *overrides: str) -> Iterator[ArchitectureSearch]:
    """A search that has not begun; its files are closed at the end."""
    cfg = composed(*TINY, *overrides, "callbacks={}")
    _, search = experiment.build(cfg, tmp_path)
    yield search
    search.ledger.close()
    search.metrics.close()


def test_a_collapse_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = Diversity(every_epochs=1, architectures=40, top=5, min_unique_fraction=0.1)
    certain = ("controller.policy.tanh_constant=null", "controller.policy.temperature=1e-6")
    with built(tmp_path, *certain) as search:
        callback.look(search, tmp_path)
        callback.look(search, tmp_path)
    warned = capsys.readouterr().err
    assert warned.count("the controller has collapsed") == 1
    assert "entropy weight" in warned
    assert search.latest["diversity/unique_fraction"] == pytest.approx(1 / 40)


def test_the_untrained_controller_is_probed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same at the second look, which takes half the time."""
    probed = []

    def noted(states: Tensor, decisions: Tensor, *, folds: int) -> list[Probe]:
        probed.append(states)
        return probe(states, decisions, folds=folds)

    monkeypatch.setattr("nas_lightning.callbacks.probes.probe", noted)
    callback = Probes(every_epochs=1, architectures=30)
    with built(tmp_path) as search:
        search.controller.reset_parameters(torch.Generator().manual_seed(1))
        callback.look(search, tmp_path)
        first = dict(search.latest)
        search.controller.reset_parameters(torch.Generator().manual_seed(2))
        callback.look(search, tmp_path)
    trained, untrained, trained_again = probed
    assert not trained.equal(untrained)
    assert not trained.equal(trained_again)
    assert search.latest["probes/untrained"] == first["probes/untrained"]


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Neither the generators' states nor what is drawn depend on whether one has looked."""
    with built(tmp_path) as search:
        before = {name: state.clone() for name, state in search.generators.state_dict().items()}
        HeatMaps(every_epochs=1).look(search, tmp_path)
        HiddenStates(every_epochs=1, architectures=10).look(search, tmp_path)
        Probes(every_epochs=1, architectures=30).look(search, tmp_path)
        after = search.generators.state_dict()
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_a_search_is_the_same_unseen(finished: Path, tmp_path: Path, shell: Shell) -> None:
    """Without the callbacks that look, the same architectures are judged with the same result."""
    looks = ("heat_maps", "hidden_states", "probes", "similarity", "diversity")
    unseen = [f"~callbacks.{name}" for name in looks]
    smoke = [argument for argument in TINY if argument != "experiment=smoke"]
    sizes = [
        "search.architectures_per_step=4",
        "search.candidates=6",
        "search.candidate_minibatches=1",
        "search.finalists=2",
        "search.uniform_candidates=6",
        "search.log_every=1",
        "trainer.max_epochs=2",
        "estimator.child_steps=4",
        "estimator.controller_steps=3",
    ]
    ended = shell.train(tmp_path / "here", *smoke, *sizes, *unseen, "hydra.run.dir=run")
    assert ended.code == 0, ended
    run = tmp_path / "here/run"
    assert not (run / "analysis").exists()
    assert (run / "ledger.jsonl").read_bytes() == (finished / "ledger.jsonl").read_bytes()


def test_the_ledger_is_read_on(tmp_path: Path) -> None:
    """Of equals those stay that were judged first, however much is read at a time."""
    path = tmp_path / "ledger.jsonl"
    rows: list[dict[str, Any]] = [
        {"actions": [0, 1], "reward": 1.0},
        {"actions": [0, 0], "reward": 0.5},
        {"actions": [1, 0], "reward": 2.0},
        {"actions": [0, 1], "reward": 3.0},
        {"actions": [1], "reward": 2.0},
        {"actions": [1, 1], "reward": 2.0},
        {"actions": [0, 0], "reward": 0.1},
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    lengths = [len("".join(lines[:n])) for n in range(1, len(rows) + 1)]
    path.write_text("".join(lines) + '{"actions": [5')
    at_once, in_steps, resumed = (LedgerReader(top=2) for _ in range(3))
    at_once.read(path, length=lengths[-1])
    for length in lengths:
        in_steps.read(path, length=length)
        torch.save(resumed.state_dict(), tmp_path / "state")
        resumed = LedgerReader(top=2)
        resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
        resumed.read(path, length=length)
    for reader in (at_once, in_steps, resumed):
        assert set(reader.best(decisions=2)) == {(0, 1), (1, 0)}
        assert reader.best(decisions=1) == [(1,)]
        assert reader.best(decisions=3) == []
        assert all(tuple(row["actions"]) in reader for row in rows)
        assert len(reader.state_dict()["hashes"]) == 5  # one of the six was judged twice
        assert not any(other in reader for other in [(0,), (1, 2), (5,), (0, 0, 0)])


def test_a_resumed_run_reads_on_where_it_was(tmp_path: Path) -> None:
    """What was read is not read again, but by another Python, which hashes otherwise."""
    path = tmp_path / "ledger.jsonl"
    row = json.dumps({"actions": [0, 1], "reward": 1.0}) + "\n"
    path.write_text(row)
    reader = LedgerReader(top=2)
    reader.read(path, length=len(row))
    state = reader.state_dict()
    path.write_text(row.replace("0, 1", "5, 6") + row.replace("0, 1", "2, 3"))
    for changed, first in (({}, (0, 1)), ({"hash": 0}, (5, 6))):
        again = LedgerReader(top=2)
        again.load_state_dict({**state, **changed})
        again.read(path, length=2 * len(row))
        assert again.best(decisions=2) == [first, (2, 3)]
        assert [actions in again for actions in ((0, 1), (5, 6), (2, 3))] == [
            first == (0, 1),
            first == (5, 6),
            True,
        ]


def test_what_is_kept_of_a_ledger_is_little(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    rows = [{"actions": [n % 10, n // 10 % 10, n // 100], "reward": n} for n in range(1000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = LedgerReader(top=3)
    reader.read(path, length=path.stat().st_size)
    assert reader.best(decisions=3) == [(7, 9, 9), (8, 9, 9), (9, 9, 9)]
    assert len(pickle.dumps(reader)) < 10 * len(rows)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: HeatMaps(every_epochs=0), "every_epochs=0"),
        (lambda: HiddenStates(every_epochs=1, architectures=1), "architectures=1"),
        (lambda: Probes(every_epochs=1, architectures=2), "architectures=2"),
        (
            lambda: Similarity(every_epochs=1, architectures=2, edit_pairs=0),
            "architectures=2",
        ),
        (
            lambda: Similarity(every_epochs=1, architectures=9, edit_pairs=-1),
            "edit_pairs=-1",
        ),
        (
            lambda: Diversity(every_epochs=1, architectures=9, top=0, min_unique_fraction=0.1),
            "top=0",
        ),
    ],
)
def test_bad_arguments(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        make()
