"""The alternation: train the shared weights, train the controller, derive the best architecture.

This is the file to read first. An epoch is a stream of batches (`phases.py`), and each kind of
batch has one method here:

    child        one training step of the shared weights, under an architecture just proposed
    relaxed      in its place where the controller relaxes: a step of its logits on validation data,
                 and one of the shared weights, under the mixture (`relaxation.py`)
    controller   the controller is asked for architectures, which are judged (`judge.py`), and told
                 how they did; a memory may add its loss
    derive       candidates are judged, and the best is kept (`derivation.py`)

Nothing here knows which space is searched, what proposes, or how architectures are judged.
Optimization is manual (two optimizers, stepped at different times), and Lightning's `global_step`
would count both, so the search keeps counters of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, Rollout
from nas_lightning.data.base import Batch, Data, Fact
from nas_lightning.engine.checkpoint import restore, search_state
from nas_lightning.engine.derivation import Derivation, Derived
from nas_lightning.engine.expenses import TRAINING
from nas_lightning.engine.growth import grow
from nas_lightning.engine.judge import Judge
from nas_lightning.engine.optimizers import make_optimizers, set_rate, settle, step_on_both
from nas_lightning.engine.phases import PhaseBatch, PhaseStream
from nas_lightning.engine.relaxation import RelaxedSteps
from nas_lightning.errors import require_one_of, require_whole
from nas_lightning.estimators.base import Estimator
from nas_lightning.generators import Generators
from nas_lightning.memories.base import Memory
from nas_lightning.metrics import Metric
from nas_lightning.rewards import Reward
from nas_lightning.runs.ledger import Ledger, Metrics
from nas_lightning.runs.tensors import refuse_other_shapes
from nas_lightning.search_spaces.base import SearchSpace


class ArchitectureSearch(pl.LightningModule):
    """One search.

    Budgets are equal between controllers: the same child steps, and the same number of
    (architecture, validation minibatch) evaluations an epoch. What a learning controller spends on
    its steps, one that does not learn spends on more candidates at the derivation.

    Args:
        space: What is searched.
        controller: What proposes.
        estimator: What judges.
        reward: What the controller is told.
        memory: A second loss for the controller.
        data: Where batches come from, or None for an estimator that needs none.
        ledger: Where every architecture judged is written.
        metrics: Where metrics are written, beside Lightning's loggers.
        generators: All randomness.
        architectures_per_step: How many are asked for at a controller step, M.
        child_architectures: Whose the architectures of child steps are: the `controller`'s, or
            `uniform` ones. They are uniform, too, where the controller has no policy.
        candidates: Architectures proposed at a derivation.
        candidate_minibatches: Consecutive validation minibatches on which candidates are judged.
        finalists: Candidates that are judged again, on the whole validation split, beside the best
            architecture so far.
        uniform_candidates: Uniform architectures judged beside the candidates, to see whether the
            controller proposes better ones.
        beside: The actions of an architecture made by hand, judged beside what is derived; or None.
        log_every: Child steps between two rows of metrics.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        controller: Controller,
        estimator: Estimator,
        reward: Reward,
        memory: Memory,
        data: Data | None,
        ledger: Ledger,
        metrics: Metrics,
        generators: Generators,
        architectures_per_step: int,
        child_architectures: Literal["controller", "uniform"],
        candidates: int,
        candidate_minibatches: int,
        finalists: int,
        uniform_candidates: int,
        beside: Sequence[int] | None,
        log_every: int,
    ) -> None:
        super().__init__()
        require_whole("architectures_per_step", architectures_per_step, at_least=1)
        controller.require_enough("architectures_per_step", architectures_per_step)
        require_one_of("child_architectures", child_architectures, ("controller", "uniform"))
        require_whole("log_every", log_every, at_least=1)
        self.automatic_optimization = False
        self.space = space
        self.controller = controller
        self.estimator = estimator
        self.data = data
        self.memory = memory
        self.ledger = ledger
        self.metrics = metrics
        self.generators = generators
        self.architectures_per_step = architectures_per_step
        self.child_architectures = child_architectures
        self.log_every = log_every
        self.data_description: Mapping[str, Fact] = data.description if data else {}
        self.counters = dict.fromkeys(Metrics.AXES, 0)
        self._make_phases(
            reward,
            partial(
                Derivation,
                candidates=candidates,
                candidate_minibatches=candidate_minibatches,
                finalists=finalists,
                uniform_candidates=uniform_candidates,
                beside=beside,
            ),
        )
        self.epochs_derived = 0
        """Epochs that have come to their derivation; each is the last step of its epoch."""
        self.latest: dict[str, float] = {}
        """The last recorded value of every metric."""
        self.first: dict[str, float] = {}
        """The first recorded value of every metric."""
        self.derived: Derived | None = None
        """What the last derivation has come to."""
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw all that is random before the first step."""
        self.controller.reset_parameters(self.generators("controller weights"))
        self.memory.reset_parameters(self.generators("memory weights"))
        self.estimator.reset_parameters(self.generators("shared weights"))

    def _make_phases(self, reward: Reward, derivation: Callable[..., Derivation]) -> None:
        """Make what the phases are done with: their stream, the judge, the derivation."""
        controller, estimator = self.controller, self.estimator
        learns, relaxation = controller.learns, controller.as_relaxation
        self.relaxed = None if relaxation is None else RelaxedSteps(relaxation, estimator)
        self.stream = PhaseStream(
            self.data if estimator.uses_batches else None,
            child_steps=estimator.phases.child_steps,
            controller_steps=estimator.phases.controller_steps if learns else 0,
            seed=self.generators.seed,
            one_minibatch=controller.compares,
            relaxed=relaxation is not None,
        )
        self.judge = Judge(
            estimator=estimator,
            reward=reward,
            ledger=self.ledger,
            counters=self.counters,
            grow=partial(grow, self.space, controller),
            precision=self.child_precision,
            seed=self.generators.seed,
        )
        self.derivation = derivation(
            controller=controller,
            judge=self.judge,
            generators=self.generators,
            controller_steps=0 if learns or self.relaxed else estimator.phases.controller_steps,
            architectures_per_step=self.architectures_per_step,
        )

    # ----------------------------------------------------------------- the three phases

    def training_step(self, batch: PhaseBatch, batch_idx: int) -> None:
        """Do what the batch's phase says.

        A smaller `trainer.precision` is that of the child networks. Lightning would lower the
        controller's, too: few and small numbers, whose probabilities have to be right.
        """
        self.counters["epoch"] = batch.epoch
        with torch.autocast(self.device.type, enabled=False):
            if batch.phase == "child":
                self._child_step(batch.batches[0])
            elif batch.phase == "relaxed" and self.relaxed is not None:
                self.relaxed(self, batch.batches)
            elif batch.phase == "controller":
                self._controller_step(batch.batches)
            else:
                self._derive(batch.batches)

    def _child_step(self, batch: Batch) -> None:
        architectures = self._for_a_child_step()
        dropout = self.generators("dropout", self.device)
        with self.child_precision():
            loss = self.estimator.training_loss(architectures, batch, dropout)
        self.learn_weights(loss)
        self.judge.expenses.of_networks(architectures, [batch], TRAINING)
        self.counters["child_step"] += 1
        if self.counters["child_step"] % self.log_every == 0:
            self.record({"child/loss": loss})

    @torch.no_grad()
    def _for_a_child_step(self) -> Tensor:
        """The one architecture `(1, T)` under which the shared weights are trained next."""
        generator = self.generators("child architectures")
        if self.child_architectures == "uniform" or self.controller.as_policy is None:
            return self.controller.space.sample(1, generator)
        return self.controller.ask(1, generator).architectures

    def _controller_step(self, batches: Sequence[Batch]) -> None:
        if self.counters["controller_step"] % self.stream.controller_steps == 0:
            self._begin_controller_phase()
        asked = self.controller.ask(self.architectures_per_step, self.generators("rollouts"))
        evaluation, rewards = self.judge(asked.architectures, batches, "controller", asked.origins)
        loss = self.controller.tell(asked, rewards, evaluation, self.generators("controller"))
        recalled = self.memory.loss(
            self.controller, self.counters["epoch"], self.generators("memory")
        )
        if recalled is not None:
            self._learn_both(loss, recalled)
        elif loss is not None:
            self._step(self.optimizer_of("controller"), loss, None)
        self.counters["controller_step"] += 1
        numbers: dict[str, Tensor | float] = {} if loss is None else {"controller/loss": loss}
        numbers |= {
            "controller/reward": rewards.mean(),
            "controller/reward_std": rewards.std(correction=0),
        }
        if isinstance(asked, Rollout):
            numbers["controller/entropy"] = asked.entropies.detach().sum(dim=1).mean()
        numbers[f"controller/{evaluation.objective.name}"] = evaluation.values.mean()
        self.record({**numbers, **self.controller.numbers()})

    def _begin_controller_phase(self) -> None:
        """Tell both that an epoch begins; the memory may learn ahead of the controller."""
        if not self.estimator.comparable:
            self.controller.renew()
        self.memory.begin_epoch(self.controller, self.counters["epoch"], self.generators("memory"))
        if self.memory.stored:
            self.record({"memory/stored": float(self.memory.stored)})

    def _learn_both(self, loss: Tensor | None, recalled: Tensor) -> None:
        """One step on the controller's loss, if any, and the memory's, each with its own gradient.

        Their graphs share nothing but parameters, so two backward passes cost what one would.
        """
        norms = step_on_both(
            (loss, self.memory.weight * recalled),
            [*self.controller.parameters(), *self.memory.parameters()],
            of=[*self.controller.parameters()],
            optimizer=self.optimizer_of("controller"),
            backward=self.manual_backward,
        )
        self.record({"memory/loss": recalled, "memory/gradient_ratio": norms[1] / norms[0]})

    @torch.no_grad()
    def _derive(self, batches: Sequence[Batch]) -> None:
        self.derived = self.derivation(batches)
        self.epochs_derived = self.counters["epoch"] + 1
        self.record(self.derived.numbers)

    # ----------------------------------------------------------------- their tools

    def child_precision(self) -> AbstractContextManager[None]:
        """Where child networks compute: in `trainer.precision`."""
        return self.trainer.precision_plugin.forward_context()

    def learn_weights(self, loss: Tensor) -> None:
        """One step of the shared weights, by the estimator's rate and clipping."""
        optimizer = self.optimizer_of("estimator")
        set_rate(optimizer, self.estimator.learning_rate_factor(self.counters["epoch"]))
        self._step(optimizer, loss, self.estimator.gradient_clip)

    def _step(self, optimizer: Any, loss: Tensor, clip: float | None) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        if clip is not None:
            self.clip_gradients(optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
        optimizer.step()

    def record(self, metrics: dict[str, Tensor | float]) -> None:
        """Write metrics to the run's file and to the loggers, and show them to callbacks."""
        numbers = {
            name: float(value.detach() if isinstance(value, Tensor) else value)
            for name, value in metrics.items()
        }
        self.first = numbers | self.first
        self.latest.update(numbers)
        self._show(numbers)
        self.metrics.record(self.counters, numbers)
        for logger in self.loggers:
            logger.log_metrics({**self.counters, **numbers})

    def _show(self, numbers: Mapping[str, float]) -> None:
        """Let Lightning's callbacks see metrics. `self.log` would do more than all the rest."""
        if self._trainer is not None:
            shown = {name: torch.tensor(value) for name, value in numbers.items()}
            self.trainer.callback_metrics.update(shown)

    # ----------------------------------------------------------------- what Lightning asks

    def on_train_start(self) -> None:
        """Callbacks of a resumed run see what was recorded before."""
        self._show(self.latest)
        settle(self.trainer.optimizers)

    def train_dataloader(self) -> PhaseStream:
        """The stream of phases."""
        return self.stream

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer for each side that learns."""
        made = make_optimizers(self.estimator, self.controller, self.memory)
        self._optimizer_names = list(made)
        return list(made.values())

    @property
    def objective(self) -> Metric:
        """The metric by which architectures are compared."""
        return self.estimator.objective

    @property
    def incumbent(self) -> dict[str, Any] | None:
        """The best architecture so far: actions, metrics, kind, epoch in which it was found."""
        return self.judge.incumbents.best

    def optimizer_of(self, side: Literal["estimator", "controller"]) -> Any:
        """Lightning's wrapped optimizer of the side that it serves."""
        wrapped = self.optimizers()
        as_list = wrapped if isinstance(wrapped, list) else [wrapped]
        return as_list[self._optimizer_names.index(side)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add all that decides how the search goes on."""
        checkpoint["search"] = search_state(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there, if it is a checkpoint of this search."""
        refuse_other_shapes(self.state_dict(), checkpoint["state_dict"])
        restore(self, checkpoint["search"])
