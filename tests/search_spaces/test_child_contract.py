"""What the child network of every search space promises, asked of each YAML in conf/search_space.

Each is tried with one set of weights shared by all architectures, where it has one, and with fresh
weights for each. It is made small where it has one of the sizes below, and reads the data that its
YAML chooses. A new space is tested by its YAML alone; one without a network is skipped.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.data.base import Batch, Data
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import ChildNetwork, ChildScore, score_all
from tests.given import choosing, composed

SPACES = sorted(path.stem for path in (CONF / "search_space").glob("*.yaml"))
assert SPACES, f"no search space in {CONF}"

SMALL: dict[str, dict[str, Any]] = {
    "search_space": {"num_nodes": 4, "num_layers": 3},
    "child": {"hidden_size": 8},
    "data": {
        "batch_size": 3,
        "evaluation_batch_size": 2,
        "sequence_length": 5,
        "vocabulary_size": 40,
    },
}
M = 6


@dataclass(frozen=True)
class Made:
    """A space, its data, and ways to have its networks."""

    cfg: DictConfig
    shared: bool
    space: SearchSpace = field(init=False)
    data: Data = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", make(self.cfg, "search_space"))
        object.__setattr__(self, "data", make(self.cfg, "data"))

    def template(self) -> ChildNetwork:
        """A network as it comes from the YAML."""
        made: ChildNetwork = make(self.cfg, "child", space=self.space, **self.data.sizes)
        return made

    def architectures(self, n: int = M) -> Tensor:
        """The first n of always the same architectures."""
        return self.space.sample(M, seeded(0))[:n]

    def child(self, architectures: Tensor | None = None, seed: int = 0) -> ChildNetwork:
        """A network for these architectures, by default all M.

        An architecture's fresh weights follow from it and the seed alone.
        """
        given = self.architectures() if architectures is None else architectures
        child = self.template()
        if self.shared:
            child.reset_parameters(seeded(seed))
            return child
        rows = given.tolist()
        return child.fresh(given, [seeded(hash((seed, *row)) % 2**31) for row in rows])


@pytest.fixture(scope="module", params=["shared", "fresh"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SPACES)
def made(request: pytest.FixtureRequest, mode: str) -> Made:
    cfg = composed(*choosing(request.param))
    if cfg.get("child") is None:
        pytest.skip(f"search_space={request.param} has no child network")
    for group, sizes in SMALL.items():
        for key, size in sizes.items():
            if key in cfg[group]:
                cfg[group][key] = size
    made = Made(cfg, shared=mode == "shared")
    if made.shared and not made.template().shares_weights:
        pytest.skip(f"search_space={request.param} shares no weights")
    return made


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def global_states() -> str:
    """The states of all global random generators."""
    states = [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()]  # noqa: NPY002
    return repr(states)


def snapshot(child: ChildNetwork) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in child.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def mean_loss(score: ChildScore) -> Tensor:
    return score.loss_sum.mean() / score.count


def gradients_of(child: ChildNetwork, loss: Tensor) -> list[Tensor]:
    """The gradient of every parameter, zeros where it is not used."""
    parameters = list(child.parameters())
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)
    ]


def norm_of(gradients: list[Tensor]) -> Tensor:
    return torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()


# --------------------------------------------------------------------------------- weights


def test_weights_follow_their_generators_alone(made: Made) -> None:
    before = global_states()
    one, again, other = (snapshot(made.child(seed=seed)) for seed in (1, 1, 2))
    assert global_states() == before, "a global generator was used"
    assert same(one, again)
    assert not same(one, other)


def test_a_reset_forgets_all_training(made: Made) -> None:
    """Also what is no parameter, for example running statistics."""
    if not made.shared:
        pytest.skip("of shared weights")
    child = made.child(seed=1)
    fresh = snapshot(child)
    child.train()
    child.score(made.data.train_batch(0), made.architectures(1), None, seeded(0))
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.add_(1.0)
    child.reset_parameters(seeded(1))
    assert same(snapshot(child), fresh)


def test_a_reset_without_shared_weights_is_refused(made: Made) -> None:
    template = made.template()
    if template.shares_weights:
        pytest.skip("this network has shared weights")
    with pytest.raises(TypeError, match="no shared weights"):
        template.reset_parameters(seeded(0))


def test_fresh_leaves_its_template_alone(made: Made) -> None:
    template = made.template()
    before = snapshot(template)
    fresh = template.fresh(made.architectures(2), [seeded(0), seeded(1)])
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.add_(1.0)
    assert same(snapshot(template), before)


# --------------------------------------------------------------------------------- scoring


@pytest.mark.parametrize("training", [False, True])
def test_score_has_its_shapes(made: Made, training: bool) -> None:
    for n in (1, M):
        architectures = made.architectures(n)
        child = made.child(architectures).train(training)
        score = child.score(made.data.train_batch(0), architectures, None, seeded(0))
        assert score.loss_sum.shape == (n,)
        assert score.loss_sum.requires_grad
        assert bool(torch.isfinite(score.loss_sum).all())
        assert bool((score.loss_sum > 0).all())
        assert type(score.count) is int
        assert score.count == made.data.train_batch(0).targets.numel()
        if score.correct is not None:
            assert score.correct.shape == (n,)
            assert bool((score.correct <= score.count).all())
        if score.state is not None:
            assert len(score.state) == n
            assert not score.state.requires_grad
        for values in child.measure(score).values():
            assert values.shape == (n,)


def test_one_architecture_scores_as_among_many(made: Made) -> None:
    architectures = made.architectures()
    child = made.child().eval()
    first, second = made.data.validation_batches()[:2]
    many = child.score(first, architectures)
    assert len(set(many.loss_sum.tolist())) > 1, "all architectures are alike: nothing is tested"
    later = child.score(second, architectures, many.state)
    for m in range(M):
        alone = architectures[m : m + 1]
        single = made.child(alone).eval()
        one = single.score(first, alone)
        torch.testing.assert_close(one.loss_sum, many.loss_sum[m : m + 1])
        if one.state is not None:
            assert many.state is not None
            torch.testing.assert_close(one.state, many.state[m : m + 1])
        one = single.score(second, alone, one.state)
        torch.testing.assert_close(one.loss_sum, later.loss_sum[m : m + 1])


def test_whoever_is_trained_beside_makes_no_difference(made: Made) -> None:
    """With fresh weights, also in training: the same generator gives the same dropout to all."""
    if made.shared:
        pytest.skip("shared weights depend on all that are trained")
    architectures, batch = made.architectures(), made.data.train_batch(0)
    many = made.child().train().score(batch, architectures, None, seeded(5)).loss_sum
    for m in range(M):
        alone = architectures[m : m + 1]
        one = made.child(alone).train().score(batch, alone, None, seeded(5)).loss_sum
        torch.testing.assert_close(one, many[m : m + 1])


def test_evaluation_is_deterministic_and_changes_nothing(made: Made) -> None:
    child = made.child().eval()
    weights, states = snapshot(child), global_states()
    batch, architectures = made.data.validation_batches()[0], made.architectures()
    given = architectures.clone()
    with torch.no_grad():
        first = child.score(batch, architectures)
        again = child.score(batch, architectures)
    assert torch.equal(first.loss_sum, again.loss_sum)
    assert same(snapshot(child), weights)
    assert global_states() == states, "a global generator was used"
    assert torch.equal(architectures, given)


def test_training_follows_its_generator_alone(made: Made) -> None:
    batch, architectures = made.data.train_batch(0), made.architectures()
    original = made.child()

    def scored(seed: int) -> tuple[Tensor, bool]:
        """The losses, and whether anything was drawn."""
        generator = seeded(seed)
        child = copy.deepcopy(original).train()
        losses = child.score(batch, architectures, None, generator).loss_sum
        return losses, not torch.equal(generator.get_state(), seeded(seed).get_state())

    states = global_states()
    (first, drawn), (again, _), (other, _) = scored(1), scored(1), scored(2)
    assert global_states() == states, "a global generator was used"
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (not drawn)


# ------------------------------------------------------------------------------- gradients


def test_gradients_flow_downhill(made: Made) -> None:
    child = made.child().eval()
    batch, architectures = made.data.train_batch(0), made.architectures()
    loss = mean_loss(child.score(batch, architectures))
    gradients = gradients_of(child, loss)
    norm = norm_of(gradients)
    assert bool(torch.isfinite(norm))
    assert norm > 0
    step = 1e-2
    with torch.no_grad():
        for parameter, gradient in zip(child.parameters(), gradients, strict=True):
            parameter.sub_(step * gradient / norm)
        lower = mean_loss(child.score(batch, architectures))
    expected = step * norm.item()  # to first order
    assert loss.item() - lower.item() == pytest.approx(expected, rel=0.1)


def test_every_architecture_has_a_gradient_of_its_own(made: Made) -> None:
    child = made.child().eval()
    batch, architectures = made.data.train_batch(0), made.architectures()
    for m in range(M):
        alone = architectures[m : m + 1]
        single = child if made.shared else made.child(alone).eval()
        one = gradients_of(single, single.score(batch, alone).loss_sum[0])
        among = gradients_of(child, child.score(batch, architectures).loss_sum[m])
        torch.testing.assert_close(norm_of(among), norm_of(one), rtol=1e-4, atol=1e-6)
        if made.shared:
            for together, own in zip(among, one, strict=True):
                torch.testing.assert_close(together, own, rtol=1e-4, atol=1e-5)


def set_gradients(child: ChildNetwork, made: Made, weights: Tensor) -> None:
    """The gradient of the losses, weighted."""
    losses = child.score(made.data.train_batch(0), made.architectures()).loss_sum
    for parameter, gradient in zip(
        child.parameters(), gradients_of(child, (losses * weights).sum()), strict=True
    ):
        parameter.grad = gradient


def test_clipping_scales_the_gradient_down(made: Made) -> None:
    """One set of weights to norm 0.01 and fresh ones each; gradients below the limit stay."""
    child = made.child().eval()
    set_gradients(child, made, torch.ones(M))
    before = [p.grad.clone() for p in child.parameters() if p.grad is not None]
    child.clip_gradients(1e9)
    for parameter, gradient in zip(child.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    child.clip_gradients(0.01)
    after = [p.grad for p in child.parameters() if p.grad is not None]
    sets = 1 if made.shared else M
    assert norm_of(after).item() == pytest.approx(0.01 * sets**0.5, rel=1e-3)
    if made.shared:
        factor = 0.01 / norm_of(before)
        for clipped, gradient in zip(after, before, strict=True):
            torch.testing.assert_close(clipped, gradient * factor, rtol=1e-3, atol=1e-7)


def test_a_diverged_architecture_does_not_spoil_the_others(made: Made) -> None:
    if made.shared:
        pytest.skip("shared weights are spoiled together")
    child = made.child().eval()
    weights = torch.ones(M)
    weights[2] = torch.nan
    set_gradients(child, made, weights)
    child.clip_gradients(0.01)
    found = [p.grad.nan_to_num(0, 0, 0) for p in child.parameters() if p.grad is not None]
    assert norm_of(found).item() == pytest.approx(0.01 * (M - 1) ** 0.5, rel=1e-3)


# ----------------------------------------------------------------------------------- state


def test_a_carried_state_makes_a_difference(made: Made) -> None:
    child = made.child().eval()
    first, second = made.data.validation_batches()[:2]
    architectures = made.architectures()
    state = child.score(first, architectures).state
    if state is None:
        pytest.skip("this network carries no state")
    carried = child.score(second, architectures, state).loss_sum
    fresh = child.score(second, architectures).loss_sum
    assert bool((carried != fresh).all())


def test_a_carried_state_stands_for_the_text_before(made: Made) -> None:
    """Two halves of a minibatch, the state carried, are the whole minibatch."""
    child = made.child().eval()
    batch, architectures = made.data.train_batch(0), made.architectures()
    whole = child.score(batch, architectures)
    if whole.state is None:
        pytest.skip("this network carries no state")
    left = Batch(batch.inputs[:, :2], batch.targets[:, :2], batch.continues)
    right = Batch(batch.inputs[:, 2:], batch.targets[:, 2:], True)
    both = score_all(child, [left, right], architectures)
    torch.testing.assert_close(both.loss_sum, whole.loss_sum)
    torch.testing.assert_close(both.state, whole.state)
    assert both.count == whole.count
    apart = score_all(child, [left, right._replace(continues=False)], architectures)
    assert not torch.allclose(apart.loss_sum, whole.loss_sum)


def test_scores_of_minibatches_add_up(made: Made) -> None:
    child = made.child().eval()
    first, second = made.data.validation_batches()[:2]
    architectures = made.architectures()
    one = child.score(first, architectures)
    two = child.score(second, architectures, one.state if second.continues else None)
    total = score_all(child, [first, second], architectures)
    torch.testing.assert_close(total.loss_sum, one.loss_sum + two.loss_sum)
    assert total.count == one.count + two.count
    assert (total.correct is None) == (one.correct is None)
    if total.correct is not None and one.correct is not None and two.correct is not None:
        assert torch.equal(total.correct, one.correct + two.correct)
    torch.testing.assert_close(total.state, two.state)


# ----------------------------------------------------------------------------------- costs


def test_parameters_are_counted(made: Made) -> None:
    """An architecture's own weights exactly; of shared ones no fewer than have a gradient."""
    architectures = made.architectures()
    batch = made.data.train_batch(0)
    for m, row in enumerate(architectures.tolist()):
        alone = architectures[m : m + 1]
        child = made.child(alone).eval()
        costs = child.costs(row)
        assert costs == made.template().costs(row)
        assert all(type(value) is int and value > 0 for value in costs.values())
        total = sum(parameter.numel() for parameter in child.parameters())
        gradients = gradients_of(child, child.score(batch, alone).loss_sum.sum())
        moved = sum(int((gradient != 0).sum()) for gradient in gradients)
        if made.shared:
            assert 0 < moved <= costs["parameters"] <= total
        else:
            assert costs["parameters"] == total
