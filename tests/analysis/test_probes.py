"""Probes on made-up controllers: some know everything of the past, some nothing, some a part."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nas_lightning.analysis.probes import (
    _chance,
    _parts,
    history_information,
    probe,
    state_variance,
)
from nas_lightning.analysis.similarity import one_hot


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MANY = 10_000
"""Options of a last decision that makes each architecture another one, and is itself too rare."""


def uniform(*num_choices: int, size: int = 600) -> Tensor:
    columns = [torch.randint(k, (size,), generator=seeded(t)) for t, k in enumerate(num_choices)]
    return torch.stack(columns, dim=1)


def test_state_variance_by_hand() -> None:
    """Two architectures, three steps, two units."""
    states = torch.tensor(
        [
            [[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]],
            [[0.0, 0.0], [1.0, 2.0], [6.0, 0.0]],
        ]
    )
    # Unit 0 is 0, 1, 0, 0, 1, 6 and unit 1 is 0, 2, 0, 0, 2, 0: mean squares less squared means.
    total = (38 / 6 - (8 / 6) ** 2 + 8 / 6 - (4 / 6) ** 2) / 2
    assert state_variance(states).tolist() == pytest.approx([0, 0, 4.5 / total])


def test_state_variance_of_states_that_do_not_depend_on_time() -> None:
    states = torch.rand(50, 1, 4, generator=seeded()).expand(50, 3, 4)
    assert state_variance(states).tolist() == pytest.approx([1, 1, 1])


def test_state_variance_is_undefined_if_nothing_varies() -> None:
    assert state_variance(torch.full((5, 3, 2), 0.3)).isnan().all()


def test_a_state_that_holds_everything() -> None:
    architectures = uniform(4, 3, 2, MANY)
    for scale in (1, 1e-5):  # of whatever size
        probes = probe(one_hot(architectures[:, :3]) * scale, architectures, folds=3)[:3]
        assert [p.balanced_accuracy for p in probes] == [1, 1, 1]
        assert [p.chance for p in probes] == pytest.approx([1 / 4, 1 / 3, 1 / 2], abs=1e-3)
        assert [p.decision for p in probes] == [0, 1, 2]


def test_a_state_that_holds_one_decision_only() -> None:
    architectures = uniform(4, 3, MANY)
    probes = probe(one_hot(architectures[:, 1:2]), architectures, folds=3)
    assert probes[0].balanced_accuracy == pytest.approx(1 / 4, abs=0.08)  # 4 standard errors
    assert probes[1].balanced_accuracy == 1


def test_a_number_on_one_axis_is_read() -> None:
    """Regression on indicators would not see the middle options."""
    architectures = uniform(5)
    noise = torch.randn(600, 3, generator=seeded(9))
    states = torch.cat([architectures + 0.1 * noise[:, :1], noise[:, 1:]], dim=1)
    assert probe(states, architectures, folds=3)[0].balanced_accuracy > 0.95


def test_a_state_that_is_always_the_same_gives_chance() -> None:
    architectures = uniform(4, 2, MANY)
    for found in probe(torch.full((600, 3), 0.7), architectures, folds=3)[:2]:
        assert found.balanced_accuracy == pytest.approx(found.chance, abs=0.01)


def test_a_random_vector_for_each_architecture_gives_chance() -> None:
    """Of 128 architectures 2,000 are drawn: none may be recognised by its vector."""
    space = torch.cartesian_prod(*(torch.arange(k) for k in (4, 4, 2, 4)))
    found = []
    for seed in range(20):
        vectors = torch.randn(128, 20, generator=seeded(seed))
        drawn = torch.randint(128, (2000,), generator=seeded(seed + 100))
        found.append(probe(vectors[drawn], space[drawn], folds=3))
    accuracy = torch.tensor([[p.balanced_accuracy for p in probes] for probes in found]).mean(dim=0)
    chance = torch.tensor([[p.chance for p in probes] for probes in found]).mean(dim=0)
    assert chance.tolist() == pytest.approx([0.25, 0.25, 0.5, 0.25], abs=0.002)
    assert (accuracy - chance).abs().max() < 0.035  # 3.5 standard errors


def test_chance_by_the_same_folds_by_hand() -> None:
    """One option twice, the other four times, in two folds; guessed by the other fold's shares."""
    codes = torch.tensor([0, 0, 1, 1, 1, 1])
    assert _chance(codes, torch.tensor([0, 1, 0, 0, 1, 1])) == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert _chance(codes, torch.tensor([1, 1, 0, 0, 0, 0])) == 0


def test_folds_share_every_option() -> None:
    """In the order given, as equally as can be, and are equally large."""
    assert _parts(torch.tensor([0, 1, 0, 1, 0, 1]), 2).tolist() == [0, 0, 0, 1, 1, 1]
    assert _parts(torch.tensor([1, 0, 1, 1, 1]), 3).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("options", [2, 4])
def test_as_logistic_regression_that_is_fitted_to_the_end(options: int) -> None:
    """Scikit-learn's, fold by fold, on units that are nearly the same and tell little."""
    decisions = uniform(options, 3, size=900)
    noise = torch.randn(900, 20, generator=seeded(9))
    mixed = torch.randn(20, 20, generator=seeded(10)) + 5
    states = (one_hot(decisions) @ noise[: options + 3] + 2 * noise) @ mixed
    for found, codes in zip(probe(states, decisions, folds=3), decisions.T, strict=True):
        parts = _parts(codes, 3)
        right = torch.empty(900)
        for fold in range(3):
            learned, held_out = (parts != fold).numpy(), (parts == fold).numpy()
            scaler = StandardScaler().fit(states)
            fit = LogisticRegression(max_iter=1000, tol=1e-6)
            fit.fit(scaler.transform(states[learned]), codes[learned])
            read = fit.predict(scaler.transform(states[held_out]))
            right[parts == fold] = torch.from_numpy(read == codes[held_out].numpy()).float()
        recalls = [float(right[codes == option].mean()) for option in codes.unique()]
        expected = sum(recalls) / len(recalls)
        assert found.balanced_accuracy == pytest.approx(expected, abs=0.004)
        assert found.chance + 0.1 < expected < 0.9


def test_rare_options_count_as_much_as_others() -> None:
    """Guessing the frequent option is right nine times out of ten, and still chance."""
    rare = (torch.arange(600) % 10 == 0).long().unsqueeze(1)
    found = probe(torch.rand(600, 2, generator=seeded()), rare, folds=3)[0]
    assert found.balanced_accuracy == pytest.approx(0.5, abs=0.01)


def test_what_is_no_choice_is_left_out_and_what_is_too_rare_undefined() -> None:
    decisions = uniform(1, 2, 2, size=60)
    decisions[:, 2] = 0
    decisions[:2, 2] = 1
    found = probe(torch.rand(60, 2, generator=seeded()), decisions, folds=3)
    assert [p.decision for p in found] == [1, 2]
    assert math.isnan(found[1].balanced_accuracy)
    assert not math.isnan(found[0].balanced_accuracy)


def test_probes_draw_nothing() -> None:
    architectures = uniform(4, 3)
    states = torch.rand(600, 4, generator=seeded())
    before = torch.get_rng_state()
    assert probe(states, architectures, folds=3) == probe(states, architectures, folds=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="folds=1"):
        probe(torch.rand(4, 2), uniform(2, size=4), folds=1)


def test_information_of_a_copying_policy_is_that_of_a_coin() -> None:
    """After each of two equally frequent histories one option is certain: log 2."""
    certain = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] * 5).log()
    ignorant = torch.tensor([0.2, 0.8]).log().expand(10, 2)
    only = torch.zeros(10, 1)
    found = history_information([certain, ignorant, only])
    assert found.tolist() == pytest.approx([math.log(2), 0, 0], abs=1e-12)
    assert (found >= 0).all()


def test_information_is_the_mutual_information_of_the_joint_table() -> None:
    """Four histories, equally frequent: I = sum p(i, k) log(p(i, k) / p(i) p(k))."""
    p = torch.rand(4, 3, generator=seeded(), dtype=torch.float64)
    p /= p.sum(dim=1, keepdim=True)
    joint = p / 4
    expected = (joint * (joint / (joint.sum(0) * joint.sum(1, keepdim=True))).log()).sum()
    assert history_information([p.log()]).tolist() == pytest.approx([expected.item()])
    assert expected > 0.01
