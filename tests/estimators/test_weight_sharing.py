"""Weight sharing: what judging must not change, what it must be, and how training carries on.

Compared with sums written out by hand over the minibatches of a small recurrent child.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.data.base import Batch
from nas_lightning.estimators.weight_sharing import WeightSharing
from nas_lightning.search_spaces.child import (
    ACCURACY,
    LOSS,
    ChildNetwork,
    ChildScore,
    score_all,
)
from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace

VOCABULARY, ROWS, LENGTH = 13, 3, 4
SPACE = RecurrentCellSpace(num_nodes=4, activations=ACTIVATIONS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_child(**changes: Any) -> RecurrentChild:
    arguments: dict[str, Any] = {
        "num_nodes": 4,
        "activations": ACTIVATIONS,
        "vocabulary_size": VOCABULARY,
        "hidden_size": 5,
        "init_range": 0.5,
        "dropout_words": 0.1,
        "dropout_input": 0.2,
        "dropout_output": 0.2,
        "weight_drop": 0.2,
        "max_hidden_norm": None,
        "recurrent_state": "output",
        "normalisation": "batch",
    }
    return RecurrentChild(**(arguments | changes))


def make_estimator(child: ChildNetwork | None = None, **changes: Any) -> WeightSharing:
    arguments: dict[str, Any] = {
        "child": make_child() if child is None else child,
        "optimizer": torch.optim.SGD,
        "decay": 0.5,
        "decay_from": 3,
        "gradient_clip": 1.0,
        "child_steps": 7,
        "controller_steps": 2,
        "objective": "perplexity",
        "max_evaluation": 100,
        "data": None,
        "calibration_minibatches": 0,
        "weights": None,
    }
    estimator = WeightSharing(**(arguments | changes))
    estimator.reset_parameters(seeded(0))
    return estimator


def make_batch(number: int, length: int = LENGTH) -> Batch:
    tokens = torch.randint(VOCABULARY, (ROWS, length + 1), generator=seeded(number))
    return Batch(tokens[:, :-1], tokens[:, 1:], continues=number > 0)


BATCHES = [make_batch(0), make_batch(1), make_batch(2, length=2)]
"""Three of validation; the last one is shorter."""


def train(estimator: WeightSharing, steps: int) -> list[float]:
    """Losses of some training steps; the weights stay."""
    noise = seeded(5)
    return [
        estimator.training_loss(SPACE.sample(1, seeded(step)), make_batch(step), noise).item()
        for step in range(steps)
    ]


def everything(estimator: WeightSharing) -> dict[str, Any]:
    """Weights, running statistics and the carried state."""
    return copy.deepcopy({**estimator.state_dict(), "state": estimator.get_extra_state()})


def assert_equal(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)


# --------------------------------------------------------------------------------- judging


def test_judging_changes_nothing() -> None:
    estimator = make_estimator()
    train(estimator, 2)
    before = everything(estimator)
    states = torch.get_rng_state()
    evaluation = estimator.evaluate(SPACE.sample(6, seeded(0)), BATCHES)
    assert_equal(everything(estimator), before)
    assert torch.equal(torch.get_rng_state(), states), "the global generator was used"
    assert not evaluation.metrics["perplexity"].requires_grad


def test_training_goes_on_as_if_nothing_had_been_judged() -> None:
    one, other = make_estimator(), make_estimator()
    expected = train(one, 6)
    noise = seeded(5)
    found = []
    for step in range(6):
        other.evaluate(SPACE.sample(3, seeded(step)), BATCHES)
        loss = other.training_loss(SPACE.sample(1, seeded(step)), make_batch(step), noise)
        found.append(loss.item())
    assert found == expected


def test_judging_is_deterministic_also_after_training() -> None:
    estimator = make_estimator()
    architectures = SPACE.sample(6, seeded(0))
    first = estimator.evaluate(architectures, BATCHES)
    estimator.child.train()
    again = estimator.evaluate(architectures, BATCHES)
    assert torch.equal(first.metrics["loss"], again.metrics["loss"])


def test_all_minibatches_are_summed_the_state_carried() -> None:
    estimator = make_estimator()
    architectures = SPACE.sample(5, seeded(0))
    evaluation = estimator.evaluate(architectures, BATCHES)
    child = estimator.child.eval()
    count = sum(batch.targets.numel() for batch in BATCHES)
    for m in range(5):
        total, state = 0.0, None
        for batch in BATCHES:
            score = child.score(batch, architectures[m : m + 1], state)
            total, state = total + score.loss_sum.item(), score.state
        assert evaluation.metrics["loss"][m].item() == pytest.approx(total / count, rel=1e-5)
        expected = math.exp(total / count)
        assert evaluation.metrics["perplexity"][m].item() == pytest.approx(expected, rel=1e-5)
    assert evaluation.cost == count * 5
    assert evaluation.cost_unit == "tokens"
    assert evaluation.kind == "shared"
    assert evaluation.objective.name == "perplexity"
    assert list(evaluation.status) == ["ok"] * 5


def test_the_state_is_carried_only_where_the_text_goes_on() -> None:
    estimator = make_estimator()
    architectures = SPACE.sample(3, seeded(0))
    apart = [batch._replace(continues=False) for batch in BATCHES]
    found = estimator.evaluate(architectures, apart).metrics["loss"]
    child, count = estimator.child.eval(), sum(batch.targets.numel() for batch in BATCHES)
    losses = torch.stack([child.score(batch, architectures).loss_sum for batch in BATCHES])
    torch.testing.assert_close(found, losses.sum(dim=0).detach() / count)
    carried = estimator.evaluate(architectures, BATCHES).metrics["loss"]
    assert not torch.allclose(found, carried)


def test_a_state_comes_to_where_the_minibatch_is() -> None:
    """`meta` stands for a GPU: a checkpoint is read before the search is moved there."""
    estimator = make_estimator()
    train(estimator, 2)
    held = {**estimator.get_extra_state()}
    estimator.to("meta")
    estimator.set_extra_state(held)
    seen = []

    def score(batch: Batch, architectures: Tensor, state: Tensor, generator: Any) -> ChildScore:
        seen.append(state.device.type)
        return ChildScore(torch.zeros(1, device="meta"), 1, None, state)

    estimator.child.score = score  # type: ignore[method-assign, assignment]
    batch = make_batch(2)._replace(continues=True).on("meta")
    estimator.training_loss(SPACE.sample(1, seeded(0)), batch, seeded(5))
    assert seen == ["meta"]


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
def test_parts_of_any_size_give_the_same(at_once: int) -> None:
    architectures = SPACE.sample(7, seeded(0))
    whole = make_estimator().evaluate(architectures, BATCHES)
    parts = make_estimator(max_evaluation=at_once).evaluate(architectures, BATCHES)
    torch.testing.assert_close(parts.metrics, dict(whole.metrics))
    assert parts.cost == whole.cost
    assert list(parts.status) == list(whole.status)


@pytest.mark.parametrize(
    ("fastest", "wanted"), [(None, [3, 3, 1]), (2, [2, 2, 2, 1]), (5, [3, 3, 1])]
)
def test_no_more_than_allowed_are_scored_at_once(
    fastest: int | None, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more than the network scores fastest."""
    estimator = make_estimator(max_evaluation=3)
    sizes = []
    score = estimator.child.score
    monkeypatch.setattr(estimator.child, "at_once", lambda batch: fastest)

    def watched(batch: Batch, architectures: Tensor, *rest: Any) -> ChildScore:
        sizes.append(len(architectures))
        return score(batch, architectures, *rest)

    monkeypatch.setattr(estimator.child, "score", watched)
    estimator.evaluate(SPACE.sample(7, seeded(0)), BATCHES[:1])
    assert sizes == wanted


def test_what_diverged_is_called_so() -> None:
    """A NaN in the weights of one edge: cells that use it, and only they, have diverged."""
    estimator = make_estimator(make_child(normalisation="none"))
    child = estimator.child
    assert isinstance(child, RecurrentChild)
    with torch.no_grad():
        child.edge_weights[1].fill_(torch.nan)  # the edge 0 -> 2
    architectures = torch.tensor([[0, 0, 1, 1, 2, 2, 0], [0, 0, 1, 0, 2, 2, 0]])
    evaluation = estimator.evaluate(architectures, BATCHES)
    assert list(evaluation.status) == ["ok", "diverged"]
    assert evaluation.metrics["perplexity"].isfinite().tolist() == [True, False]
    assert evaluation.ranking().tolist() == [0, 1]
    assert evaluation.cost > 0


class Counting(ChildNetwork):
    """An imagined network of images that gets as many right as its architecture says."""

    metrics = (LOSS, ACCURACY)
    counts = "images"

    def reset_parameters(self, generator: torch.Generator) -> None:
        """It has no weights."""

    def fresh(self, architectures: Tensor, generators: Sequence[torch.Generator]) -> ChildNetwork:
        return self

    def clip_gradients(self, limit: float) -> None:
        """It has no weights."""

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        return {"parameters": 0}

    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        right = architectures[:, 0]
        return ChildScore(10.0 - right, len(batch.targets), right, None)


def test_right_answers_make_an_accuracy() -> None:
    estimator = make_estimator(Counting(), objective="accuracy", max_evaluation=2)
    batch = Batch(torch.zeros(8, 1, 2, 2), torch.zeros(8, dtype=torch.int64), False)
    evaluation = estimator.evaluate(torch.tensor([[2], [4], [1]]), [batch, batch])
    assert evaluation.metrics["accuracy"].tolist() == [0.25, 0.5, 0.125]
    assert evaluation.metrics["loss"].tolist() == [1.0, 0.75, 1.125]
    assert set(evaluation.metrics) == {"loss", "accuracy"}
    assert evaluation.cost == 3 * 16
    assert evaluation.cost_unit == "images"
    assert evaluation.ranking().tolist() == [1, 0, 2]


# -------------------------------------------------------------------------------- training


def test_the_training_loss_is_the_mean_over_architectures_and_targets() -> None:
    estimator = make_estimator(
        make_child(dropout_words=0, dropout_input=0, dropout_output=0, weight_drop=0)
    )
    architectures, batch = SPACE.sample(3, seeded(0)), make_batch(0)
    twin = copy.deepcopy(estimator.child).train()
    sums = twin.score(batch, architectures, None, seeded(0)).loss_sum
    loss = estimator.training_loss(architectures, batch, seeded(0))
    assert loss.requires_grad
    assert loss.item() == pytest.approx(sums.sum().item() / 3 / (ROWS * LENGTH), rel=1e-6)


def test_training_is_regularised_by_the_given_generator() -> None:
    losses = [
        make_estimator().training_loss(SPACE.sample(1, seeded(0)), make_batch(0), seeded(s)).item()
        for s in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("continues", [False, True])
def test_the_state_is_carried_from_step_to_step(continues: bool) -> None:
    estimator = make_estimator(
        make_child(dropout_words=0, dropout_input=0, dropout_output=0, weight_drop=0)
    )
    twin = copy.deepcopy(estimator.child).train()
    one, other = SPACE.sample(2, seeded(0)).split(1)
    estimator.training_loss(one, make_batch(0), seeded(0))
    second = make_batch(1)._replace(continues=continues)
    loss = estimator.training_loss(other, second, seeded(0))
    state = twin.score(make_batch(0), one, None, seeded(0)).state
    expected = twin.score(second, other, state if continues else None, seeded(0)).loss_sum
    assert loss.item() == pytest.approx(expected.item() / second.targets.numel(), rel=1e-6)


def test_a_checkpoint_holds_the_carried_state() -> None:
    whole = make_estimator()
    expected = train(whole, 4)
    first = make_estimator()
    noise = seeded(5)
    losses = []
    for step in range(4):
        if step == 2:
            second = make_estimator()
            second.load_state_dict(copy.deepcopy(first.state_dict()))
            first = second
        loss = first.training_loss(SPACE.sample(1, seeded(step)), make_batch(step), noise)
        losses.append(loss.item())
    assert losses == expected


def test_a_checkpoint_before_the_first_step() -> None:
    one, other = make_estimator(), make_estimator()
    train(other, 1)
    other.load_state_dict(one.state_dict())
    assert other.get_extra_state() == {"state": None}


def test_a_reset_forgets_the_carried_state() -> None:
    estimator = make_estimator()
    train(estimator, 2)
    estimator.reset_parameters(seeded(0))
    assert_equal(everything(estimator), everything(make_estimator()))


@pytest.mark.parametrize(
    ("decay", "decay_from", "expected"),
    [
        (0.5, 3, [1, 1, 1, 0.5, 0.25, 0.125]),
        (0.5, 0, [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]),
        (1.0, 2, [1] * 6),
    ],
)
def test_learning_rate(decay: float, decay_from: int, expected: list[float]) -> None:
    estimator = make_estimator(decay=decay, decay_from=decay_from)
    assert [estimator.learning_rate_factor(epoch) for epoch in range(6)] == expected


def test_published_learning_rate() -> None:
    """Unchanged for 15 epochs; 0.96 in the 16th, 0.96^2 in the one after (ENAS, section 3.1)."""
    factor: Callable[[int], float] = make_estimator(decay=0.96, decay_from=15).learning_rate_factor
    assert [factor(0), factor(14)] == [1, 1]
    assert [factor(15), factor(16)] == pytest.approx([0.96, 0.96**2])


def test_phases() -> None:
    phases = make_estimator().phases
    assert (phases.child_steps, phases.controller_steps) == (7, 2)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("objective", "reward"),
        ("decay", 0),
        ("decay", 1.1),
        ("decay_from", -1),
        ("gradient_clip", 0),
        ("child_steps", -1),
        ("controller_steps", -1),
        ("max_evaluation", 0),
    ],
)
def test_bad_arguments_are_refused(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{argument}=.*not allowed: must be"):
        make_estimator(None, **{argument: value})


def save_run(folder: Path, estimator: WeightSharing) -> None:
    """What a search leaves of its shared weights."""
    (folder / "checkpoints").mkdir(parents=True)
    state = {f"estimator.{name}": value for name, value in estimator.state_dict().items()}
    torch.save({"state_dict": state}, folder / "checkpoints/last.ckpt")
    (folder / "DONE").touch()


def test_another_runs_weights_are_taken(tmp_path: Path) -> None:
    trained = make_estimator()
    for parameter in trained.child.parameters():
        parameter.data.add_(1)
    save_run(tmp_path / "run", trained)
    estimator = make_estimator(weights=str(tmp_path / "run"), child_steps=0)
    assert_equal(dict(estimator.child.state_dict()), dict(trained.child.state_dict()))
    assert estimator.phases.child_steps == 0


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    save_run(tmp_path / "run", make_estimator(make_child(hidden_size=3)))
    with pytest.raises(ValueError, match=r"weights=.*must be a run with this child network"):
        make_estimator(weights=str(tmp_path / "run"))
    (tmp_path / "run/DONE").unlink()
    for folder in ("run", "nowhere"):
        with pytest.raises(ValueError, match=r"weights=.*must be the folder of a finished run"):
            make_estimator(weights=str(tmp_path / folder))


class Training:
    """Training minibatches by number."""

    def train_batch(self, number: int) -> Batch:
        return make_batch(100 + number)


def test_statistics_of_normalisation_are_each_architectures_own() -> None:
    """As `recalibrated` gives them, on the first training minibatches, which are counted."""
    cells, child = SPACE.sample(4, seeded(0)), make_child()
    plain = make_estimator(child)
    calibrated = make_estimator(child, data=Training(), calibration_minibatches=2)
    with torch.no_grad():
        child.running_mean.add_(0.3)
    before = {name: value.clone() for name, value in child.state_dict().items()}
    own = calibrated.evaluate(cells, BATCHES)
    batches = [make_batch(100), make_batch(101)]
    with torch.no_grad():
        wanted = score_all(child.recalibrated(cells, batches), BATCHES, cells)
    torch.testing.assert_close(own.metrics["loss"], wanted.loss_sum / wanted.count)
    assert not torch.equal(own.metrics["loss"], plain.evaluate(cells, BATCHES).metrics["loss"])
    assert all(torch.equal(before[n], v) for n, v in child.state_dict().items())
    seen = wanted.count + 2 * ROWS * LENGTH
    assert own.cost == seen * len(cells)
