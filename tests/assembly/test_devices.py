"""Who computes on which of a machine's GPUs. That there are any is pretended."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.trainer_arguments import devices_of
from nas_lightning.training import LocalExecutor


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)


@pytest.fixture
def sweep() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


def job(number: int | None, *overrides: str) -> DictConfig:
    """The configuration of a job of a sweep, or of a single run."""
    mode = "RUN" if number is None else "MULTIRUN"
    hydra = [f"hydra.mode={mode}", f"hydra.job.num={number or 0}", "hydra.job.id=x"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [*hydra, *overrides], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


def test_a_sweeps_jobs_take_the_gpus_in_turn(three_gpus: None, sweep: None) -> None:
    """Unless they are told which, or to do without."""
    assert [devices_of(job(n)) for n in range(4)] == [[0], [1], [2], [0]]
    assert devices_of(job(None)) == 1
    assert devices_of(job(4, "trainer.accelerator=cpu")) == 1
    assert devices_of(job(4, "trainer.devices=[2]")) == [2]


def test_on_one_device_there_is_no_turn(monkeypatch: pytest.MonkeyPatch, sweep: None) -> None:
    for gpus in (0, 1):
        monkeypatch.setattr("torch.cuda.device_count", lambda gpus=gpus: gpus)
        assert devices_of(job(5)) == 1


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("cpu", ["cpu"] * 4),
        ("cuda:1", ["cuda:1"] * 4),
        ("cuda", ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]),
        (["cuda:2", "cuda:0"], ["cuda:2", "cuda:0", "cuda:2", "cuda:0"]),
    ],
)
def test_children_take_the_devices_in_turn(
    asked: str | list[str], taken: list[str], three_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = LocalExecutor(workers=1, devices=asked, child_timeout=None)
    scheduled: list[Any] = []
    pool = SimpleNamespace(active=True, schedule=lambda work, args, timeout: scheduled.append(args))
    monkeypatch.setattr(executor, "_pool", pool)
    for number in range(4):
        executor.submit(None, [(number,)])  # type: ignore[arg-type]
    assert scheduled == [([(number,)], device) for number, device in enumerate(taken)]


@pytest.mark.parametrize("asked", ["cuda:3", ["cpu", "abacus"], []])
def test_other_devices_are_refused(asked: str | list[str], three_gpus: None) -> None:
    with pytest.raises(ValueError, match="devices="):
        LocalExecutor(workers=1, devices=asked, child_timeout=None)
