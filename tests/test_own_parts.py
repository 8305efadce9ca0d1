"""A model and data of one's own, handed to the Python door: searched, trained on, loaded again."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nas_lightning as nl
from nas_lightning.assembly.given import TARGET
from nas_lightning.assembly.rebuild import child_of
from nas_lightning.engine import ArchitectureSearch
from nas_lightning.runs.config import read_config
from tests.own_parts import SMALL, Net, numbers, points
from tests.processes import differing

pytestmark = pytest.mark.usefixtures("no_page")


def searched(
    folder: Path, model: Any = Net, data: Any = points, estimator: Any = None, **more: Any
) -> nl.Run:
    overrides = {"budget": "smoke", **SMALL, **more.pop("overrides", {})}
    return nl.search(
        model, data, controller="random", estimator=estimator, folder=folder, overrides=overrides
    )


FOR_A_CHILD_STEP = ArchitectureSearch._for_a_child_step


class Local(Net):
    """Of which other processes shall know nothing."""

    __qualname__ = "a_script.<locals>.Local"


# ------------------------------------------------------------------------------ handed over


def test_what_can_be_imported_is_named(tmp_path: Path) -> None:
    """So that every process finds it: the run needs nothing handed over."""
    run = searched(tmp_path / "run")
    config = read_config(run.folder)
    assert config["search_space"]["model"] == "tests.own_parts.Net"
    assert config["data"]["source"]["dataset"] == "tests.own_parts.points"
    assert nl.load(run.folder).network("fresh").state_dict().keys()
    assert run.best is not None
    assert list(run.best["decisions"]) == ["first", "between", "blocks"]


def test_what_cannot_be_imported_is_handed_over_again(tmp_path: Path) -> None:
    data = points()
    run = searched(tmp_path / "run", Local, data)
    config = read_config(run.folder)
    named = {"_target_": TARGET, "key": "search_space.model", "name": Local.__qualname__}
    assert config["search_space"]["model"] == named
    network = run.network("shared")
    again = nl.load(run.folder, model=Local, data=data)
    for name, weight in again.network("shared").state_dict().items():
        assert torch.equal(weight, network.state_dict()[name])
    assert "<svg" in again.draw().svg
    with pytest.raises(nl.UserError, match=r"^search_space\.model: .*load\(folder, model=…\)") as e:
        nl.load(run.folder).network("shared")
    assert "\n" not in str(e.value)
    with pytest.raises(nl.UserError, match=r"^data\.source\.dataset: .*load\(folder, data=…\)"):
        nl.load(run.folder, model=Local).network("shared")  # whose statistics need the data


def test_an_instance_from_scratch(tmp_path: Path) -> None:
    """In this process, by the same children as worker processes would train."""
    model = Local()
    run = searched(tmp_path / "run", model, estimator="from_scratch")
    assert read_config(run.folder)["executor"]["_target_"].endswith("InProcessExecutor")
    named = searched(
        tmp_path / "named", estimator="from_scratch", overrides={"executor.workers": 1}
    )
    columns = ("actions", "status", "kind")
    assert all(list(run.ledger[name]) == list(named.ledger[name]) for name in columns)
    assert set(run.ledger["status"]) == {"ok"}


def test_killed_in_mid_search_it_goes_on(tmp_path: Path) -> None:
    """The same ledger as undisturbed."""
    searched(tmp_path / "whole", Local, points())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArchitectureSearch, "_for_a_child_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            searched(tmp_path / "cut", Local, points())
    searched(tmp_path / "cut", Local, points())
    assert differing(tmp_path / "whole", tmp_path / "cut") == []


def interrupt(search: ArchitectureSearch) -> Tensor:
    """Ctrl-C in the third step."""
    if search.counters["child_step"] == 2:
        os.kill(os.getpid(), signal.SIGINT)
    return FOR_A_CHILD_STEP(search)


def test_only_a_word_for_another_controller(tmp_path: Path) -> None:
    for controller in ("evolution", "lstm"):
        overrides = {**SMALL, "budget": "smoke"}
        if controller == "evolution":
            overrides |= {"controller.population": 2, "controller.sample": 2}
        run = nl.search(
            Net, points, controller=controller, folder=tmp_path / controller, overrides=overrides
        )
        assert run.best is not None


# --------------------------------------------------------------------------------- networks


def on_test_split(network: nn.Module, data: Any) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = network(data.inputs)
    return outputs


@pytest.mark.parametrize("kind", ["modules", "function", "regression"])
def test_retrained_weights_give_the_final_number(kind: str, tmp_path: Path) -> None:
    more: dict[str, Any] = {}
    if kind == "function":
        decisions = {"width": [4, 8], "between": ["relu", "tanh"]}
        more = {"search_space.build": build, "search_space.decisions": decisions}
    if kind == "regression":
        more = {"data": "regression", "data.source.dataset": numbers, "reward": "objective"}
        more |= {"child.metrics": ["R2Score"], "search_space.arguments": {"outputs": 1}}
    run = searched(
        tmp_path / "run",
        "function" if kind == "function" else Local,
        None if kind == "regression" else points,
        None if kind == "function" else "from_scratch",
        overrides=more,
    )
    run = run.retrain(seeds=(1, 0), overrides={"retrain.epochs": 2})
    assert run.final is not None
    assert run.final["seeds"] == [0, 1]
    split = split_of(run)
    outputs = on_test_split(run.network(), split)
    if kind == "regression":
        expected = {"loss": float(F.mse_loss(outputs.squeeze(1), split.targets))}
        residual = (outputs.squeeze(1) - split.targets).square().sum()
        total = (split.targets - split.targets.mean()).square().sum()
        expected["r2_score"] = float(1 - residual / total)
    else:
        right = (outputs.argmax(dim=1) == split.targets).float().mean()
        expected = {
            "accuracy": float(right),
            "loss": float(F.cross_entropy(outputs, split.targets)),
        }
    assert run.final["test"][0] == pytest.approx(expected, rel=1e-5)
    said = run.record.objective.said
    name = run.record.objective.name
    assert said(expected[name]) == said(run.final["test"][0][name])
    assert run.retrain(seeds=(0, 1), overrides={"retrain.epochs": 2}).final == run.final


def split_of(run: nl.Run) -> Any:
    from nas_lightning.assembly.rebuild import data_of

    with run._parts():
        return data_of(run.folder).test  # type: ignore[attr-defined]


def build(width: int, between: str) -> nn.Module:
    activation = {"relu": nn.ReLU(), "tanh": nn.Tanh()}[between]
    return nn.Sequential(nn.Linear(4, width), activation, nn.Linear(width, 3))


def test_shared_weights_leave_with_statistics_of_their_own(tmp_path: Path) -> None:
    """Averages over all architectures would suit none."""
    run = searched(tmp_path / "run")
    network = run.network("shared")
    child = child_of(run.folder)
    with torch.no_grad():
        inputs = torch.cat([batch.inputs for batch in training(run)])
        entered = network.first(inputs)  # type: ignore[operator]
    statistics = {k: v for k, v in network.state_dict().items() if "running" in k}
    torch.testing.assert_close(statistics["norm.running_mean"], entered.mean(dim=0))
    averaged = child.state_dict()["model.norm.running_mean"]
    assert not torch.allclose(statistics["norm.running_mean"], averaged)
    weights = child.state_dict()
    assert torch.equal(network.state_dict()["head.weight"], weights["model.head.weight"])


def training(run: nl.Run) -> list[Any]:
    from nas_lightning.assembly.rebuild import data_of

    data = data_of(run.folder)
    return [data.train_batch(number) for number in range(data.train_batches)]


# ------------------------------------------------------------------------------------- data


class Points(pl.LightningDataModule):
    """The points, with a validation split of its own."""

    def setup(self, stage: str) -> None:
        whole = points()
        self.parts = torch.utils.data.random_split(whole, [110, 40])

    def train_dataloader(self) -> Any:
        return DataLoader(self.parts[0], batch_size=7, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.parts[1])


def test_a_data_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = searched(tmp_path / "run", data=Points())
    described = json.loads((run.folder / "data.json").read_text())
    assert described["examples"] == {"train": 80, "validation": 40, "test": 30}
    assert described["held out"] == "test by split_seed=0"


def halved(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets) / 2


def test_a_loss_of_ones_own_and_metrics_by_name(tmp_path: Path) -> None:
    """Half the loss, and the macro average of torchmetrics, on what was predicted together."""
    more = {"child.loss": halved, "child.metrics": ["F1Score", "AUROC"]}
    more |= {"estimator.objective": "f1_score", "reward": "objective"}
    run = searched(tmp_path / "run", Local, overrides=more)
    assert run.best is not None
    assert run.best["metrics"].keys() == {"loss", "accuracy", "f1_score", "auroc", "parameters"} - {
        "parameters"
    }
    assert run.record.objective.direction == "more"
    config = read_config(run.folder)
    assert config["child"]["loss"] == f"{__name__}.halved"
    assert set(run.ledger["status"]) == {"ok"}


class Unpicklable(Dataset[Any]):
    """Holds what no other process can be sent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.points = points()

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, number: int) -> Any:
        return self.points[number]


def test_a_dataset_that_cannot_be_pickled_serves_two_workers(tmp_path: Path) -> None:
    """It is read once, here: workers are sent tensors."""
    data = Unpicklable()
    more = {"executor.workers": 2}
    run = searched(tmp_path / "run", data=data, estimator="from_scratch", overrides=more)
    assert set(run.ledger["status"]) == {"ok"}


def pairs(inputs: Any, targets: Any) -> TensorDataset:
    return TensorDataset(torch.as_tensor(inputs), torch.as_tensor(targets))


class Ragged(Dataset[Any]):
    """Of unequal shapes."""

    def __len__(self) -> int:
        return 90

    def __getitem__(self, number: int) -> Any:
        return torch.zeros(4 + number // 80), number % 3


INPUTS = torch.randn(150, 4)
CLASSES = torch.arange(150) % 3
NAN = torch.where(torch.arange(150) == 7, torch.nan, 1.0)
BAD: dict[str, tuple[Any, str, str]] = {
    "empty": (pairs(INPUTS[:0], CLASSES[:0]), "dataset", "the train data set is empty"),
    "classes from 1": (pairs(INPUTS, CLASSES + 1), "dataset", "but class 0 never occurs"),
    "classes below 0": (pairs(INPUTS, CLASSES - 1), "dataset", "labels go from -1 to 1"),
    "other classes": (
        {"train": points(), "validation": pairs(INPUTS, CLASSES + 1)},
        "dataset",
        "validation labels go from 1 to 3, must from 0 to 2",
    ),
    "unequal shapes": (Ragged(), "dataset", r"input 80 of the train data set has shape \(5,\)"),
    "NaN for a class": (pairs(INPUTS, NAN), "dataset", "train labels are float32, one of them nan"),
    "NaN for a number": (pairs(INPUTS, NAN), "regression", "target 7 of the train data set is not"),
    "other targets": (
        {"train": numbers(), "validation": pairs(INPUTS, INPUTS)},
        "regression",
        r"validation targets have shape \(4,\), the training targets \(\)",
    ),
    "no data": (3, "dataset", "must be the name of an option"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data(case: str, tmp_path: Path) -> None:
    data, option, said = BAD[case]
    more = {"data": option, "reward": "objective"} if option == "regression" else {}
    with pytest.raises(nl.UserError, match=said) as refused:
        searched(tmp_path / "run", data=data, overrides=more)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run/ledger.jsonl").exists(), "before anything is trained"


class Locked(Net):
    """Can be built, and not be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


REFUSED: dict[str, tuple[Any, Mapping[str, Any], str]] = {
    "a model that no worker can have": (
        Local,
        {"executor": "local", "estimator": "from_scratch"},
        "executor: the child network cannot be sent to worker processes .*executor=in_process",
    ),
    "numbers for classes": (
        Net,
        {"data": "regression", "data.source.dataset": numbers, "reward": "objective"},
        r"gives \(8, 3\) for targets of \(8,\), must give as many numbers",
    ),
    "no accuracy of numbers": (
        Net,
        {
            **{"data": "regression", "data.source.dataset": numbers},
            "search_space.arguments": {"outputs": 1},
        },
        "needs accuracy, and the child networks give loss",
    ),
    "a loss of each": (
        Net,
        {
            "child.loss": lambda outputs, targets: F.cross_entropy(
                outputs, targets, reduction="none"
            )
        },
        r"is given \(8,\) by <lambda>, which must give one number, a mean",
    ),
    "no such metric": (Net, {"child.metrics": ["F2"]}, "metrics='F2' .*torchmetrics has no such"),
    "a metric with arguments": (Net, {"child.metrics": ["FBetaScores"]}, "has no such class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_a_line(case: str, tmp_path: Path) -> None:
    model, more, said = REFUSED[case]
    data = None if "data" in more else points
    with pytest.raises(nl.UserError, match=said) as refused:
        searched(tmp_path / "run", model, data, overrides=more)
    assert "\n" not in str(refused.value)


# ------------------------------------------------------------------------------------ space


def test_the_space_is_shown_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    space = nl.space(Net, torch.zeros(2, 4))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["3 decisions, 18 architectures", "  first: linear | twice"]
    assert lines[-4].split()[:2] == ["parameters", "multiply-adds"]
    assert repr(space) == "<ChoiceSpace of Net: 3 decisions, 18 architectures>"
    nl.space(Net(outputs=2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4].split() == ["parameters"]
    assert lines[-3].split()[0] == "smallest"
    with pytest.raises(nl.UserError, match=r"^model='ReLU' .*put nas_lightning\.Choice\("):
        nl.space(nn.ReLU)
