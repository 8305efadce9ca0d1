"""Every argument of Lightning's Trainer has its effect on a search, or is refused in one line."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from nas_lightning.assembly import run as experiment
from nas_lightning.assembly.trainer_arguments import REFUSED, SUPPORTED
from nas_lightning.errors import UserError
from nas_lightning.runs.config import read_config
from nas_lightning.runs.folder import BEST, LAST
from tests.given import composed
from tests.ledger_rows import ledger_rows
from tests.processes import CNN, TINY, differing

LOOKS = tuple(
    f"~callbacks.{name}"
    for name in ("hidden_states", "heat_maps", "probes", "similarity", "diversity", "progress")
)
QUICK = (*TINY, *LOOKS)
ARGUMENTS = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}


class StopAfter(pl.Callback):
    """Asks Lightning to stop, at a step counted from 1 over all epochs."""

    def __init__(self, *, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, search: Any, *rest: Any) -> None:
        stream = search.stream
        trainer.should_stop = stream.epoch * len(stream) + stream.position == self.step


def search(folder: Path, *overrides: str, settings: tuple[str, ...] = QUICK) -> None:
    """Search in this process."""
    cfg = composed(*settings, *overrides)
    OmegaConf.set_struct(cfg, False)
    cfg.pop("hydra", None)
    experiment.run(cfg, folder)


def go_on(folder: Path, **trainer: object) -> None:
    """Resume a run in this process."""
    config = read_config(folder)
    config["trainer"].update(trainer)
    experiment.run(OmegaConf.create(config), folder)


def saved(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / LAST, weights_only=True)
    return found


@pytest.fixture
def deterministic_as_before() -> Iterator[None]:
    """Lightning sets it for the whole process."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def test_every_argument_is_supported_or_refused() -> None:
    assert not SUPPORTED.keys() & REFUSED.keys()
    assert SUPPORTED.keys() | REFUSED.keys() == ARGUMENTS


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_argument_says_what_does_it_here(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        search(tmp_path / "run", f"+trainer.{name}=1")
    line = str(refused.value)
    assert line.startswith(f"trainer.{name}=1: ")
    assert "\n" not in line
    assert not (tmp_path / "run/ledger.jsonl").exists(), "the run has begun"


WRONG = {
    "an argument of a later Lightning": ("+trainer.warp=9", "trainer.warp=9: no such key"),
    "half precision": ("+trainer.precision=16-mixed", "must be 32-true or bf16-mixed"),
    "a number for a time": ("trainer.max_time=90", "trainer.max_time=90 is not allowed: must be"),
    "no time": ("trainer.max_time=soon", "DD:HH:MM:SS"),
    "a number for a profiler": ("+trainer.profiler=3", "trainer.profiler=3 is not allowed"),
    "an unknown profiler": ("+trainer.profiler=nosuch", "trainer: "),
    "perhaps": ("+trainer.detect_anomaly=maybe", "must be true or false"),
    "a determined word": ("+trainer.deterministic=maybe", "must be true, false or warn"),
    "epochs at least": ("+trainer.min_epochs=1.5", "trainer.min_epochs=1.5 is not allowed"),
    "no checkpoints": ("~callbacks.checkpoint", "callbacks.checkpoint: cannot be left out"),
    "no best": ("~callbacks.best", "callbacks.best: cannot be left out"),
}


@pytest.mark.parametrize("row", WRONG)
def test_a_wrong_value(row: str, tmp_path: Path) -> None:
    override, says = WRONG[row]
    with pytest.raises(UserError) as refused:
        search(tmp_path / "run", override)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("argument", ["precision=bf16-mixed", "deterministic=true"])
def test_what_would_not_reach_children(argument: str, tmp_path: Path) -> None:
    says = rf"(?i)^trainer.{argument}: acts on shared weights alone"
    with pytest.raises(UserError, match=says):
        search(tmp_path / "run", f"+trainer.{argument}", settings=CNN)


def test_an_argument_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_TRAINER_MAX_STEPS", "3")
    with pytest.raises(UserError, match=r"^PL_TRAINER_MAX_STEPS=3: .*give trainer.max_steps"):
        search(tmp_path / "run")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without any switch; read only."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    search(folder)
    return folder


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    "argument",
    ["accelerator=cpu", "min_epochs=1", "detect_anomaly=true", "deterministic=true"],
)
def test_without_an_effect_on_numbers(
    argument: str, plain: Path, tmp_path: Path, deterministic_as_before: None
) -> None:
    name = argument.partition("=")[0]
    search(tmp_path / "run", f"{'' if name == 'accelerator' else '+'}trainer.{argument}")
    assert differing(tmp_path / "run", plain) == []
    assert torch.are_deterministic_algorithms_enabled() == (name == "deterministic")


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_a_smaller_precision(normalisation: str, tmp_path: Path) -> None:
    """The cells compute in it; weights, losses and the controller's probabilities do not."""
    settings = (f"child.normalisation={normalisation}", "+trainer.precision=bf16-mixed")
    search(tmp_path / "run", *settings)
    assert (tmp_path / "run/DONE").exists()
    weights = saved(tmp_path / "run")["state_dict"]
    carried = weights.pop("estimator._extra_state")["state"]
    assert carried.dtype == torch.bfloat16
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.usefixtures("no_page")
def test_a_profiler_shows_its_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    search(tmp_path / "run", "+trainer.profiler=simple", "trainer.max_epochs=1")
    assert "run_training_batch" in caplog.text


def test_a_time_limit_is_a_stop_not_an_end(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every stretch has all of the time: what a checkpoint says was spent does not count."""
    folder = tmp_path / "run"
    limit = "trainer.max_time={seconds: 1000}"
    stop = (f"+callbacks.stop._target_={__name__}.StopAfter", "+callbacks.stop.step=3")
    search(folder, limit, *stop)
    said = capsys.readouterr()
    line = said.err.splitlines()[-1]
    assert line.startswith("stopped in epoch 1 of 2 (")
    assert " search stopped " in said.out
    assert "best architecture" in said.out
    assert {"report.html", BEST} <= {path.name for path in folder.iterdir()}, "it has derived"
    assert "go on with: python train.py resume=" in line
    assert not list(folder.glob("DONE")) + list(folder.glob("FAILED"))
    at = saved(folder)
    assert at["search"]["counters"]["child_step"] == 3, "saved where it stopped"
    assert "; with trainer.max_epochs=1 it ends there" in line
    shorter = shutil.copytree(folder, tmp_path / "shorter")
    go_on(shorter, max_epochs=1)  # the rest of the epoch that has begun
    assert (shorter / "DONE").exists()
    assert saved(shorter)["search"]["epochs_derived"] == 1
    assert "Timer" not in at["callbacks"]
    go_on(shutil.copytree(folder, tmp_path / "without"), max_time=None)
    go_on(folder, max_time="00:08:00:00")
    assert (folder / "DONE").exists()
    differ = [name for name in differing(folder, plain) if not name.startswith("checkpoint.callb")]
    assert differ == []


@pytest.mark.usefixtures("no_page")
def test_a_time_limit_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(tmp_path / "run", "trainer.max_time=00:00:00:00")
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped in epoch 1 of 2 (")
    assert not (tmp_path / "run/DONE").exists()


@pytest.mark.usefixtures("no_page")
def test_stopped_while_children_are_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best ever judged is known: nothing is trained for it after the time is over."""
    stop = (f"+callbacks.stop._target_={__name__}.StopAfter", "+callbacks.stop.step=1")
    search(tmp_path / "run", *stop, settings=CNN)
    rows = ledger_rows(tmp_path / "run/ledger.jsonl")
    assert {row["purpose"] for row in rows} == {"controller"}
    best = max(rows, key=lambda row: row["metrics"]["accuracy"])
    assert json.loads((tmp_path / "run" / BEST).read_text())["actions"] == best["actions"]
    assert "stopped in epoch 1 of 2 (" in capsys.readouterr().err


def test_callbacks_of_lightnings_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They see what is recorded; a run that one has ended goes on, and a finished one, too."""
    folder = tmp_path / "run"
    stop = {
        "_target_": "pytorch_lightning.callbacks.EarlyStopping",
        "monitor": "child/loss",
        "patience": 1,
        "min_delta": 1e6,  # nothing is ever better
    }
    given = [f"+callbacks.stop.{name}={value}" for name, value in stop.items()]
    search(folder, "trainer.max_epochs=4", *given)
    assert "stopped in epoch 2 of 4 (" in capsys.readouterr().err
    assert saved(folder)["search"]["epochs_derived"] == 2
    assert not (folder / "DONE").exists()
    declared_finished(shutil.copytree(folder, tmp_path / "ended"))
    go_on(folder)
    go_on(folder)
    assert (folder / "DONE").exists()


def declared_finished(folder: Path) -> None:
    """With the epochs it has begun it ends at once: nothing is searched, the rest is written."""
    ledger = (folder / "ledger.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"has begun epoch 2; give trainer\.max_epochs=2, with"):
        go_on(folder, max_epochs=1)
    assert not (folder / "FAILED").exists(), "a wrong request does no harm"
    go_on(folder, max_epochs=2)
    assert {"DONE", "report.html"} <= {path.name for path in folder.iterdir()}
    assert (folder / "ledger.jsonl").read_bytes() == ledger
    assert read_config(folder)["trainer"]["max_epochs"] == 2


@pytest.mark.usefixtures("no_page")
def test_a_failing_table_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Path
) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("a bug in the table")

    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("nas_lightning.report.terminal.summary", broken)
        with pytest.raises(RuntimeError):
            search(folder)
    assert "a bug in the table" in (folder / "FAILED").read_text()
    assert not (folder / "DONE").exists()
    go_on(folder)  # nothing is left but the table
    assert differing(folder, plain) == []
