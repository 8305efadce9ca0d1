"""Random search: its support, and its probabilities against counting by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from nas_lightning.controllers import RandomPolicy
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace

SPACE = RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu", "sigmoid"])
ALL = [list(row) for row in itertools.product(*(range(n) for n in SPACE.num_choices))]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_controller(support: int | None, seed: int = 0) -> RandomPolicy:
    controller = RandomPolicy(space=SPACE, support=support)
    controller.reset_parameters(seeded(seed))
    return controller


def supported(controller: RandomPolicy) -> list[list[int]]:
    """What it ever draws."""
    found: list[list[int]] = controller.ask(4000, seeded(9)).architectures.unique(dim=0).tolist()
    return found


@pytest.mark.parametrize("support", [1, 2, 17, SPACE.size])
def test_the_support_has_exactly_so_many_architectures(support: int) -> None:
    controller = make_controller(support)
    assert len(supported(controller)) == support
    architectures = torch.tensor(ALL)
    total = controller.evaluate(architectures).log_probs.sum(dim=1).exp()
    assert int((total > 0).sum()) == support
    torch.testing.assert_close(total[total > 0], torch.full((support,), 1 / support))


def test_without_a_support_everything_is_drawn() -> None:
    assert len(supported(make_controller(None))) == SPACE.size == 54


@pytest.mark.parametrize("support", [None, 1, 5, 30])
def test_probabilities_and_entropies_are_those_of_counting(support: int | None) -> None:
    controller = make_controller(support)
    listed = ALL if support is None else supported(controller)
    rollout = controller.evaluate(torch.tensor(listed))
    assert rollout.hidden_states is None
    for m, row in enumerate(listed):
        for t, choices in enumerate(SPACE.num_choices):
            alike = [other for other in listed if other[:t] == row[:t]]
            p = [sum(o[t] == option for o in alike) / len(alike) for option in range(choices)]
            entropy = -sum(q * math.log(q) for q in p if q > 0)
            assert rollout.log_probs[m, t].item() == pytest.approx(math.log(p[row[t]]), abs=1e-6)
            assert rollout.entropies[m, t].item() == pytest.approx(entropy, abs=1e-6)


def test_outside_the_support_the_probability_is_zero() -> None:
    controller = make_controller(5)
    inside = supported(controller)
    outside = [row for row in ALL if row not in inside]
    rollout = controller.evaluate(torch.tensor(outside))
    assert bool((rollout.log_probs.sum(dim=1) == -torch.inf).all())
    assert not bool(rollout.log_probs.isnan().any())
    assert not bool(rollout.entropies.isnan().any())
    for row, log_probs in zip(outside, rollout.log_probs.tolist(), strict=True):
        shared = max(t for t in range(6) if any(o[:t] == row[:t] for o in inside))
        assert all(math.isfinite(value) for value in log_probs[:shared])
        assert log_probs[shared] == -math.inf


@pytest.mark.parametrize(
    ("support", "allowed"), [(0, "whole number >= 1"), (2.5, "whole number"), (55, "54")]
)
def test_a_bad_support_is_refused(support: int, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"support={support} is not allowed.*{allowed}"):
        RandomPolicy(space=SPACE, support=support)


def test_the_support_follows_the_seed() -> None:
    assert supported(make_controller(5, seed=1)) == supported(make_controller(5, seed=1))
    assert supported(make_controller(5, seed=1)) != supported(make_controller(5, seed=2))


def test_supports_are_drawn_evenly() -> None:
    """Over many seeds every architecture is supported equally often (mean 20, 54 of them)."""
    counts = dict.fromkeys(map(tuple, ALL), 0)
    for seed in range(216):
        for row in make_controller(5, seed).supported.tolist():
            counts[tuple(row)] += 1
    spread = math.sqrt(216 * (5 / 54) * (1 - 5 / 54))
    assert all(abs(count - 20) < 4.5 * spread for count in counts.values())


def test_the_support_is_in_the_state() -> None:
    one, other = make_controller(5, seed=1), RandomPolicy(space=SPACE, support=5)
    other.load_state_dict(one.state_dict())
    assert supported(other) == supported(one)


def test_it_never_learns() -> None:
    controller = make_controller(5)
    rollout = controller.ask(3, seeded(0))
    assert not controller.learns
    assert controller.make_optimizer is None
    assert controller.tell(rollout, torch.rand(3), None, seeded(0)) is None  # type: ignore[arg-type]
    assert list(controller.parameters()) == []
