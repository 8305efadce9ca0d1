"""What a job returns, by which Hydra's sweepers go: its objective, on no test split."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.run import run
from nas_lightning.commands import retrain as retraining
from nas_lightning.commands.application import ListFailures, job

OVERRIDES = (
    "search_space=function",
    "search_space.decisions={a:[1,2,3],b:[1,2,3]}",
    "estimator=function",
    f"estimator.evaluate={__name__}.evaluate",
    "estimator.metrics={error:less}",
    "estimator.objective=error",
    "reward=objective",
    "controller=random",
    "logger=csv",
    "threads=1",
    "trainer.max_epochs=1",
    "search.candidates=4",
    "search.uniform_candidates=2",
)


def evaluate(architecture: dict[str, int]) -> dict[str, float]:
    return {"error": float(architecture["a"] - architecture["b"])}


def composed(*more: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [*OVERRIDES, *more])
    OmegaConf.set_struct(cfg, False)
    cfg.pop("hydra", None)
    return cfg


def test_a_search_returns_its_best_value(tmp_path: Path) -> None:
    """Also where it has finished before."""
    best = run(composed(), tmp_path / "run")
    found = json.loads((tmp_path / "run/best_architecture.json").read_text())
    assert best == found["metrics"]["error"]
    assert best == min(
        json.loads(line)["metrics"]["error"]
        for line in (tmp_path / "run/ledger.jsonl").read_text().splitlines()
        if json.loads(line)["purpose"] != "uniform"
    )
    assert run(composed(), tmp_path / "run") == best


@pytest.mark.parametrize(
    ("mode", "kept"), [(RunMode.MULTIRUN, False), (RunMode.RUN, True)], ids=["multirun", "single"]
)
def test_a_job_returns_it_or_its_failure(
    mode: RunMode, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = SimpleNamespace(cwd=str(tmp_path), output_dir=str(tmp_path / "run"))
    hydra = SimpleNamespace(mode=mode, runtime=runtime, job=SimpleNamespace(chdir=False))
    monkeypatch.setattr(HydraConfig, "get", lambda: hydra)
    monkeypatch.setattr(ListFailures, "error", None)
    assert job(composed(), lambda cfg, folder: 0.25) == 0.25

    def refuse(cfg: Any, folder: Path) -> float:
        return run(composed("search.candidates=0"), folder) or 0.0

    outcome = job(composed(), refuse)
    assert isinstance(outcome, tuple)
    code, reason = outcome
    assert code == 2
    assert "candidates=0 is not allowed" in reason
    assert (ListFailures.error is not None) == kept


def test_a_retraining_returns_its_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result: dict[str, Any] = {
        "decisions": {},
        "actions": [],
        "kind": "final",
        "objective": "loss",
        "seed": 0,
        "config": {},
        "networks": {"architecture": {"validation": {"loss": 0.5}, "test": {"loss": 9.0}}},
    }

    def retrain(cfg: Any, folder: Path) -> None:
        (folder / "retrained.json").write_text(json.dumps(result))

    hydra = SimpleNamespace(mode=RunMode.MULTIRUN)
    monkeypatch.setattr(retraining, "HydraConfig", SimpleNamespace(get=lambda: hydra))
    monkeypatch.setattr(retraining, "retrain", retrain)
    assert retraining._run(OmegaConf.create(), tmp_path) == 0.5
    result["networks"]["architecture"]["validation"]["loss"] = None
    assert retraining._run(OmegaConf.create(), tmp_path) is None, "it has diverged"
