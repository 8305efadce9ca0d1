"""What the framework costs: a whole run against the same steps in a bare loop.

The bare loop is what one would write without it: the same parts, seeds and steps, no trainer, no
loggers, ledger, callbacks or checkpoints. It comes to the same weights, bit for bit.
"""

from __future__ import annotations

import gc
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback
from torch import Tensor, nn

from benchmarks.numbers import Number
from benchmarks.timing import repeats, seconds
from nas_lightning.assembly.run import quiet_lightning
from nas_lightning.assembly.search import build
from nas_lightning.assembly.threads import share_out
from nas_lightning.callbacks.analysis import Analysis
from nas_lightning.data.base import Batch
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.estimators.base import Evaluation


class BareLoop:
    """A search under shared weights by a controller that learns, without memory.

    Args:
        parts: A search as it was built, of which only the parts are used.
    """

    def __init__(self, parts: ArchitectureSearch) -> None:
        self.parts = parts
        self.child, self.controller = parts.configure_optimizers()
        self.best: tuple[list[int], float] | None = None

    def epoch(self) -> None:
        """All steps of the next epoch."""
        for batch in self.parts.stream:
            if batch.phase == "child":
                self._child_step(batch.batches[0], batch.epoch)
            elif batch.phase == "controller":
                self._controller_step(batch.batches)
            else:
                self._derive(batch.batches)

    def _child_step(self, batch: Batch, epoch: int) -> None:
        estimator, generators = self.parts.estimator, self.parts.generators
        with torch.no_grad():
            proposal = self.parts.controller.ask(1, generators("child architectures"))
        loss = estimator.training_loss(proposal.architectures, batch, generators("dropout"))
        for group in self.child.param_groups:
            group["lr"] = group["initial_lr"] * estimator.learning_rate_factor(epoch)
        self.child.zero_grad()
        torch.autograd.backward(loss)
        if estimator.gradient_clip is not None:
            nn.utils.clip_grad_norm_(estimator.parameters(), estimator.gradient_clip)
        self.child.step()

    def _controller_step(self, batches: Sequence[Batch]) -> None:
        parts = self.parts
        n, generators = parts.architectures_per_step, parts.generators
        proposal = parts.controller.ask(n, generators("rollouts"))
        evaluation = parts.estimator.evaluate(proposal.architectures, batches)
        rewards = parts.judge.reward(evaluation)
        loss = parts.controller.tell(proposal, rewards, evaluation, generators("controller"))
        assert loss is not None
        self.controller.zero_grad()
        torch.autograd.backward(loss)
        self.controller.step()

    @torch.no_grad()
    def _derive(self, batches: Sequence[Batch]) -> None:
        parts, generators, sizes = self.parts, self.parts.generators, self.parts.derivation
        drawn = parts.controller.ask(sizes.candidates, generators("candidates")).architectures
        n = sizes.candidate_minibatches
        places = max(0, len(batches) - n) + 1
        start = int(torch.randint(places, (), generator=generators("validation place")))
        few = batches[start : start + n]
        candidates: Tensor = drawn.unique(dim=0)
        judged = parts.estimator.evaluate(candidates, few)
        uniform = parts.space.sample(sizes.uniform_candidates, generators("uniform candidates"))
        parts.estimator.evaluate(uniform, few)
        finalists = candidates[judged.ranking()[: sizes.finalists]]
        before, self.best = self.best, None
        if before is not None:
            again = finalists.new_tensor([before[0]])
            self._keep(again, parts.estimator.evaluate(again, batches))
            finalists = finalists[[actions != before[0] for actions in finalists.tolist()]]
        if len(finalists) > 0:
            self._keep(finalists, parts.estimator.evaluate(finalists, batches))

    def _keep(self, architectures: Tensor, evaluation: Evaluation) -> None:
        first = int(evaluation.ranking()[0])
        value, sign = float(evaluation.values[first]), evaluation.objective.sign
        if self.best is None or math.isnan(self.best[1]) or sign * value > sign * self.best[1]:
            self.best = architectures[first].tolist(), value


class Seconds(NamedTuple):
    """What an epoch took.

    Attributes:
        run: The run.
        looks: Its analyses, which look into the controller; they are a part of it.
        bare: The bare loop.
    """

    run: float
    looks: float
    bare: float


class Turns(Callback):
    """Lets a bare loop do its epoch after each of the run's, and times both.

    Args:
        search: The run's.
        bare: The bare loop.
    """

    def __init__(self, search: ArchitectureSearch, bare: BareLoop) -> None:
        self.search = search
        self.bare = bare
        self.epochs: list[Seconds] = []
        self._looks = 0.0
        self._since = time.perf_counter()

    def time_looks(self, analysis: Analysis) -> None:
        """Time what an analysis does."""
        look = analysis.look

        def timed(search: ArchitectureSearch, folder: Path) -> None:
            self._looks += seconds(lambda: look(search, folder))

        analysis.look = timed  # type: ignore[method-assign]

    def on_train_epoch_end(self, *_: Any) -> None:
        """Stop the run's clock while the other one works."""
        run, looks = time.perf_counter() - self._since, self._looks
        for _repeat in repeats(1):
            self.epochs.append(Seconds(run, looks, seconds(self.bare.epoch)))
        self._since, self._looks = time.perf_counter(), 0.0

    def close(self) -> None:
        """Add what the run did after its last epoch."""
        last = self.epochs[-1]
        self.epochs[-1] = last._replace(run=last.run + time.perf_counter() - self._since)


def overhead(cfg: DictConfig) -> list[Number]:
    """The time of a run's training, all that is around it included, over that of the bare loop.

    Epoch by epoch in turn; the ratio is that of the sums, for callbacks do more in some epochs
    than in others. Building is not timed: it is the same for both. The analyses, which are what
    a run is made for as much as its best architecture is, are told apart.

    Args:
        cfg: The configuration of the run.
    """
    with tempfile.TemporaryDirectory() as folder:
        epochs = in_turn(cfg, Path(folder)).epochs
    run, looks, bare = (sum(side) for side in zip(*epochs, strict=True))
    whole = [epoch.run / epoch.bare for epoch in epochs]
    without = [(epoch.run - epoch.looks) / epoch.bare for epoch in epochs]
    return [
        Number(
            what="time over the bare loop's",
            value=run / bare,
            lowest=min(whole),
            highest=max(whole),
            at_most=1.10,
            beside={"seconds of the run": run, "of the bare loop": bare},
        ),
        Number(
            what="the same without the analyses",
            value=(run - looks) / bare,
            lowest=min(without),
            highest=max(without),
            at_most=1.05,
            beside={"seconds of the analyses": looks},
        ),
    ]


def in_turn(cfg: DictConfig, folder: Path) -> Turns:
    """Do a run and the bare loop, epoch by epoch in turn.

    Args:
        cfg: The configuration of the run.
        folder: Where it writes.
    """
    quiet_lightning()
    _, parts = build(cfg, folder)
    trainer, search = build(cfg, folder)
    share_out(cfg, search)
    gc.freeze()  # as in the command: what was imported is never looked at again
    parts.estimator.processes = search.estimator.processes
    turns = Turns(search, BareLoop(parts))
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, Analysis):
            turns.time_looks(callback)
    callbacks.append(turns)
    try:
        trainer.fit(search)
    finally:
        search.metrics.close()
        search.ledger.close()
        search.estimator.close()
        parts.estimator.close()
    turns.close()
    return turns
