"""A short search without Lightning, for estimators that only look up: ask, judge, tell.

Lightning's loop costs more than three hundred look-ups do. This one asks the same contracts, with
generators of the same names, so that a controller proposes here what it proposes at the controller
steps of the whole search. What it leaves out: derivations, but for the signs of learning at the
end, callbacks, the ledger of single architectures, and memories. All that is proposed counts,
uniform beginnings included, and the best is the best ever judged.
"""

from __future__ import annotations

import copy
import math

import torch

from nas_lightning.controllers.base import Controller
from nas_lightning.engine.derivation import advantage, of_policy
from nas_lightning.estimators.base import Estimator
from nas_lightning.generators import Generators
from nas_lightning.rewards import Reward
from nas_lightning.runs.seeds import SeedRecord

CONTROL = 50
"""Candidates, and uniform architectures beside them, by which learning is seen at the end."""


def search(
    *,
    controller: Controller,
    estimator: Estimator,
    reward: Reward,
    seed: int,
    proposals: int,
    architectures_per_step: int,
) -> SeedRecord:
    """One search, a pure function of its arguments: the controller given is left as it is.

    Args:
        controller: What proposes, as it was made.
        estimator: What judges.
        reward: What the controller is told.
        seed: What all randomness follows from.
        proposals: How many architectures are proposed.
        architectures_per_step: How many of them at a time; the last step may have fewer.
    """
    generators = Generators(seed)
    controller = copy.deepcopy(controller)
    controller.reset_parameters(generators("controller weights"))
    optimizer = None
    if controller.learns and controller.make_optimizer is not None:
        optimizer = controller.make_optimizer(controller.parameters())
    rollouts, told = generators("rollouts"), generators("controller")
    sign, best = estimator.objective.sign, -math.inf
    seen: set[tuple[int, ...]] = set()
    improvements: list[tuple[int, float]] = []
    repeats, found, judged = list[int](), list[int](), 0
    with torch.set_grad_enabled(optimizer is not None):
        while judged < proposals:
            asked = controller.ask(min(architectures_per_step, proposals - judged), rollouts)
            evaluation = estimator.evaluate(asked.architectures, [])
            loss = controller.tell(asked, reward(evaluation), evaluation, told)
            if loss is not None and optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
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
