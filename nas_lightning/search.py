"""The alternation: train the shared weights, train the controller, derive the best architecture.

This is the file to read first. An epoch is a stream of batches (`data/phases.py`), and each kind
of batch has one method here:

    child        one training step of the shared weights, under a freshly sampled architecture
    controller   a rollout is sampled and judged, and the controller learns from the rewards
    derive       candidates are judged, and the best is kept

Nothing here knows which space is searched, what proposes, or how architectures are judged.
Optimization is manual (two optimizers, stepped at different times), and Lightning's `global_step`
would count both, so the search keeps counters of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, Rollout
from nas_lightning.data.base import Batch, Data
from nas_lightning.data.phases import PhaseBatch, PhaseStream
from nas_lightning.errors import UserError, require_whole
from nas_lightning.estimators.base import DIRECTIONS, Estimator, Evaluation
from nas_lightning.generators import Generators
from nas_lightning.ledger import Ledger, Metrics
from nas_lightning.memories.base import Memory
from nas_lightning.rewards import Reward
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
        architectures_per_step: Size of the rollout of a controller step, M.
        candidates: Architectures sampled at a derivation.
        candidate_minibatches: Consecutive validation minibatches on which candidates are judged.
        finalists: Candidates that are judged again, on the whole validation split, beside the best
            architecture so far.
        uniform_candidates: Uniform architectures judged beside the candidates, to see whether the
            controller proposes better ones.
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
        candidates: int,
        candidate_minibatches: int,
        finalists: int,
        uniform_candidates: int,
        log_every: int,
    ) -> None:
        super().__init__()
        least = controller.min_rollout
        require_whole("architectures_per_step", architectures_per_step, at_least=1)
        if architectures_per_step < least:
            raise ValueError(
                f"architectures_per_step={architectures_per_step} is not allowed: must be a whole "
                f"number >= {least}, for the baseline compares architectures with each other; or "
                "choose controller/baseline=moving_average"
            )
        known = estimator.metric_names
        if known and reward.metric not in known:
            raise ValueError(
                f"reward needs {reward.metric}, and the child networks give {', '.join(known)}; "
                "choose another reward=…"
            )
        require_whole("candidates", candidates, at_least=1)
        require_whole("candidate_minibatches", candidate_minibatches, at_least=1)
        require_whole("finalists", finalists, at_least=1)
        require_whole("uniform_candidates", uniform_candidates, at_least=1)
        require_whole("log_every", log_every, at_least=1)
        self.automatic_optimization = False
        self.space = space
        self.controller = controller
        self.estimator = estimator
        self.data = data
        self.reward = reward
        self.memory = memory
        self.ledger = ledger
        self.metrics = metrics
        self.generators = generators
        self.architectures_per_step = architectures_per_step
        self.candidate_minibatches = candidate_minibatches
        self.finalists = finalists
        self.uniform_candidates = uniform_candidates
        self.log_every = log_every

        steps = estimator.phases.controller_steps
        available = len(data.validation_batches()) if data and estimator.uses_batches else 1
        minibatches = min(candidate_minibatches, available)
        extra = steps * architectures_per_step // minibatches
        self.candidates = candidates if controller.learns else candidates + extra
        self.stream = PhaseStream(
            data if estimator.uses_batches else None,
            child_steps=estimator.phases.child_steps,
            controller_steps=steps if controller.learns else 0,
            seed=generators.seed,
        )
        self.counters = dict.fromkeys(Metrics.AXES, 0)
        self.spent = 0.0
        """What judging has cost so far, in the estimator's unit."""
        self.incumbent: dict[str, Any] | None = None
        """The best architecture so far: actions, metrics, kind, epoch in which it was found."""
        self.latest: dict[str, float] = {}
        """The last recorded value of every metric."""
        self.first: dict[str, float] = {}
        """The first recorded value of every metric."""
        self.derived: tuple[Tensor, Tensor] | None = None
        """The candidates `(M, T)` of the last derivation, and their values of the objective."""
        controller.reset_parameters(generators("controller weights"))
        memory.reset_parameters(generators("memory weights"))
        estimator.reset_parameters(generators("shared weights"))

    # ----------------------------------------------------------------- the three phases

    def training_step(self, batch: PhaseBatch, batch_idx: int) -> None:
        """Do what the batch's phase says."""
        self.counters["epoch"] = batch.epoch
        if batch.phase == "child":
            self._child_step(batch.batches[0])
        elif batch.phase == "controller":
            self._controller_step(batch.batches)
        else:
            self._derive(batch.batches)

    def _child_step(self, batch: Batch) -> None:
        with torch.no_grad():
            rollout = self.controller.sample(1, self.generators("child architectures"))
        dropout = self.generators("dropout", self.device)
        loss = self.estimator.training_loss(rollout.architectures, batch, dropout)
        optimizer = self._optimizers["estimator"]
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.estimator.learning_rate_factor(
                self.counters["epoch"]
            )
        self._step(optimizer, loss, self.estimator.gradient_clip)
        self.counters["child_step"] += 1
        if self.counters["child_step"] % self.log_every == 0:
            self.record({"child/loss": loss})

    def _controller_step(self, batches: Sequence[Batch]) -> None:
        if self.counters["controller_step"] % self.stream.controller_steps == 0:
            self._remember()
        rollout = self.controller.sample(self.architectures_per_step, self.generators("rollouts"))
        evaluation, rewards = self._judge(rollout.architectures, batches, "controller")
        loss = self.controller.learn(rollout, rewards, evaluation)
        recalled = self.memory.loss(
            self.controller, self.counters["epoch"], self.generators("memory")
        )
        if recalled is not None:
            self._learn_both(loss, recalled)
        elif loss is not None:
            self._step(self._optimizers["controller"], loss, None)
        self.counters["controller_step"] += 1
        objective = evaluation.metrics[evaluation.objective]
        self.record(
            {
                "controller/loss": loss if loss is not None else torch.nan,
                "controller/reward": rewards.mean(),
                "controller/reward_std": rewards.std(correction=0),
                "controller/entropy": rollout.entropies.detach().sum(dim=1).mean(),
                f"controller/{evaluation.objective}": objective.mean(),
            }
        )

    def _remember(self) -> None:
        """Have the memory store what an epoch brings, or learn ahead of the controller."""
        self.memory.begin_epoch(self.controller, self.counters["epoch"], self.generators("memory"))
        if self.memory.stored:
            self.record({"memory/stored": float(self.memory.stored)})

    def _learn_both(self, loss: Tensor | None, recalled: Tensor) -> None:
        """One step on the controller's loss, if any, and the memory's, each with its own gradient.

        Their graphs share nothing but parameters, so two backward passes cost what one would.
        """
        optimizer = self._optimizers["controller"]
        parameters = [*self.controller.parameters(), *self.memory.parameters()]
        gradients, norms = [], []
        for term in (loss, self.memory.weight * recalled):
            optimizer.zero_grad()
            if term is not None:
                self.manual_backward(term)
            gradients.append([parameter.grad for parameter in parameters])
            own = [p.grad for p in self.controller.parameters() if p.grad is not None]
            norms.append(torch.nn.utils.get_total_norm(own))
        for parameter, one, other in zip(parameters, *gradients, strict=True):
            both = [gradient for gradient in (one, other) if gradient is not None]
            parameter.grad = torch.stack(both).sum(dim=0) if both else None
        optimizer.step()
        self.record({"memory/loss": recalled, "memory/gradient_ratio": norms[1] / norms[0]})

    @torch.no_grad()
    def _derive(self, batches: Sequence[Batch]) -> None:
        space = self.controller.space
        rollout = self.controller.sample(self.candidates, self.generators("candidates"))
        few = self._consecutive(batches, self.candidate_minibatches)
        candidates, place, counts = torch.unique(
            rollout.architectures, dim=0, return_inverse=True, return_counts=True
        )
        evaluation, rewards = self._judge(candidates, few, "candidate")
        self.derived = rollout.architectures, evaluation.metrics[evaluation.objective][place]
        # Where numbers of different moments can be compared, one uniform sample serves them all.
        draw = self.generators.constant if self.estimator.comparable else self.generators
        uniform = space.sample(self.uniform_candidates, draw("uniform candidates")).to(candidates)
        _, uniform_rewards = self._judge(uniform, few, "uniform")
        if not self.estimator.comparable:
            finalists = candidates[evaluation.ranking()[: self.finalists]]
            self._choose_among(finalists, batches)
        assert self.incumbent is not None
        spread = {}
        for name, values in evaluation.metrics.items():
            drawn = values.repeat_interleave(counts)
            spread[f"derive/{name}_mean"] = drawn.mean()
            spread[f"derive/{name}_std"] = drawn.std(correction=0)
            spread[f"derive/{name}_median"] = drawn.median()
        sampled = rewards.repeat_interleave(counts)
        reward, uniform_reward = sampled.mean(), uniform_rewards.mean()
        noise = sampled.var(correction=0) / len(sampled)
        noise = noise + uniform_rewards.var(correction=0) / len(uniform_rewards)
        self.record(
            {
                **{f"derive/best_{name}": best for name, best in self.incumbent["metrics"].items()},
                **spread,
                "derive/reward": reward,
                "derive/reward_minus_uniform": reward - uniform_reward,
                "derive/reward_minus_uniform_se": noise.sqrt(),
                "derive/kl_to_uniform": kl_to_uniform(rollout, space),
                "derive/entropy": rollout.entropies.sum(dim=1).mean(),
                "derive/unique_fraction": len(candidates) / self.candidates,
                "derive/decisions": float(len(space.decisions)),
                f"derive/{evaluation.cost_unit}_spent": self.spent,
            }
        )

    def _choose_among(self, finalists: Tensor, batches: Sequence[Batch]) -> None:
        """Judge finalists and the best so far on all of `batches`, and keep the best of them.

        Raises:
            UserError: If none of them has a finite score.
        """
        before, self.incumbent = self.incumbent, None
        if before is not None:
            best_so_far = finalists.new_tensor([before["actions"]])
            evaluation, _ = self._judge(best_so_far, batches, "finalist")
            self._keep(best_so_far, evaluation, epoch=before["found_in_epoch"])
            others = [actions != before["actions"] for actions in finalists.tolist()]
            finalists = finalists[others]
        if len(finalists) > 0:
            evaluation, _ = self._judge(finalists, batches, "finalist")
            self._keep(finalists, evaluation, epoch=self.counters["epoch"])
        assert self.incumbent is not None
        if math.isnan(self.incumbent["metrics"][self.objective]):
            raise UserError(
                "the shared weights have diverged: no architecture has a finite score; lower "
                "estimator.optimizer.lr or estimator.gradient_clip"
            )

    # ----------------------------------------------------------------- their tools

    def _judge(
        self, architectures: Tensor, batches: Sequence[Batch], purpose: str
    ) -> tuple[Evaluation, Tensor]:
        """Have architectures judged, note the result in the ledger, and compute their rewards."""
        evaluation = self.estimator.evaluate(architectures, batches)
        rewards = self.reward(evaluation)
        self.spent += evaluation.cost
        columns = {name: values.tolist() for name, values in evaluation.metrics.items()}
        judged = self.counters["architectures_judged"]
        self.ledger.record(
            {
                "number": judged + m,
                "purpose": purpose,
                "epoch": self.counters["epoch"],
                "child_step": self.counters["child_step"],
                "controller_step": self.counters["controller_step"],
                "seed": self.generators.seed,
                "actions": actions,
                "status": evaluation.status[m],
                "reward": reward,
                "kind": evaluation.kind,
                "metrics": {name: finite(values[m]) for name, values in columns.items()},
            }
            for m, (actions, reward) in enumerate(
                zip(architectures.tolist(), rewards.tolist(), strict=True)
            )
        )
        self.counters["architectures_judged"] += len(architectures)
        if self.estimator.comparable:
            self._keep(architectures, evaluation, epoch=self.counters["epoch"])
        space = self.space.at(self.counters["architectures_judged"])
        if len(space.decisions) > len(self.controller.space.decisions):
            self.controller.enter(space)
        return evaluation, rewards

    def _keep(self, architectures: Tensor, evaluation: Evaluation, *, epoch: int) -> None:
        """Make the best of some judged architectures the incumbent, if it is better than that.

        Args:
            architectures: `(M, T)`.
            evaluation: How they were judged.
            epoch: When they were found.
        """
        best = int(evaluation.ranking()[0])
        metrics = {name: float(values[best]) for name, values in evaluation.metrics.items()}
        new, sign = metrics[self.objective], DIRECTIONS[self.objective]
        before = None if self.incumbent is None else self.incumbent["metrics"][self.objective]
        if before is None or math.isnan(before) or sign * new > sign * before:
            self.incumbent = {
                "actions": architectures[best].tolist(),
                "metrics": metrics,
                "kind": evaluation.kind,
                "found_in_epoch": epoch,
            }

    def _consecutive(self, batches: Sequence[Batch], n: int) -> Sequence[Batch]:
        """`n` consecutive minibatches from a random place, or all where there are no more."""
        last = max(0, len(batches) - n)
        start = int(torch.randint(last + 1, (), generator=self.generators("validation place")))
        return batches[start : start + n]

    def _step(self, optimizer: Any, loss: Tensor, clip: float | None) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        if clip is not None:
            self.clip_gradients(optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
        optimizer.step()

    def record(self, metrics: dict[str, Tensor | float]) -> None:
        """Write metrics to the run's file and to the loggers."""
        numbers = {
            name: float(value.detach() if isinstance(value, Tensor) else value)
            for name, value in metrics.items()
        }
        self.first = numbers | self.first
        self.latest.update(numbers)
        self.metrics.record(self.counters, numbers)
        for logger in self.loggers:
            logger.log_metrics({**self.counters, **numbers})

    # ----------------------------------------------------------------- what Lightning asks

    def train_dataloader(self) -> PhaseStream:
        """The stream of phases."""
        return self.stream

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer for each side that learns."""
        made = {}
        if self.estimator.make_optimizer is not None:
            made["estimator"] = self.estimator.make_optimizer(self.estimator.parameters())
        if self.controller.learns and self.controller.make_optimizer is not None:
            parameters = [*self.controller.parameters(), *self.memory.parameters()]
            made["controller"] = self.controller.make_optimizer(parameters)
        for optimizer in made.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self._optimizer_names = list(made)
        return list(made.values())

    @property
    def objective(self) -> str:
        """The metric by which architectures are compared."""
        return self.estimator.objective

    @property
    def _optimizers(self) -> dict[str, Any]:
        """Lightning's wrapped optimizers by the side they serve."""
        wrapped = self.optimizers()
        as_list = wrapped if isinstance(wrapped, list) else [wrapped]
        return dict(zip(self._optimizer_names, as_list, strict=True))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add all that decides how the search goes on, plain types only."""
        checkpoint["search"] = {
            "counters": dict(self.counters),
            "spent": self.spent,
            "incumbent": self.incumbent,
            "latest": self.latest,
            "first": self.first,
            "generators": self.generators.state_dict(),
            "ledger_bytes": self.ledger.sync(),
            "metrics_bytes": self.metrics.sync(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there; rows written after the checkpoint are cut off the records."""
        self._refuse_other_shapes(checkpoint["state_dict"])
        state = checkpoint["search"]
        self.counters = state["counters"]
        self.spent = state["spent"]
        self.incumbent = state["incumbent"]
        self.latest = state["latest"]
        self.first = state["first"]
        self.generators.load_state_dict(state["generators"])
        self.controller.space = self.space.at(self.counters["architectures_judged"])
        self.ledger.truncate(state["ledger_bytes"])
        self.metrics.truncate(state["metrics_bytes"])

    def _refuse_other_shapes(self, saved: dict[str, Any]) -> None:
        """Raise UserError if a checkpoint's tensors do not fit, before anything is changed."""
        own = {name: getattr(value, "shape", None) for name, value in self.state_dict().items()}
        others = {name: getattr(value, "shape", None) for name, value in saved.items()}
        names = sorted(n for n in own.keys() | others.keys() if own.get(n) != others.get(n))
        if names:
            raise UserError(
                f"the checkpoint is of other networks or data than config.yaml has ({names[0]} has "
                f"shape {others.get(names[0])}, not {own.get(names[0])}); put back what was changed"
            )


def finite(value: float) -> float | None:
    """The value, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None


def kl_to_uniform(rollout: Rollout, space: SearchSpace) -> float:
    """KL(policy || uniform) over whole architectures, nats, estimated from a sample.

    By the chain rule it is E sum_t (log n_t - H_t), n_t the number of options at decision t and
    H_t the entropy of the policy's distribution there. 0 for uniform sampling; log(size) at most.
    """
    uniform = sum(math.log(n) for n in space.num_choices)
    return max(0.0, uniform - float(rollout.entropies.double().sum(dim=1).mean()))
