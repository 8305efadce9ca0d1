"""The same searches on a GPU: the same numbers but for rounding, and no waiting in the hot loops.

Left out where there is none; how they are run on one is said in CONTRIBUTING.md.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from nas_lightning.assembly.make import make
from nas_lightning.assembly.search import build
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.search_spaces.child import score_all
from nas_lightning.training import ChildTraining, LocalExecutor
from nas_lightning.training.captured import EAGER
from nas_lightning.training.executors import ChildJob
from tests.given import choosing, composed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

SMOKE = ("experiment=smoke", "logger=csv", "threads=1")
NOT_MEASURED = "controller.early_stop.measurements=0"
SEARCHES = {
    "lstm": (),
    "reconstruction": ("memory=reconstruction",),
    "random": ("controller=random",),
    "evolution": ("controller=evolution", "budget=digits", "trainer.max_epochs=1"),
    "batch norm": ("child.normalisation=batch", "child.weight_drop=0.2"),
    "darts": ("search_space=darts_rnn", "controller=darts", NOT_MEASURED),
    "second order": (
        "search_space=darts_rnn",
        "controller=darts",
        "controller.order=2",
        NOT_MEASURED,
    ),
    "gdas": ("search_space=darts_rnn", "controller=gdas", NOT_MEASURED),
    "drnas": ("search_space=darts_rnn", "controller=drnas", NOT_MEASURED),
    "nas_bench_201": (*choosing("nas_bench_201"), "estimator=weight_sharing"),
    "darts on nas_bench_201": (
        *choosing("nas_bench_201"),
        "estimator=weight_sharing",
        "controller=darts",
        "child.affine=false",
    ),
    "gdas on own model": (*choosing("modules"), "data=digits", "controller=gdas"),
    "own model": (*choosing("modules"), "data=digits"),
    "convolutional": ("search_space=nas_cnn", "executor=in_process", "executor.device=cuda"),
}


def searched(folder: Path, *overrides: str, callbacks: Any = ()) -> ArchitectureSearch:
    """A search that has come to its end in this process."""
    folder.mkdir(exist_ok=True)
    trainer, search = build(composed(*SMOKE, *overrides), folder)
    trainer.callbacks[:0] = callbacks  # type: ignore[attr-defined]
    trainer.fit(search)
    return search


@pytest.mark.parametrize("name", SEARCHES)
def test_every_kind_of_search_runs(name: str, tmp_path: Path) -> None:
    search = searched(tmp_path, *SEARCHES[name])
    assert search.derived is not None
    rows = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert all(row["status"] == "ok" for row in rows)
    with (tmp_path / "metrics.csv").open() as file:
        assert len(list(csv.reader(file))) > 3


def test_networks_lie_on_the_gpu_and_decisions_on_the_processor(tmp_path: Path) -> None:
    where: dict[str, set[str]] = {}

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer: Any, search: Any, *_: Any) -> None:
            for name in ("estimator", "controller", "memory"):
                of = getattr(search, name).parameters()
                where.setdefault(name, set()).update(p.device.type for p in of)

    searched(tmp_path, "memory=reconstruction", callbacks=[Look()])
    assert where == {"estimator": {"cuda"}, "controller": {"cpu"}, "memory": {"cpu"}}


@contextmanager
def nothing_is_waited_for() -> Iterator[None]:
    """What synchronises raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class NeverWait(pl.Callback):
    """Child steps, but for the first ones, in which libraries allocate."""

    def __init__(self) -> None:
        self.watched = 0

    def on_train_batch_start(self, trainer: Any, search: Any, batch: Any, _: int) -> None:
        if batch.phase in ("child", "relaxed") and search.counters["child_step"] > 1:
            self.watched += 1
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["lstm", "random", "batch norm", "darts"])
def test_child_steps_wait_for_nothing(name: str, tmp_path: Path) -> None:
    """The rows of metrics apart, which are written every so many steps."""
    watch = NeverWait()
    try:
        searched(tmp_path, *SEARCHES[name], "search.log_every=1000", callbacks=[watch])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watch.watched > 3


def recurrent(*overrides: str) -> tuple[Any, Any, Any]:
    """A space, data, and a child with random weights."""
    cfg = composed(*SMOKE, "search_space.num_nodes=5", *overrides)
    space, data = make(cfg, "search_space"), make(cfg, "data")
    child = make(cfg, "child", space=space, **data.sizes)
    child.reset_parameters(torch.Generator().manual_seed(0))
    return space, data, child.eval()


def test_scoring_waits_for_nothing() -> None:
    space, data, child = recurrent()
    child, batches = child.cuda(), data.to("cuda").validation_batches()
    cells = space.sample(20, torch.Generator().manual_seed(0))
    with torch.no_grad():
        score_all(child, batches, cells)
        with nothing_is_waited_for():
            score_all(child, batches, cells.flip(0))


@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_losses_and_gradients_are_those_of_the_processor(normalisation: str) -> None:
    space, data, child = recurrent(f"child.normalisation={normalisation}")
    cells = space.sample(6, torch.Generator().manual_seed(0))
    found = []
    for device in ("cpu", "cuda"):
        there = child.to(device)
        there.zero_grad()
        score = there.score(data.to(device).train_batch(0), cells)
        torch.autograd.backward(score.loss_sum.sum())
        gradients = [None if p.grad is None else p.grad.clone().cpu() for p in there.parameters()]
        found.append((score.loss_sum.detach().clone().cpu(), gradients))
    (losses, wanted), (on_gpu, gradients) = found
    torch.testing.assert_close(on_gpu, losses, rtol=1e-4, atol=1e-3)
    for actual, expected in zip(gradients, wanted, strict=True):
        assert (actual is None) == (expected is None)
        if actual is not None and expected is not None:
            scale = float(expected.abs().max())
            torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3 * scale + 1e-6)


def test_a_smaller_precision_is_that_of_the_networks(tmp_path: Path) -> None:
    search = searched(tmp_path, "+trainer.precision=bf16-mixed")
    assert search.derived is not None


def test_a_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Rounding apart: on a GPU sums are taken in any order."""
    whole = searched(tmp_path / "whole", "trainer.max_epochs=2")
    searched(tmp_path / "here", "trainer.max_epochs=1")
    trainer, search = build(composed(*SMOKE, "trainer.max_epochs=2"), tmp_path / "here")
    trainer.fit(search, ckpt_path=str(tmp_path / "here/checkpoints/last.ckpt"), weights_only=False)
    assert search.counters == whole.counters
    for name, value in whole.latest.items():
        if name.startswith("derive/") and "loss" in name:
            assert search.latest[name] == pytest.approx(value, rel=0.02), name


def children(space: str) -> tuple[ChildJob, list[tuple[int, ...]]]:
    """A job that trains children, and some of them."""
    cfg = composed(*SMOKE, f"search_space={space}", "estimator=from_scratch")
    made, data = make(cfg, "search_space"), make(cfg, "data")
    child = make(cfg, "child", space=made, **data.sizes)
    training = ChildTraining(
        epochs=2,
        learning_rate=0.1,
        schedule="cosine",
        momentum=0.9,
        nesterov=True,
        weight_decay=0,
        gradient_clip=0.25,
    )
    drawn = made.sample(3, torch.Generator().manual_seed(0)).tolist()
    return ChildJob(child=child, data=data, training=training, seed=0), list(map(tuple, drawn))


@pytest.mark.parametrize("space", ["enas_rnn", "nas_cnn"])
def test_captured_steps_do_what_steps_do(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job, group = children(space)
    here = job.to("cuda")
    assert here.data.train_batches > EAGER + 2
    captured = here.train(group)
    monkeypatch.setattr(type(job.child), "capturable", False)
    eager = here.train(group)
    for one, other in zip(captured, eager, strict=True):
        assert one.status == other.status == "ok"
        assert one.history["loss"] == pytest.approx(other.history["loss"], rel=0.02)


def test_workers_share_a_gpu() -> None:
    job, group = children("nas_cnn")
    executor = LocalExecutor(workers=2, devices="cuda", child_timeout=None)
    found: dict[tuple[int, ...], str] = {}
    try:
        executor.run(job, [[one] for one in group], lambda one, r: found.update({one: r.status}))
    finally:
        executor.close()
    assert found == dict.fromkeys(group, "ok")
