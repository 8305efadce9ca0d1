"""A population followed through a ledger: against what the controller itself holds, and by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from nas_lightning.analysis.population import difference, followed
from nas_lightning.controllers import Evolution
from nas_lightning.estimators.base import Evaluation
from nas_lightning.metrics import Metric
from nas_lightning.search_spaces.nas_bench_201 import CellSpace
from nas_lightning.search_spaces.nas_bench_201.space import OPERATIONS

SPACE = CellSpace(operations=OPERATIONS)
ACCURACY = Metric(name="accuracy", unit="", direction="more")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def row(actions: list[int], reward: float | None, origin: object, step: int) -> dict[str, Any]:
    where = {"epoch": 0, "controller_step": step}
    return {"actions": actions, "reward": reward, "origin": origin, **where}


@pytest.mark.parametrize("aging", [True, False])
@pytest.mark.parametrize("per_step", [1, 3])
def test_it_ends_at_the_population_of_the_controller(aging: bool, per_step: int) -> None:
    """With a renewal in between, after which all are judged again."""
    controller = Evolution(
        space=SPACE,
        population=6,
        sample=2,
        replacement=False,
        aging=aging,
        mutation_rate=None,
        warm_start=None,
    )
    controller.reset_parameters(seeded(0))
    rows = []
    for step in range(20):
        if step == 12:
            controller.renew()
        proposal = controller.ask(per_step, seeded(step))
        assert proposal.origins is not None
        rewards = torch.rand(per_step, generator=seeded(100 + step))
        evaluation = Evaluation(
            metrics={"accuracy": rewards},
            kind="proxy",
            objectives=(ACCURACY,),
            status=["ok"] * per_step,
            cost=0,
            cost_unit="calls",
        )
        controller.tell(proposal, rewards, evaluation, seeded(200 + step))
        judged = zip(
            proposal.architectures.tolist(), rewards.tolist(), proposal.origins, strict=True
        )
        rows += [row(actions, reward, origin, step) for actions, reward, origin in judged]
    course = followed(rows, size=6, aging=aging)
    assert course.proposals == 20 * per_step
    alive = [course.everyone[i] for i in course.alive]
    assert [list(one.actions) for one in alive] == controller.members.tolist()
    found = [(one.fitness, bool(known)) for one, known in zip(alive, controller.known, strict=True)]
    wanted = controller.rewards.tolist()
    assert all(fitness == w for (fitness, known), w in zip(found, wanted, strict=True) if known)
    for one in course.everyone:
        if one.parent is not None:
            parent = course.everyone[one.parent]
            changed = sum(a != b for a, b in zip(parent.actions, one.actions, strict=True))
            assert changed == 1
            assert parent.number < one.number
    assert [one.parent is None for one in course.everyone[:6]] == [True] * 6
    assert any(one.parent is not None for one in course.everyone)


def test_a_family_by_hand() -> None:
    """Of two alike the younger is the parent; what was judged again has its new value."""
    rows = [
        row([0, 0], 1.0, "uniform", 0),
        row([0, 0], 2.0, "uniform", 1),
        row([0, 1], 3.0, [0, 0], 2),
        row([0, 1], None, "again", 3),
        row([1, 1], 5.0, [0, 1], 4),
    ]
    course = followed(rows, size=3, aging=True)
    assert course.ancestors(3) == [1, 2, 3]
    assert course.alive == [1, 2, 3]
    assert course.everyone[2].fitness is None
    assert [one.number for one in course.everyone] == [1, 2, 3, 5]
    without = followed(rows, size=2, aging=False)
    assert without.alive == [1, 3], "whose judging failed dies first"


def test_how_much_members_differ() -> None:
    """Against all pairs."""
    members = SPACE.sample(7, seeded(3)).tolist()
    pairs = list(itertools.combinations(members, 2))
    shares = [sum(a != b for a, b in zip(x, y, strict=True)) / 6 for x, y in pairs]
    assert difference(members) == pytest.approx(sum(shares) / len(pairs))
    assert difference(members[:1]) == 0
