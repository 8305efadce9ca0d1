"""The steps of a search by gradient: first the logits, on validation data, then the shared weights.

Liu et al. 2019, algorithm 1, with whatever weights the controller gives (`Relaxation`). Training
and validation data are texts of their own: each has a hidden state that is carried on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nas_lightning.analysis.curvature import greatest_eigenvalue
from nas_lightning.controllers import Relaxation
from nas_lightning.data.base import Batch
from nas_lightning.engine.optimizers import set_rate
from nas_lightning.engine.unrolled import second_order, sgd_step
from nas_lightning.errors import Remedy, UserError
from nas_lightning.estimators.base import Estimator
from nas_lightning.search_spaces.child import ChildNetwork, Relaxable, RelaxedLoss

if TYPE_CHECKING:
    from nas_lightning.engine.module import ArchitectureSearch

APART = 0.1
"""How far from the logits, as a norm, gradients are taken for the eigenvalue. Over so many logits
each moves little; closer, the rounding of float32 gradients shows."""

TOLERANCE = 0.05
"""Relative error of the eigenvalue at which its iteration ends."""


class RelaxedSteps:
    """Takes the relaxed steps of a search.

    Args:
        controller: What gives the weights.
        estimator: What holds the network, its optimizer, rate and clipping.

    Raises:
        UserError: If the network cannot be relaxed, or the optimizer has no second order.
    """

    def __init__(self, controller: Relaxation, estimator: Estimator) -> None:
        child = estimator.shared
        if child is None:
            raise UserError(
                f"controller: {type(controller).__name__} trains shared weights, of which "
                f"{type(estimator).__name__} has none",
                Remedy.RELAXABLE,
            )
        if not isinstance(child, Relaxable):
            raise UserError(
                f"controller: {type(controller).__name__} mixes all options, which "
                f"{type(child).__name__} cannot",
                Remedy.RELAXABLE,
            )
        assert estimator.make_optimizer is not None
        made = estimator.make_optimizer([torch.nn.Parameter(torch.zeros(1))])
        if controller.order == 2 and not isinstance(made, torch.optim.SGD):
            raise UserError(
                "controller.order=2: needs SGD, whose step is linear in the gradient, and "
                f"estimator.optimizer is {type(made).__name__}",
                Remedy.FIRST_ORDER,
            )
        self.controller = controller
        self.estimator = estimator
        self.network: Relaxable = child
        self.child: ChildNetwork = child
        self.states: dict[str, Tensor | None] = {"training": None, "validation": None}
        self.eigenvalues: list[float] = []
        self.skips: list[int] = []
        self.logits: list[Tensor] = []
        """At every measurement so far, to which the search may go back."""
        self.stopped_at: int | None = None
        """The relaxed step after which the rule stopped, or would have stopped, the logits."""
        self.stopped_with: list[int] | None = None
        """The architecture to which the rule went back then, or would have gone."""

    @property
    def frozen(self) -> bool:
        """Whether the logits are moved no more."""
        rule = self.controller.early_stop
        return self.stopped_at is not None and rule is not None and not rule.simulate

    def __call__(self, search: ArchitectureSearch, batches: Sequence[Batch]) -> None:
        """Take one step of each on a training and a validation minibatch."""
        training, validation = batches
        numbers: dict[str, Tensor | float] = {}
        self.child.train()
        epoch = search.counters["epoch"]
        set_rate(search.optimizer_of("estimator"), self.estimator.learning_rate_factor(epoch))
        with search.child_precision():
            if not self.frozen:
                loss, gradient = self._of_logits(search, training, validation)
                numbers["relaxed/validation_loss"] = loss
        if not self.frozen:
            self.controller.logits.grad = gradient
            search.optimizer_of("controller").step()
            self.controller.logits.grad = None
        with search.child_precision():
            weights = self._weights(search).detach()
            found = self._loss("training", training, weights, search)
        self.states["training"] = found.state
        search.learn_weights(found.loss + found.penalty)
        search.counters["child_step"] += 1
        search.counters["controller_step"] += 1
        if search.counters["child_step"] % search.log_every == 0:
            search.record({"child/loss": found.loss, **numbers})
        self._measure(search)

    def _weights(self, search: ArchitectureSearch) -> Tensor:
        generator = search.generators("relaxation")
        return self.controller.weights(search.counters["epoch"], generator)

    def _loss(
        self, split: str, batch: Batch, weights: Tensor, search: ArchitectureSearch
    ) -> RelaxedLoss:
        state = self.states[split] if batch.continues else None
        if state is not None:  # a checkpoint is read before the search is moved to its device
            state = state.to(batch.inputs.device)
        search.judge.expenses.of_mixture(weights, batch, dense=self.controller.dense)
        dropout = search.generators("dropout", search.device)
        return self.network.relaxed_loss(batch, weights, state, dropout)

    def _of_logits(
        self, search: ArchitectureSearch, training: Batch, validation: Batch
    ) -> tuple[Tensor, Tensor]:
        """The validation loss and its gradient by the logits."""
        controller, parameters = self.controller, list(self.child.parameters())
        sources = [search.generators("dropout", search.device), search.generators("relaxation")]
        start = [source.get_state() for source in sources]
        carried: list[Tensor | None] = []

        def of_training(again: bool) -> Tensor:
            """The loss; once more with the same draws, which leave their generators alone."""
            with replayed(sources, start if again and not controller.as_published else None):
                found = self._loss("training", training, self._weights(search), search)
            return found.loss + found.penalty

        def of_validation() -> Tensor:
            found = self._loss("validation", validation, self._weights(search), search)
            carried.append(found.state)
            return found.loss

        with kept_buffers(self.child, keep=not controller.as_published):
            if controller.order == 1:
                loss = of_validation()
                (gradient,) = torch.autograd.grad(loss, [controller.logits])
            else:
                clip = self.estimator.gradient_clip
                loss, gradient = second_order(
                    of_training,
                    of_validation,
                    parameters=parameters,
                    logits=controller.logits,
                    step=partial(
                        sgd_step,
                        search.optimizer_of("estimator"),
                        clip=clip,
                        capped=not controller.as_published,
                    ),
                    epsilon=controller.epsilon,
                    clip_vector=clip if controller.as_published else None,
                )
        self.states["validation"] = carried[0]
        return loss.detach(), gradient

    # ----------------------------------------------------------------- what is measured

    def _measure(self, search: ArchitectureSearch) -> None:
        """Measure, if it is time, and stop if the rule says so."""
        rule = self.controller.early_stop
        if rule is None or rule.measurements == 0:
            return
        steps, done = search.stream.child_steps, search.stream.position
        if done * rule.measurements // steps == (done - 1) * rule.measurements // steps:
            return
        derived = self.controller.derived()
        names = self.controller.groups.chosen(derived)
        self.eigenvalues.append(self.eigenvalue(search))
        self.skips.append(rule.count(names))
        self.logits.append(self.controller.logits.detach().clone())
        numbers: dict[str, Tensor | float] = {
            "relaxed/eigenvalue": self.eigenvalues[-1],
            "relaxed/skips": float(self.skips[-1]),
        }
        back = rule.goes_back_to(self.eigenvalues, self.skips)
        if back is not None and self.stopped_at is None:
            self.stopped_at = search.counters["child_step"]
            numbers["relaxed/early_stop"] = float(self.stopped_at)
            with torch.no_grad():
                self.controller.logits.copy_(self.logits[back])
                self.stopped_with = self.controller.derived()
                if rule.simulate:
                    self.controller.logits.copy_(self.logits[-1])
        search.record(numbers)

    def eigenvalue(self, search: ArchitectureSearch) -> float:
        """The greatest one of the Hessian of the validation loss in the logits.

        On a part of the first validation minibatch, from the zero state, without dropout, at the
        expected weights.
        """
        rule, logits = self.controller.early_stop, self.controller.logits
        assert search.data is not None
        assert rule is not None
        whole = search.data.validation_batches()[0]
        few = Batch(whole.inputs[: rule.examples], whole.targets[: rule.examples], False)
        few = few.on(logits.device)
        kept = logits.detach().clone()

        def gradient(at: Tensor) -> Tensor:
            with torch.no_grad():
                logits.copy_(at)
            loss = self.network.relaxed_loss(few, self.controller.expected(), None, None).loss
            return torch.autograd.grad(loss, logits)[0]

        self.child.eval()
        try:
            with search.child_precision():
                return greatest_eigenvalue(gradient, kept, step=APART, tolerance=TOLERANCE)
        finally:
            self.child.train()
            with torch.no_grad():
                logits.copy_(kept)

    @torch.no_grad()
    def loss_on(self, batches: Sequence[Batch]) -> float:
        """Mean loss of the relaxed network at the expected weights, without dropout."""
        self.child.eval()
        weights, state, total, count = self.controller.expected(), None, 0.0, 0
        for batch in batches:
            found = self.network.relaxed_loss(
                batch.on(weights.device), weights, state if batch.continues else None, None
            )
            state, n = found.state, batch.targets.numel()
            total, count = total + float(found.loss) * n, count + n
        return total / count

    # ----------------------------------------------------------------- what a checkpoint holds

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the steps go on, in plain types."""
        return {
            "states": dict(self.states),
            "eigenvalues": list(self.eigenvalues),
            "skips": list(self.skips),
            "logits": list(self.logits),
            "stopped_at": self.stopped_at,
            "stopped_with": self.stopped_with,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.states = dict(state["states"])
        self.eigenvalues = list(state["eigenvalues"])
        self.skips = list(state["skips"])
        self.logits = list(state["logits"])
        self.stopped_at = state["stopped_at"]
        self.stopped_with = state.get("stopped_with")


@contextmanager
def replayed(sources: Sequence[torch.Generator], start: Sequence[Tensor] | None) -> Iterator[None]:
    """Within it generators draw as from `start`; afterwards they go on as if they had not."""
    if start is None:
        yield
        return
    now = [source.get_state() for source in sources]
    for source, state in zip(sources, start, strict=True):
        source.set_state(state)
    try:
        yield
    finally:
        for source, state in zip(sources, now, strict=True):
            source.set_state(state)


@contextmanager
def kept_buffers(child: ChildNetwork, *, keep: bool) -> Iterator[None]:
    """Afterwards the child's buffers, such as running statistics, are what they were."""
    before = [buffer.clone() for buffer in child.buffers()] if keep else []
    yield
    for buffer, value in zip(child.buffers(), before, strict=False):
        buffer.copy_(value)
