"""What becomes of a run whose W&B cannot be had as it was asked for."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import wandb

from nas_lightning.errors import UserError
from nas_lightning.loggers.wandb_logger import AXES, WandbLogger, _leave_out_launch


def logger(folder: Path) -> WandbLogger:
    return WandbLogger(
        folder=folder,
        run_config={},
        project="p",
        group="g",
        job_type="j",
        tags=[],
        mode="online",
    )


class Service:
    """Stands for W&B: every start but one that is offline fails."""

    def __init__(self, error: wandb.Error, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = error
        self.calls: list[str] = []
        monkeypatch.setattr(wandb, "init", self.init)
        monkeypatch.setattr(wandb, "teardown", lambda: self.calls.append("teardown"))

    def init(self, *, mode: str, **settings: Any) -> Any:
        self.calls.append(mode)
        if mode != "offline":
            raise self.error
        return self

    def define_metric(self, *names: str, **settings: Any) -> None:
        """As a run has it."""


def test_without_a_network_it_goes_on_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = wandb.errors.CommError("no route to host\nand much more")
    service = Service(error, monkeypatch)
    made = logger(tmp_path)
    for _ in range(2):
        experiment: object = made.experiment
        assert experiment is service
    assert service.calls == ["online", "teardown", "offline"]
    assert capsys.readouterr().err == (
        "warning: W&B cannot be reached (no route to host); the run is offline, and `wandb sync` "
        "can upload it later\n"
    )


def test_a_key_that_is_refused_is_for_the_user_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(wandb.errors.AuthenticationError("no such key"), monkeypatch)
    with pytest.raises(UserError, match="logger: W&B does not start: no such key"):
        _ = logger(tmp_path).experiment
    assert service.calls == ["online"]


def test_a_start_imports_no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody else has imported it, and so may have given inputs."""
    method = "_detect_and_apply_job_inputs"
    given = getattr(wandb.Run, method)  # what W&B has, or the next line would spare nothing
    monkeypatch.setattr(wandb.Run, method, given)
    monkeypatch.setitem(sys.modules, "wandb.sdk.launch", ModuleType("launch"))
    _leave_out_launch()
    assert getattr(wandb.Run, method) is given
    monkeypatch.delitem(sys.modules, "wandb.sdk.launch")
    _leave_out_launch()
    assert getattr(wandb.Run, method) is not given
    assert getattr(wandb.Run, method)(object()) is None


def test_every_family_of_metrics_has_an_axis() -> None:
    """Of one that has none, W&B draws its own steps, which mean nothing here."""
    docs = Path(__file__).parents[2] / "docs"
    text = "".join(page.read_text(encoding="utf-8") for page in docs.glob("metrics*.md"))
    families = {f"{family}/*" for family in re.findall(r"^\| `(\w+)/", text, re.MULTILINE)}
    alone = {"seeds/*"}  # of runs that are over at once, without W&B
    assert families - alone <= set(AXES)


def test_the_best_architecture_is_drawn_and_told(tmp_path: Path) -> None:
    """What is handed to W&B, offline: a picture, a table, and the counters they belong to."""
    made = logger(tmp_path)
    rows: list[dict[str, Any]] = []
    made._run = SimpleNamespace(log=rows.append)  # type: ignore[assignment]
    made.log_architecture("<svg></svg>", {"node 1": "tanh", "node 2": 0}, {"epoch": 3})
    [row] = rows
    assert row["epoch"] == 3
    assert isinstance(row["architecture/best"], wandb.Html)
    assert row["architecture/decisions"].data == [["node 1", "tanh"], ["node 2", "0"]]
