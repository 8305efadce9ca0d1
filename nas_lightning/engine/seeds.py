"""A short search without Lightning, for estimators that only look up: ask, judge, tell.

Lightning's loop costs more than three hundred look-ups do. This one asks the same contracts, with
generators of the same names, so that a controller proposes here what it proposes at the controller
steps of the whole search. What it leaves out: derivations, but for the signs of learning at the
end, callbacks, and the ledger of single architectures. All that is proposed counts, uniform
beginnings included, and the best is the best ever judged.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller
from nas_lightning.engine.derivation import advantage, of_policy
from nas_lightning.engine.optimizers import make_optimizers, step_on_both
from nas_lightning.estimators.base import Estimator
from nas_lightning.generators import Generators
from nas_lightning.memories.base import Memory
from nas_lightning.rewards import Reward
from nas_lightning.runs.seeds import SeedRecord

CONTROL = 50
"""Candidates, and uniform architectures beside them, by which learning is seen at the end."""


def search(
    *,
    controller: Controller,
    estimator: Estimator,
    reward: Reward,
    memory: Memory,
    seed: int,
    proposals: int,
    architectures_per_step: int,
) -> SeedRecord:
    """One search, a pure function of its arguments: what it is given is left as it is.

    Args:
        controller: What proposes, as it was made.
        estimator: What judges.
        reward: What the controller is told.
        memory: A second loss for the controller.
        seed: What all randomness follows from.
        proposals: How many architectures are proposed.
        architectures_per_step: How many of them at a time; the last step may have fewer.
    """
    generators = Generators(seed)
    controller, memory = copy.deepcopy(controller), copy.deepcopy(memory)
    controller.reset_parameters(generators("controller weights"))
    learner = Learner(controller, memory, estimator, generators)
    rollouts, told = generators("rollouts"), generators("controller")
    sign, best = estimator.objective.sign, -math.inf
    seen: set[tuple[int, ...]] = set()
    improvements: list[tuple[int, float]] = []
    repeats, found, judged = list[int](), list[int](), 0
    with torch.set_grad_enabled(learner.optimizer is not None):
        while judged < proposals:
            learner.begin()
            asked = controller.ask(min(architectures_per_step, proposals - judged), rollouts)
            evaluation = estimator.evaluate(asked.architectures, [])
            learner.learn(controller.tell(asked, reward(evaluation), evaluation, told))
            rows = zip(asked.architectures.tolist(), evaluation.values.tolist(), strict=True)
            for actions, value in rows:
                judged += 1
                if tuple(actions) in seen:
                    repeats.append(judged)
                seen.add(tuple(actions))
                if sign * value > best or not found:
                    best, found = sign * value, actions
                    improvements.append((judged, value))
    of_best = estimator.evaluate(torch.tensor([found]), [])
    return SeedRecord(
        seed=seed,
        proposals=judged,
        improvements=improvements,
        repeats=repeats,
        actions=found,
        word=controller.space.word(found),
        metrics={name: float(values[0]) for name, values in of_best.metrics.items()},
        derived=_signs(controller, estimator, reward, generators),
        kind=evaluation.kind,
    )


class Learner:
    """Steps on the controller's loss and on the memory's, as the whole search takes them.

    Args:
        controller: What learns.
        memory: What adds a loss.
        estimator: Whose phases say how many steps are an epoch.
        generators: All randomness.
    """

    def __init__(
        self,
        controller: Controller,
        memory: Memory,
        estimator: Estimator,
        generators: Generators,
    ) -> None:
        memory.reset_parameters(generators("memory weights"))
        self.controller, self.memory = controller, memory
        self.optimizer = make_optimizers(estimator, controller, memory).get("controller")
        self._drawn = generators("memory")
        self._per_epoch = estimator.phases.controller_steps
        self._steps = 0

    def begin(self) -> None:
        """Tell the memory where an epoch begins; before every step."""
        epoch, step = divmod(self._steps, self._per_epoch)
        if step == 0:
            self.memory.begin_epoch(self.controller, epoch, self._drawn)

    def learn(self, loss: Tensor | None) -> None:
        """One step, on those losses that there are."""
        epoch = self._steps // self._per_epoch
        self._steps += 1
        recalled = self.memory.loss(self.controller, epoch, self._drawn)
        if self.optimizer is None:
            return
        if recalled is not None:
            own = [*self.controller.parameters()]
            step_on_both(
                (loss, self.memory.weight * recalled),
                [*own, *self.memory.parameters()],
                of=own,
                optimizer=self.optimizer,
                backward=torch.autograd.backward,
            )
        elif loss is not None:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


@torch.no_grad()
def _signs(
    controller: Controller, estimator: Estimator, reward: Reward, generators: Generators
) -> dict[str, float]:
    """The signs of learning at the end, as a derivation has them; they count for no budget."""
    space = controller.space
    proposal = controller.candidates(CONTROL, generators("candidates"))
    uniform = space.sample(CONTROL, generators.constant("uniform candidates"))
    rewards, control = (
        reward(estimator.evaluate(some, [])) for some in (proposal.architectures, uniform)
    )
    signs = advantage(rewards, control) | of_policy(proposal, space)
    return {name: float(value) for name, value in signs.items()} | controller.numbers()
