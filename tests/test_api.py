"""The Python door: what it gives is what the command line leaves, and needs nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from multiprocessing.spawn import get_preparation_data
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from torch import nn

import nas_lightning as nl
from nas_lightning import api
from nas_lightning.assembly.door import undisturbed
from nas_lightning.assembly.make import make
from nas_lightning.assembly.rebuild import child_of, data_of
from nas_lightning.assembly.retraining import conclude, full_budget, retrain
from nas_lightning.data import ImageData, TextData
from nas_lightning.engine import ArchitectureSearch
from nas_lightning.runs.config import read_config
from nas_lightning.search_spaces.child import score_all
from nas_lightning.search_spaces.nas_cnn.plain import ConvolutionalNetwork
from tests.conftest import made_once
from tests.processes import Command, Kill, differing, run
from tests.scripted import OVERRIDES, search_stacks

PUBLIC = [
    *("Choice", "Drawing", "Repeat", "Run", "Study", "UserError"),
    *("load", "load_study", "search", "space"),
]


def retrained(folder: Path, **changes: Any) -> None:
    """Retrain the best architecture of a run quickly, with two seeds, and conclude."""
    best = json.loads((folder / "best_architecture.json").read_text())
    jobs = [folder / "retrain" / f"seed={seed}" for seed in (0, 1)]
    for seed, job in enumerate(jobs):
        config = full_budget(folder / "config.yaml")
        OmegaConf.set_struct(config, False)
        own = {"seed": seed, "architecture": best["actions"], "threads": 1, "reference": None}
        for key, value in {**own, "retrain.epochs": 1, **changes}.items():
            OmegaConf.update(config, key, value)
        job.mkdir(parents=True)
        retrain(config, job)
    conclude(jobs, folder / "retrain" / "final-12345678.json")


@pytest.fixture(scope="module")
def cells(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of cells, made by the command line, and retrained."""

    def make_it(folder: Path) -> None:
        shutil.copytree(finished, folder)
        retrained(folder, **{"data.batch_size": 64, "data.sequence_length": 32})

    return made_once(tmp_path_factory, "cells", make_it)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of convolutional networks, made by `search`, and retrained."""

    def make_it(folder: Path) -> None:
        shutil.copytree(search_stacks(tmp_path_factory), folder)
        retrained(folder)

    return made_once(tmp_path_factory, "stacks", make_it)


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes data fails."""

    def refuse(self: object, **arguments: object) -> None:
        raise AssertionError("the data were read")

    for kind in (TextData, ImageData):
        monkeypatch.setattr(kind, "__init__", refuse)


def test_the_public_names() -> None:
    assert nl.__all__ == PUBLIC == api.__all__
    assert set(PUBLIC) <= set(dir(nl))
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = nl.serach


def test_import_is_light() -> None:
    heavy = "{'torch', 'hydra', 'omegaconf', 'numpy'}"
    light = f"import sys, nas_lightning as nl; nl.search; assert not {heavy} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", light], check=True)


# ------------------------------------------------------------------------------------------ search


def test_it_is_the_search_of_the_command_line(finished: Path, tmp_path: Path) -> None:
    """In this process, which is afterwards as it was before; called again it is finished."""
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.get_num_threads(), sys.modules["__main__"]
    found = nl.search(folder=tmp_path / "run", overrides=OVERRIDES)
    assert differing(finished, tmp_path / "run") == []
    assert not GlobalHydra.instance().is_initialized()
    assert not HydraConfig.initialized()
    after = torch.get_rng_state(), torch.get_num_threads(), sys.modules["__main__"]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert (found.status, found.folder) == ("finished", tmp_path / "run")
    ledger = (tmp_path / "run/ledger.jsonl").read_bytes()
    assert nl.search(folder=tmp_path / "run", overrides=OVERRIDES).best == found.best
    assert (tmp_path / "run/ledger.jsonl").read_bytes() == ledger


def test_a_killed_script_goes_on(finished: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    killed = Command(("run",), here, kill=Kill(1, 3, "step"), module="tests.scripted")
    assert run(killed).code == -9
    assert not (here / "run/DONE").exists()
    nl.search(folder=here / "run", overrides=OVERRIDES)
    assert differing(finished, here / "run") == []


def test_workers_do_not_run_the_callers_script_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which a script without `if __name__ == "__main__"` would not survive."""
    script = ModuleType("__main__")
    script.__file__ = "script.py"
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert "init_main_from_path" in get_preparation_data("worker")
    with undisturbed():
        assert "init_main_from_path" not in get_preparation_data("worker")
    assert sys.modules["__main__"] is script


def test_ctrl_c_stops_in_order(finished: Path, tmp_path: Path) -> None:
    """And reaches the caller as what it is; the same call goes on."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArchitectureSearch, "on_train_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            nl.search(folder=tmp_path / "run", overrides=OVERRIDES)
    assert signal.getsignal(signal.SIGINT) is before
    assert nl.load(tmp_path / "run").status.startswith("has stopped after ")
    nl.search(folder=tmp_path / "run", overrides=OVERRIDES)
    assert differing(finished, tmp_path / "run") == []


def interrupt(search: ArchitectureSearch) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"controller": "nope"}, "controller=nope: no such option; controller has "),
        ({"controller": 3}, "controller=3 is not allowed: must be the name of an option"),
        ({"overrides": {"memory": None}}, "memory=null: no such option; memory has "),
        ({"overrides": {"nope": 1}}, "nope=1: no such key; the configuration has "),
        ({"overrides": {"search_space.num_nodes": 0}}, "search_space.num_nodes=0 is not allowed"),
        ({"overrides": {"trainer.max_steps": 3}}, "trainer.max_steps=3: "),
    ],
)
def test_mistakes_are_said_in_a_line(arguments: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(nl.UserError) as error:
        nl.search(folder=tmp_path / "run", **arguments)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)
    assert not HydraConfig.initialized()


def test_another_runs_folder_is_refused(finished: Path) -> None:
    with pytest.raises(nl.UserError, match=r"or another folder \(folder=…\)$"):
        nl.search(folder=finished, overrides={**OVERRIDES, "seed": 7})


# -------------------------------------------------------------------------------------------- load


def test_what_a_run_holds(cells: Path) -> None:
    found = nl.load(cells)
    best = json.loads((cells / "best_architecture.json").read_text())
    assert found.best == best
    rows = [json.loads(line) for line in (cells / "ledger.jsonl").read_text().splitlines()]
    assert list(found.ledger["actions"]) == [row["actions"] for row in rows]
    assert list(found.ledger["perplexity"]) == [row["metrics"]["perplexity"] for row in rows]
    perplexities = list(found.architectures["perplexity"])
    assert perplexities == sorted(perplexities)
    assert perplexities[0] == min(row["metrics"]["perplexity"] for row in rows)
    assert len(found.metrics["name"]) == len((cells / "metrics.csv").read_text().splitlines()) - 1
    space = make(OmegaConf.create(read_config(cells)), "search_space")
    assert found.draw() == space.draw(best["actions"])
    assert found.draw()._repr_html_().startswith("<svg")
    assert "<svg" in found._repr_html_()
    assert repr(found).startswith("<Run here: finished; best perplexity ")
    (cells / "report.html").unlink()
    assert found.report() == cells / "report.html"
    assert "<svg" in (cells / "report.html").read_text()


def test_tables_are_of_pandas_where_it_is(cells: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert isinstance(nl.load(cells).ledger, pandas.DataFrame)


def test_a_study(small_study: Path) -> None:
    study = nl.load_study(small_study)
    assert [found.record.arm for found in study.runs] == [
        arm for arm in ("lstm", "random", "random_10") for _ in range(2)
    ]
    assert list(study.table["seed"]) == [0, 1] * 3
    assert study.verdict
    assert all(line in study._repr_html_() for line in ("<li>", "Study study"))
    assert repr(study) == "<Study study: 6 runs of lstm, random, random_10>"
    assert study.report().exists()
    with pytest.raises(nl.UserError, match=r"is a study of several runs; .*load_study.*report"):
        nl.load(small_study)


def test_nothing_there(tmp_path: Path) -> None:
    for read in (nl.load, nl.load_study):
        with pytest.raises(nl.UserError, match="no such folder"):
            read(tmp_path / "nowhere")
        with pytest.raises(nl.UserError, match="no run there"):
            read(tmp_path)


# ----------------------------------------------------------------------------------------- network


def numbers_of(network: nn.Module, folder: Path) -> dict[str, float]:
    """The numbers of an ordinary loop over the test split of the data that it was trained on."""
    config = OmegaConf.create(json.loads((folder / "retrained.json").read_text())["config"])
    state, losses, right, count = None, 0.0, 0, 0
    with torch.no_grad():
        for batch in make(config, "data").test_batches():
            if isinstance(network, ConvolutionalNetwork):
                logits, targets = network(batch.inputs), batch.targets
            else:
                logits, state = network(batch.inputs, state if batch.continues else None)
                logits, targets = logits.flatten(0, 1), batch.targets.flatten()
            losses += float(F.cross_entropy(logits, targets, reduction="sum"))
            right += int((logits.argmax(dim=1) == targets).sum())
            count += len(targets)
    return {
        "loss": losses / count,
        "perplexity": float(torch.tensor(losses / count).exp()),
        "accuracy": right / count,
    }


def test_shared_weights(cells: Path, no_data: None, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nl.load(cells).network("shared")
    monkeypatch.undo()
    actions = nl.load(cells).best["actions"]  # type: ignore[index]
    batches = data_of(cells).validation_batches()
    with torch.no_grad():
        score = score_all(child_of(cells), batches, torch.tensor([actions]))
        logits, _ = network(batches[0].inputs)
    first = child_of(cells).score(batches[0], torch.tensor([actions]))
    loss = F.cross_entropy(logits.flatten(0, 1), batches[0].targets.flatten(), reduction="sum")
    torch.testing.assert_close(loss, first.loss_sum[0].detach())
    assert score.count > first.count
    assert len(network.generate("the", 5).split()) >= 3  # type: ignore[operator]


@pytest.mark.usefixtures("no_data")
def test_fresh_weights_are_those_of_a_trainings_start(cells: Path, stacks: Path) -> None:
    for folder in (cells, stacks):
        one, again = (nl.load(folder).network("fresh").state_dict() for _ in range(2))
        trained = nl.load(folder).network("retrained").state_dict()
        assert one.keys() == again.keys() == trained.keys()
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert any(not torch.equal(one[name], trained[name]) for name in one)


def test_retrained_weights_give_the_final_numbers(
    cells: Path, stacks: Path, no_data: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {folder: nl.load(folder).network() for folder in (cells, stacks)}
    monkeypatch.undo()  # the data are needed to test them, and for nothing else
    for folder, network in found.items():
        final = nl.load(folder).final
        assert final is not None
        assert final["seeds"] == [0, 1]
        numbers = numbers_of(network, folder / "retrain/seed=0")
        said = nl.load(folder).record.objective.said
        name = nl.load(folder).record.objective.name
        assert said(numbers[name]) == said(final["test"][0][name])
        for metric, value in final["test"][0].items():
            assert numbers[metric] == pytest.approx(value, rel=2e-6)


def test_images_as_the_data_have_them(stacks: Path) -> None:
    network, data = nl.load(stacks).network(), data_of(stacks)
    assert isinstance(data, ImageData)
    assert torch.equal(network.preprocess(data._test.images), data.test.images)  # type: ignore[operator]


def test_a_run_of_before(cells: Path, tmp_path: Path) -> None:
    """One without what was kept of its inputs: the data tell it, as long as they are there."""
    old = Path(shutil.copytree(cells, tmp_path / "old"))
    (old / "inputs.json").unlink()
    for job in old.glob("retrain/*/retrained.json"):
        record = json.loads(job.read_text())
        del record["inputs"]
        job.write_text(json.dumps(record))
    for weights in ("shared", "retrained"):
        new, one = nl.load(cells).network(weights), nl.load(old).network(weights)
        assert new.preparation == one.preparation


def test_no_such_weights(cells: Path, stacks: Path, finished: Path, tmp_path: Path) -> None:
    for folder, weights, said in (
        (finished, "retrained", "was not retrained"),
        (stacks, "shared", "weights=shared: .* kept no weights"),
        (cells, "best", "weights='best' is not allowed: must be retrained or shared or fresh"),
    ):
        with pytest.raises(nl.UserError, match=said):
            nl.load(folder).network(weights)  # type: ignore[arg-type]
    gone = Path(shutil.copytree(cells, tmp_path / "gone"))
    for path in gone.glob("retrain/*/architecture.pt"):
        path.unlink()
    (gone / "checkpoints/last.ckpt").unlink()
    with pytest.raises(nl.UserError, match=r"architecture\.pt: is gone"):
        nl.load(gone).network()
    with pytest.raises(nl.UserError, match=r"no DONE or no last\.ckpt in it"):
        nl.load(gone).network("shared")
    (gone / "best_architecture.json").unlink()
    with pytest.raises(nl.UserError, match=r"has no best_architecture\.json that can be read"):
        nl.load(gone).network("fresh")
