"""What every predictor promises, asked of each YAML in conf/controller/predictor.

And ridge beside scikit-learn's, feature by feature.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from scipy import stats
from sklearn.linear_model import Ridge as Reference
from torch import Tensor

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.controllers import PredictorSearch
from nas_lightning.predictors import Ensemble, Prediction, Predictor, Ridge
from nas_lightning.predictors.base import one_hot, shares
from nas_lightning.search_spaces.enas_rnn import RecurrentCellSpace
from tests.controllers.test_controller_contract import EPOCHS, Plain, seeded
from tests.given import composed

NAMES = sorted(path.stem for path in (CONF / "controller/predictor").glob("*.yaml"))
SPACE = RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu", "identity", "sigmoid"])
SPREADS = {"mlp": False, "lstm": False}
"""Networks have a spread in an ensemble only."""


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def configured(name: str, brief: bool) -> DictConfig:
    smaller = EPOCHS.get(name, []) if brief else []
    return composed("controller=predictor", f"controller/predictor={name}", *smaller)


def made(name: str, *, brief: bool = False) -> Predictor:
    controller: PredictorSearch = make(configured(name, brief), "controller", space=SPACE)
    return controller.ranker.predictor


def values_of(architectures: Tensor) -> Tensor:
    """Main effects, and a pair that counts."""
    effects = (architectures.double() * torch.tensor([1.0, 2.0, -1.0, 0.5, 1.5])).sum(dim=1)
    return effects + 3 * ((architectures[:, 0] == 1) & (architectures[:, 4] == 2))


def fitted(name: str, *, brief: bool = False) -> tuple[Predictor, Tensor]:
    """A predictor of half of all cells, and the other half; a brief one has learned little."""
    every = SPACE.architectures()[torch.randperm(SPACE.size, generator=seeded(3))]
    predictor = made(name, brief=brief)
    predictor.fit(every[:64], values_of(every[:64]), seeded(0))
    return predictor, every[64:]


def test_it_ranks_what_it_has_not_seen(name: str) -> None:
    predictor, others = fitted(name)
    mean, spread = predictor.predict(others)
    assert mean.dtype == spread.dtype == torch.float64
    assert mean.shape == spread.shape == (64,)
    assert bool((spread >= 0).all())
    assert bool((spread > 0).any()) == SPREADS.get(name, True)
    assert stats.spearmanr(mean, values_of(others)).statistic > 0.8


def test_it_follows_its_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    state = str(np.random.get_state())  # noqa: NPY002
    one, others = fitted(name, brief=True)
    again, _ = fitted(name, brief=True)
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    now = str(np.random.get_state())  # noqa: NPY002
    assert now == state, "NumPy's generator was used"
    assert all(map(torch.equal, one.predict(others), again.predict(others)))


def test_a_fit_forgets_what_was_fitted_before(name: str) -> None:
    predictor, others = fitted(name, brief=True)
    first = predictor.predict(others)
    predictor.fit(others, -values_of(others), seeded(5))
    assert not torch.equal(predictor.predict(others).mean, first.mean)
    every = SPACE.architectures()[torch.randperm(SPACE.size, generator=seeded(3))]
    predictor.fit(every[:64], values_of(every[:64]), seeded(0))
    assert torch.equal(predictor.predict(others).mean, first.mean)


def test_beginnings_are_predicted(name: str) -> None:
    """And learned from, beside whole ones."""
    every = SPACE.architectures()[:64]
    mixed = torch.cat([every, every])
    mixed[64:, 3:] = -1
    predictor = made(name, brief=True)
    predictor.fit(mixed, values_of(mixed), seeded(0))
    short = predictor.predict(every[:, :3]).mean
    torch.testing.assert_close(short, predictor.predict(mixed[64:]).mean)


@pytest.mark.parametrize("given", [0, 1])
def test_fewer_than_two_points(name: str, given: int) -> None:
    some = SPACE.architectures()[:given]
    with pytest.raises(ValueError, match=f"2 architectures at least, not on {given}"):
        made(name).fit(some, torch.zeros(given).double(), seeded(0))


def test_two_points_and_equal_values_are_enough(name: str) -> None:
    some = SPACE.architectures()[:2]
    for values in (torch.tensor([1.0, 2.0]).double(), torch.ones(2).double()):
        predictor = made(name, brief=True)
        predictor.fit(some, values, seeded(0))
        assert bool(predictor.predict(some).mean.isfinite().all())
        assert bool(predictor.predict(some).spread.isfinite().all())


# ---------------------------------------------------------------------------- each by itself


def test_features_by_hand() -> None:
    some = torch.tensor([[1, 2, 0], [0, -1, -1]])
    assert one_hot(Plain(), some).tolist() == [[0, 1, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0, 0]]
    # Of kind: letters a and b, at the first and the third decision, and numbers 1 to 3.
    third = 1 / 3
    found = shares(Plain(), some)
    expected = [[third, third, 0, 0, third], [1, 0, 0, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(one_hot(Plain(), some[1:, :1]), one_hot(Plain(), some[1:]))


def pairs_of(features: Tensor) -> Tensor:
    """All products of two different features."""
    n = features.shape[1]
    return torch.stack(
        [features[:, i] * features[:, j] for i, j in itertools.combinations(range(n), 2)], dim=1
    )


@pytest.mark.parametrize("pairs", [True, False])
def test_ridge_is_ridge_on_features_written_out(pairs: bool) -> None:
    """Scikit-learn's with the same penalty, its intercept apart: values are centred."""
    every = SPACE.architectures()[torch.randperm(SPACE.size, generator=seeded(1))]
    values = values_of(every) + torch.randn(SPACE.size, generator=seeded(2)).double()
    ridge = Ridge(space=SPACE, pairs=pairs)
    ridge.fit(every[:50], values[:50], seeded(0))
    chosen = one_hot(SPACE, every)
    parts = [chosen, shares(SPACE, every), *([pairs_of(chosen)] if pairs else [])]
    features = torch.cat(parts, dim=1).numpy()
    centre = float(values[:50].mean())
    errors = {}
    for penalty in torch.logspace(-3, 4, 22).double().tolist():
        reference = Reference(alpha=penalty, fit_intercept=False)
        left_out = []
        for i in range(50):
            kept = [j for j in range(50) if j != i]
            reference.fit(features[kept], values[kept].numpy() - centre)
            left_out.append(float(values[i]) - centre - reference.predict(features[[i]])[0])
        errors[penalty] = np.square(left_out).mean()
    best = min(errors, key=errors.__getitem__)
    reference = Reference(alpha=best, fit_intercept=False)
    reference.fit(features[:50], values[:50].numpy() - centre)
    expected = reference.predict(features[50:]) + centre
    mean, spread = ridge.predict(every[50:])
    np.testing.assert_allclose(mean.numpy(), expected, rtol=1e-6)
    known = torch.from_numpy(features)
    inverse = torch.linalg.inv(known[:50] @ known[:50].T + best * torch.eye(50).double())
    products = known[50:] @ known[:50].T
    unexplained = known[50:].square().sum(dim=1) - (products @ inverse * products).sum(dim=1)
    variance = unexplained * errors[best] / best
    np.testing.assert_allclose(spread.numpy(), variance.sqrt().numpy(), rtol=1e-5)


class Counting(Predictor):
    """Its prediction is the mean of what it was fitted on."""

    def fit(self, architectures: Tensor, values: Tensor, generator: torch.Generator) -> None:
        self.values = values

    def predict(self, architectures: Tensor) -> Prediction:
        mean = self.values.mean().expand(len(architectures))
        return Prediction(mean, torch.zeros(len(architectures)).double())


def test_each_member_of_an_ensemble_has_another_four_fifths() -> None:
    ensemble = Ensemble(member=Counting(), members=5)
    values = torch.arange(20.0).double()
    ensemble.fit(SPACE.architectures()[:20], values, seeded(0))
    parts = [set(member.values.tolist()) for member in ensemble.members]  # type: ignore[attr-defined]
    assert [len(part) for part in parts] == [16] * 5
    missing = [set(values.tolist()) - part for part in parts]
    assert sorted(v for part in missing for v in part) == values.tolist(), "each is missing once"
    mean, spread = ensemble.predict(SPACE.architectures()[:3])
    each = torch.tensor([sum(part) / 16 for part in parts]).double()
    torch.testing.assert_close(mean, each.mean().expand(3))
    torch.testing.assert_close(spread, each.std(correction=0).expand(3))
