"""Controllers that keep all they are told: by predictors, by Optuna, by a function of one's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.assembly.make import extra_of
from nas_lightning.assembly.messages import explained
from nas_lightning.controllers import PNAS, Judged, PredictorSearch, Proposal, Proposer
from nas_lightning.controllers.ranking import Ranker, quality, spearman
from nas_lightning.errors import UserError
from nas_lightning.predictors import Prediction, Predictor, Ridge
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.enas_rnn import RecurrentCellSpace
from nas_lightning.search_spaces.nas_bench_201 import CellSpace
from nas_lightning.search_spaces.nas_bench_201.space import OPERATIONS
from tests.controllers.test_controller_contract import (
    Closed,
    Growing,
    Plain,
    build,
    seeded,
)
from tests.controllers.test_evolution import Noisy, Shifts, tell
from tests.controllers.test_learning import (
    HIDDEN,
    SPACE,
    GrowingPair,
    Planted,
    controller_of,
    run,
)
from tests.given import composed
from tests.ledger_rows import ledger_rows

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own deprecated call

ALL = Plain().architectures()


def values_of(architectures: Tensor) -> list[float]:
    return (architectures.double() @ torch.tensor([3.0, 2.0, 1.0]).double()).tolist()


def searching(space: SearchSpace = Plain(), **changes: Any) -> PredictorSearch:  # noqa: B008
    settings: dict[str, Any] = {
        "space": space,
        "predictor": Ridge(space=space, pairs=False),
        "initial": 4,
        "held_out": 0,
        "pool": 50,
        "mutants": 0.5,
        "parents": 2,
        "acquisition": "mean",
        "refit": 0,
        "again": 2,
        "warm_start": None,
    }
    made = PredictorSearch(**(settings | changes))
    made.reset_parameters(seeded(0))
    return made


def progressive(space: SearchSpace = SPACE, **changes: Any) -> PNAS:
    settings: dict[str, Any] = {
        "space": space,
        "predictor": Ridge(space=space, pairs=False),
        "kept": 4,
        "first": 20,
        "held_out": 0,
    }
    made = PNAS(**(settings | changes))
    made.reset_parameters(seeded(0))
    return made


# ------------------------------------------------------------------------------ predictor


def test_uniform_first_then_the_best_that_is_not_known() -> None:
    controller = searching()
    asked = controller.ask(4, seeded(1)).architectures
    assert torch.equal(asked, Plain().sample(4, seeded(1)))
    tell(controller, ALL[[0, 2, 5, 6]], values_of(ALL[[0, 2, 5, 6]]))
    left = [i for i in range(12) if i not in (0, 2, 5, 6)]
    worth = controller._predict(ALL[left]).mean
    best = [left[int(i)] for i in worth.argsort(descending=True, stable=True)[:3]]
    assert best[0] == 11, "the best of all"
    asked = controller.ask(3, seeded(1)).architectures
    assert asked.tolist() == ALL[best].tolist()


def test_all_known_then_uniform() -> None:
    controller = searching()
    tell(controller, ALL, values_of(ALL))
    asked = controller.ask(5, seeded(2)).architectures
    Plain().validate(asked)
    assert len(asked) == 5


def test_some_are_set_apart_and_measure_it() -> None:
    controller = searching(SPACE, held_out=32, initial=10)
    assert controller.least_budget == 42
    first = SPACE.sample(30, seeded(0))
    tell(controller, first, (first == HIDDEN).sum(dim=1).tolist())
    assert controller.numbers() == {}
    more = SPACE.sample(30, seeded(1))
    tell(controller, more, (more == HIDDEN).sum(dim=1).tolist())
    assert controller.told["apart"].tolist() == [1] * 32 + [0] * 28
    numbers = controller.numbers()
    assert numbers["predictor/fitted_on"] == 28
    assert numbers["predictor/spearman"] > 0.5
    assert set(numbers) == {
        "predictor/fitted_on",
        "predictor/spearman",
        "predictor/spread_spearman",
    }


def test_what_counts_no_longer_is_judged_again() -> None:
    controller = searching()
    tell(controller, ALL[[0, 11, 5, 6]], values_of(ALL[[0, 11, 5, 6]]))
    controller.renew()
    assert len(controller.told) == 0
    asked = controller.ask(4, seeded(0)).architectures
    assert asked[:2].tolist() == ALL[[11, 5]].tolist(), "the two best first"
    tell(controller, asked[:1], [1.0])
    controller.renew()
    assert controller.ask(2, seeded(0)).architectures[0].tolist() == ALL[11].tolist()


class Broken(Predictor):
    """Gives no number for what begins with b."""

    def fit(self, architectures: Tensor, values: Tensor, generator: torch.Generator) -> None:
        pass

    def predict(self, architectures: Tensor) -> Prediction:
        mean = architectures.double().sum(dim=1)
        mean[architectures[:, 0] == 1] = torch.nan
        return Prediction(mean, torch.zeros_like(mean))


def test_no_number_is_the_last_rank_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    controller = searching(predictor=Broken(), mutants=0)
    tell(controller, ALL[:4], [1, 2, 3, 4])  # of six that begin with a
    for step in range(2):
        asked = controller.ask(2, seeded(step)).architectures
        assert asked[:, 0].tolist() == [0, 0], "two of those that have a number are left"
    said = capsys.readouterr().err
    assert said.count("gives no number for") == 1
    assert said.count("\n") == 1
    mean, _ = Ranker(Broken()).predict(ALL)
    assert bool((mean[ALL[:, 0] == 1] == -torch.inf).all())


def test_a_predictor_that_asks_for_nothing_is_made() -> None:
    """`_partial_: true`, as the options have it, leaves it a factory."""
    space = RecurrentCellSpace(num_nodes=2, activations=["tanh", "relu"])
    assert isinstance(Ranker(partial(Ridge, space=space, pairs=False)).predictor, Ridge)


def test_what_has_come_to_nothing_is_the_worst() -> None:
    controller = searching()
    tell(controller, ALL[:5], [float("nan"), 1, 2, 3, 4])
    assert bool(torch.isfinite(controller._predict(ALL).mean).all())
    assert controller.best(5).tolist() == ALL[[4, 3, 2, 1]].tolist()


def test_spearman_by_hand() -> None:
    assert spearman(torch.tensor([1.0, 2, 3, 4]), torch.tensor([1.0, 2, 4, 3])) == pytest.approx(
        0.8
    )
    assert spearman(torch.ones(4), torch.arange(4.0)) is None
    found = quality(
        Prediction(torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.0, 1, 2, 3])),
        torch.tensor([1.0, 3, 5, 7]),  # errors 0, 1, 2, 3
        "p",
    )
    assert found == {"p/spearman": pytest.approx(1), "p/spread_spearman": pytest.approx(1)}


# ----------------------------------------------------------------------------------- pnas


def test_blocks_end_where_a_part_is_whole() -> None:
    assert RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu"]).blocks == (1, 3, 5)
    assert CellSpace(operations=OPERATIONS).blocks == (1, 3, 6)
    assert Plain().blocks == (1, 2, 3)
    assert GrowingPair().blocks == (2, 4)


def test_it_goes_from_stage_to_stage_by_the_best() -> None:
    """The first stage whole; then what was ranked first among all extensions, and no other."""
    controller = progressive(kept=4, first=100)
    stages: list[int] = []
    while int(controller.stage) < 4:
        asked = controller.ask(7, seeded(len(stages))).architectures
        tell(controller, asked, (asked == HIDDEN).sum(dim=1).tolist())
        stages.append(int(controller.stage))
        SPACE.validate(asked)
    assert controller.begins_at == 0, "4 cells of one node"
    assert stages[0] == 1, "all of them, and the step filled up"
    told = controller.told
    first = told.architectures[told["stage"] == 0][:, :1]
    assert sorted(first.flatten().tolist()) == [0, 1, 2, 3]
    for stage in (1, 2, 3):
        length = SPACE.blocks[stage]
        kept = told.architectures[told["stage"] == stage][:, :length].tolist()
        before = told.architectures[told["stage"] == stage - 1][:, : SPACE.blocks[stage - 1]]
        assert len(kept) == 4
        assert all(row[: SPACE.blocks[stage - 1]] in before.tolist() for row in kept)


def test_a_large_first_stage_is_sampled() -> None:
    controller = progressive(kept=20, first=10)
    assert controller.begins_at == 2, "128 cells of three nodes; 16 of two are fewer than K"
    assert len(controller.plan) == 10
    assert controller.least_budget == 10


def test_what_is_thrown_away_measures_the_predictor() -> None:
    controller = progressive(kept=16, first=128, held_out=32)
    numbers: dict[str, float] = {}
    found = []
    for step in range(30):
        asked = controller.ask(16, seeded(step)).architectures
        tell(controller, asked, (asked == HIDDEN).sum(dim=1).tolist())
        numbers = controller.numbers()
        found += [numbers] if numbers else []
    first, second = found[:2]
    assert "pnas/spearman" not in first, "nothing had been predicted"
    assert second["pnas/kept"] == 16
    assert second["pnas/thrown_away"] == 16 * 8 - 16
    assert second["pnas/reward_kept"] > second["pnas/reward_thrown_away"]
    assert second["pnas/spearman"] > 0


def test_it_grows_the_space_itself(tmp_path: Path) -> None:
    """Before as many architectures are judged as the space would wait for, or after more."""
    controller = progressive(GrowingPair(), kept=5, first=16)
    search = run(tmp_path, controller, Planted(12), space=GrowingPair(), architectures_per_step=5)
    rows = ledger_rows(tmp_path / "ledger.jsonl")
    asked = [len(row["actions"]) for row in rows if row["purpose"] == "controller"]
    assert asked == [2] * 20 + [4] * 40, "16 of the first stage, and the step filled up"
    assert len(search.controller.space.decisions) == 4
    assert search.incumbent is not None
    assert search.incumbent["metrics"]["accuracy"] > 0.7


def test_in_masked_spaces_all_are_architectures() -> None:
    controller = progressive(Closed(), kept=3, first=6)
    for step in range(4):
        asked = controller.ask(4, seeded(step)).architectures
        Closed().validate(asked)
        tell(controller, asked, asked[:, 0].tolist())


# ------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: progressive(Plain(), kept=13), "kept=13 is not allowed: must be at most 12"),
        (lambda: progressive(kept=1), "kept=1 is not allowed"),
        (lambda: progressive(held_out=8), "held_out=8 is not allowed: must be 0, or at least 32"),
        (lambda: searching(held_out=8), "held_out=8 is not allowed: must be 0, or at least 32"),
        (lambda: searching(initial=1), "initial=1 is not allowed: must be a whole number >= 2"),
        (lambda: searching(acquisition="best"), "acquisition='best' is not allowed"),
        (lambda: searching(mutants=2), "mutants=2 is not allowed"),
        (lambda: proposing("no_such.function"), "propose='no_such.function' is not allowed"),
        (lambda: proposing(words, seconds=0), "seconds=0 is not allowed"),
    ],
)
def test_bad_settings(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("controller.sampler._target_=optuna.samplers.NoSuchSampler", "NoSuchSampler"),
        ("controller.sampler._target_=optuna.create_study", "controller.sampler"),
        ("controller.sampler.no_such=3", "no_such"),
    ],
)
def test_an_unknown_sampler(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        build(composed("controller=optuna", f"++{override}"), Plain())
    assert "\n" not in explained(refused.value)


def test_an_extra_that_is_not_installed_is_named() -> None:
    assert extra_of("Error: ModuleNotFoundError(\"No module named 'ray'\")") == "ray"
    assert extra_of("No module named 'my_parts'") is None


# ------------------------------------------------------------------------ one's own proposer


def words(space: SearchSpace, judged: Sequence[Judged], n: int, seed: int) -> list[object]:
    """Once an answer of each kind."""
    answers: list[object] = ["a|2|b", [0, 1, 1], "nonsense", [0, 1], [0, 7, 1], "a|b|2"]
    return answers[:n]


def proposing(propose: Any, **changes: Any) -> Proposer:
    made = Proposer(
        **(
            {"space": Plain(), "propose": propose, "seconds": 5, "again": 1, "warm_start": None}
            | changes
        )
    )
    made.reset_parameters(seeded(0))
    return made


def test_answers_that_are_none_count(capsys: pytest.CaptureFixture[str]) -> None:
    """The best known is judged again in their place, so that they find nothing."""
    controller = proposing(words)
    tell(controller, ALL[[3, 8]], [1, 2])
    asked = controller.ask(7, seeded(0))
    assert asked.architectures[:2].tolist() == [[0, 1, 1]] * 2
    assert asked.architectures[2:].tolist() == [ALL[8].tolist()] * 5, "the seventh was not given"
    tell_answer(controller, asked)
    assert controller.numbers() == {
        "proposer/invalid": pytest.approx(5 / 9),
        "proposer/repeated": pytest.approx(2 / 9),
    }
    controller.ask(7, seeded(0))
    said = capsys.readouterr().err
    assert said.count("an answer is no architecture, and counts as a proposal") == 1
    assert said.count("\n") == 1


def tell_answer(controller: Proposer, asked: Proposal) -> None:
    from tests.controllers.test_controller_contract import judged

    controller.tell(asked, *judged(len(asked.architectures)), seeded(0))


def never(space: SearchSpace, judged: Sequence[Judged], n: int, seed: int) -> list[object]:
    time.sleep(3)
    return []


def failing(space: SearchSpace, judged: Sequence[Judged], n: int, seed: int) -> list[object]:
    raise ConnectionError("no route")


def text(space: SearchSpace, judged: Sequence[Judged], n: int, seed: int) -> str:
    return "I would suggest"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (never, "propose=never: no answer within 0.2 seconds"),
        (failing, "propose=failing: ConnectionError: no route"),
        (text, "propose=text: answers with str; must be a list of 3 architectures"),
    ],
)
def test_no_answers(function: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        proposing(function, seconds=0.2).ask(3, seeded(0))


def test_it_is_told_what_was_judged_in_words() -> None:
    heard: list[Judged] = []

    def listen(space: SearchSpace, judged: Sequence[Judged], n: int, seed: int) -> list[object]:
        heard.extend(judged)
        return ["a|1|a"] * n

    controller = proposing(listen)
    tell(controller, ALL[[3]], [0.5])
    controller.ask(1, seeded(0))
    assert heard == [Judged([0, 1, 1], "a|2|b", 0.5)]


# ----------------------------------------------------------------------------- whole searches


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("predictor", ()),
        ("predictor", ("controller/predictor=forest",)),
        ("pnas", ("controller/predictor=ridge",)),
        ("optuna", ()),
    ],
)
def test_they_find_a_planted_architecture(
    tmp_path: Path, name: str, overrides: tuple[str, ...]
) -> None:
    """As many judged architectures get random search to 7 decisions of 9."""
    learned = run(tmp_path, controller_of(name, SPACE, *overrides), Planted(40))
    assert learned.incumbent is not None
    assert learned.incumbent["metrics"]["accuracy"] > 0.95


@pytest.mark.parametrize("name", ["predictor", "pnas", "optuna"])
def test_noise_that_a_minibatch_shares_takes_no_gain(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.controllers.test_learning.Numbers", Shifts)
    overrides = ("controller/predictor=ridge",) if name == "pnas" else ()
    search = run(tmp_path, controller_of(name, SPACE, *overrides), Noisy(20), epochs=3)
    best = search.controller.candidates(1, seeded(0)).architectures
    assert float((best == HIDDEN).float().mean()) > 0.75


@pytest.mark.parametrize("name", ["predictor", "optuna"])
def test_a_growing_space_is_searched(tmp_path: Path, name: str) -> None:
    overrides = ("controller.held_out=0",) if name == "predictor" else ()
    controller = controller_of(name, GrowingPair(), *overrides)
    search = run(tmp_path, controller, Planted(40), space=GrowingPair(), architectures_per_step=5)
    assert search.incumbent is not None
    assert search.incumbent["metrics"]["accuracy"] == 1
    assert len(search.controller.space.decisions) == 4
    Growing().largest.validate(ALL)
