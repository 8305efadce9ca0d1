"""Evolution and local search: rule by rule, beside noise, and that they learn."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from nas_lightning.assembly.configuration import CONF
from nas_lightning.controllers import Controller, Evolution, LocalSearch, Proposal
from nas_lightning.data.base import Batch
from nas_lightning.errors import UserError
from nas_lightning.estimators.base import Evaluation
from nas_lightning.generators import seed_of
from nas_lightning.search_spaces import neighbours_of
from nas_lightning.search_spaces.child import ACCURACY
from tests.controllers.test_controller_contract import Closed, Growing, Plain, seeded
from tests.controllers.test_learning import (
    HIDDEN,
    SPACE,
    Numbers,
    Planted,
    controller_of,
    proposed,
    run,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own deprecated call

SETTINGS: dict[str, Any] = {
    "space": Plain(),
    "population": 4,
    "sample": 2,
    "replacement": False,
    "aging": True,
    "mutation_rate": None,
    "warm_start": None,
}


def evolution(**changes: Any) -> Evolution:
    made = Evolution(**(SETTINGS | changes))
    made.reset_parameters(seeded(0))
    return made


def tell(controller: Controller, architectures: Tensor, rewards: Sequence[float]) -> None:
    told = torch.tensor(rewards)
    evaluation = Evaluation(
        metrics={"accuracy": told},
        kind="exact",
        objectives=(ACCURACY,),
        status=["ok"] * len(rewards),
        cost=0,
        cost_unit="epochs",
    )
    assert controller.tell(Proposal(architectures), told, evaluation, seeded(9)) is None


def living(controller: Evolution) -> list[tuple[list[int], float]]:
    n = int(controller.alive)
    return list(zip(controller.members[:n].tolist(), controller.rewards[:n].tolist(), strict=True))


ALL = Plain().architectures()


def test_the_oldest_die() -> None:
    controller = evolution()
    tell(controller, ALL[:3], [9, 1, 2])
    tell(controller, ALL[3:6], [3, 4, 5])
    assert living(controller) == [(ALL[i].tolist(), i) for i in (2, 3, 4, 5)]


def test_the_worst_die_without_aging() -> None:
    controller = evolution(aging=False)
    tell(controller, ALL[:3], [9, 1, 2])
    tell(controller, ALL[3:6], [3, float("nan"), 5])
    assert living(controller) == [(ALL[i].tolist(), r) for i, r in ((0, 9), (2, 2), (3, 3), (5, 5))]


def test_the_first_are_uniform_and_then_there_are_children() -> None:
    controller = evolution()
    first = controller.ask(6, seeded(0)).architectures
    assert torch.equal(first, Plain().sample(6, seeded(0)))
    tell(controller, ALL[[0]], [1.0])
    mixed = controller.ask(8, seeded(0)).architectures
    assert torch.equal(mixed[:3], Plain().sample(3, seeded(0)))
    assert ((mixed[3:] != ALL[0]).sum(dim=1) == 1).all()


@pytest.mark.parametrize("replacement", [False, True])
def test_tournaments_are_won_as_often_as_they_should(replacement: bool) -> None:
    """The r-th best of P wins, where it is the best of S that are drawn."""
    p, s, n = 4, 2, 4000
    controller = evolution(replacement=replacement)
    rewards = torch.tensor([3.0, 1.0, 4.0, 2.0])
    winners = controller._tournaments(n, rewards, seeded(1))
    won = torch.bincount(winners, minlength=p)[rewards.argsort(descending=True)]
    if replacement:
        expected = [((p - r) / p) ** s - ((p - r - 1) / p) ** s for r in range(p)]
    else:
        expected = [comb(p - r - 1, s - 1) / comb(p, s) for r in range(p)]
    kept = [i for i, e in enumerate(expected) if e > 0]
    assert all(int(won[i]) == 0 for i in range(p) if i not in kept)
    assert stats.chisquare(won[kept].tolist(), [expected[i] * n for i in kept]).pvalue > 1e-3


def test_as_many_decisions_change_as_the_rate_says() -> None:
    controller = evolution(mutation_rate=1.0)
    children = controller._children(ALL[:1].repeat(200, 1), seeded(0))
    distances = (children != ALL[0]).sum(dim=1)
    assert int(distances.min()) >= 0
    assert int(distances.max()) > 1
    alone = evolution(mutation_rate=1e-9)._children(ALL[:1].repeat(50, 1), seeded(0))
    assert ((alone != ALL[0]).sum(dim=1) == 1).all()


def test_who_is_alive_is_judged_again() -> None:
    """Once, before anything else; what was known is forgotten, and the places stay."""
    controller = evolution()
    tell(controller, ALL[:4], [1, 2, 3, 4])
    controller.renew()
    again = controller.ask(6, seeded(0)).architectures
    assert torch.equal(again[:4], ALL[:4])
    tell(controller, again[:3], [10, 30, 20])
    assert living(controller)[:3] == [(ALL[i].tolist(), r) for i, r in enumerate((10, 30, 20))]
    children = controller.ask(60, seeded(0)).architectures
    assert torch.equal(children[0], ALL[3])
    # The unknown one is nobody's parent.
    assert ((children[1:, None] != ALL[:3]).sum(dim=2) == 1).any(dim=1).all()


def test_the_best_alive_are_derived() -> None:
    controller = evolution()
    tell(controller, ALL[[0, 1, 2, 1]], [1, 3, 2, 4])
    derived = controller.candidates(5, seeded(0)).architectures
    assert derived[:3].tolist() == ALL[[1, 2, 0]].tolist()
    assert len(derived) == 5


def test_it_grows_with_the_space() -> None:
    space = Growing()
    controller = evolution(space=space)
    short = space.architectures()[:4]
    tell(controller, short, [1, 2, 3, 4])
    controller.enter(space.largest)
    again = controller.ask(5, seeded(0)).architectures
    assert torch.equal(again[:4, :2], short)
    space.largest.validate(again)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"population": 0}, "population=0 is not allowed"),
        ({"sample": 5}, "sample=5 is not allowed: must be at most population=4"),
        ({"sample": 0}, "sample=0 is not allowed"),
        ({"mutation_rate": 0}, "mutation_rate=0 is not allowed: must be a number > 0"),
        ({"aging": "yes"}, "aging='yes' is not allowed"),
    ],
)
def test_bad_settings(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evolution(**change)


# --------------------------------------------------------------------- local search


def test_neighbours_are_those_one_decision_away() -> None:
    around = neighbours_of(Plain(), ALL[:1])
    expected = ALL[(ALL[0] != ALL).sum(dim=1) == 1]
    assert sorted(around.tolist()) == sorted(expected.tolist())
    closed = Closed().architectures()
    assert len(neighbours_of(Closed(), closed[:1])) == 0  # an order differs in two places at least


def climbing(space: Any = SETTINGS["space"]) -> LocalSearch:
    made = LocalSearch(space=space, warm_start=None)
    made.reset_parameters(seeded(0))
    return made


def test_it_tries_every_neighbour_once_and_starts_anew() -> None:
    controller = climbing()
    tell(controller, ALL[:2], [5, 4])
    asked = [controller.ask(4, seeded(0)).architectures]
    assert not bool((asked[0] == ALL[0]).all(dim=1).any())
    tell(controller, asked[0], [1, 2, 3, 4])
    assert controller.ask(1, seeded(0)).architectures.tolist() != asked[0][:1].tolist()
    around = {tuple(a) for a in neighbours_of(Plain(), ALL[:1]).tolist()}
    assert {tuple(a) for a in asked[0].tolist()} == around
    uniform = controller.ask(3, seeded(7)).architectures
    assert torch.equal(uniform, Plain().sample(3, seeded(7)))
    tell(controller, uniform, [1, 3, 2])
    assert controller.here.tolist() == uniform[1].tolist()


def test_it_moves_to_what_is_better() -> None:
    controller = climbing()
    tell(controller, ALL[:2], [5, 4])
    asked = controller.ask(2, seeded(0)).architectures
    tell(controller, asked, [4, 6])
    assert controller.here.tolist() == asked[1].tolist()


def test_where_it_stands_is_judged_again() -> None:
    controller = climbing()
    tell(controller, ALL[:1], [5])
    controller.renew()
    asked = controller.ask(3, seeded(0)).architectures
    assert torch.equal(asked[:1], ALL[:1])
    tell(controller, asked, [1.0, 2.0, 0.5])
    assert controller.here.tolist() == asked[1].tolist()


def test_where_all_has_diverged_it_starts_anew() -> None:
    controller = climbing()
    tell(controller, ALL[:2], [float("nan")] * 2)
    assert int(controller.tried) == -1
    assert torch.equal(controller.ask(2, seeded(3)).architectures, Plain().sample(2, seeded(3)))


# --------------------------------------------------------------------- whole searches


COMPARING = [
    path.stem
    for path in sorted((CONF / "controller").glob("*.yaml"))
    if isinstance(controller_of(path.stem, SPACE), (Evolution, LocalSearch))
]
"""Found by their YAML."""


@pytest.mark.parametrize("name", COMPARING)
def test_they_find_a_planted_architecture(tmp_path: Path, name: str) -> None:
    """As many judged architectures get random search to 7 decisions of 9."""
    learned = run(tmp_path / name, controller_of(name, SPACE), Planted(40))
    guessed = run(tmp_path / "random", controller_of("random", SPACE), Planted(40))
    assert learned.incumbent is not None
    assert guessed.incumbent is not None
    found = learned.incumbent["metrics"]["accuracy"]
    assert found > guessed.incumbent["metrics"]["accuracy"] + 0.1
    assert found > 0.95


class Noisy(Planted):
    """Every minibatch adds to all alike: noise of five times the spread of architectures."""

    def __init__(self, controller_steps: int) -> None:
        super().__init__(controller_steps, uses_batches=True)

    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        evaluation = super().evaluate(architectures, batches)
        shift = sum(float(batch.inputs[0]) for batch in batches) / len(batches)
        evaluation.metrics["accuracy"].add_(shift)
        return evaluation


class Shifts(Numbers):
    """Fifty minibatches, each with a shift of its own."""

    def validation_batches(self) -> Sequence[Batch]:
        spread = 5 * 0.16  # of the accuracy of uniform architectures
        return [
            Batch(
                torch.randn(1, generator=seeded(seed_of(0, "shift", b) % 2**31)) * spread,
                torch.zeros(1),
                False,
            )
            for b in range(50)
        ]


@pytest.mark.parametrize("name", ["evolution_nats_bench", "local_search"])
def test_noise_that_a_minibatch_shares_takes_no_gain(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.controllers.test_learning.Numbers", Shifts)
    search = run(tmp_path, controller_of(name, SPACE), Noisy(20), epochs=3)
    best = search.controller.candidates(1, seeded(0)).architectures
    assert float((best == HIDDEN).float().mean()) > 0.85
    if name != "local_search":  # it may just have started anew
        assert proposed(search) > 0.6


def test_a_population_larger_than_the_budget(tmp_path: Path) -> None:
    from nas_lightning.assembly.checks import refuse_small_budget
    from tests.given import composed

    cfg = composed("controller=evolution", "trainer.max_epochs=1")
    with pytest.raises(UserError, match=r"controller: needs 50 .* 1 epochs × 4 steps × 10 = 40"):
        refuse_small_budget(cfg, controller_of("evolution", SPACE), Planted(4))
    refuse_small_budget(cfg, controller_of("evolution", SPACE), Planted(5))
