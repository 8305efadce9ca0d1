"""What relaxations weigh, derive and estimate, where it can be enumerated; and when they stop."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.analysis.diversity import kl_to_uniform
from nas_lightning.controllers import DARTS, GDAS, DrNAS, EarlyStop, Relaxation
from nas_lightning.search_spaces.darts_rnn import DartsCellSpace
from tests.controllers.test_controller_contract import Plain


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(kind: type[Relaxation], space: Any, **more: Any) -> Relaxation:
    return kind(
        space=space,
        optimizer=functools.partial(torch.optim.Adam, lr=0.1),
        order=1,
        epsilon=0.01,
        init_scale=1.0,
        as_published=False,
        early_stop=None,
        **more,
    )


GUMBEL = {"temperature_start": 10.0, "temperature_end": 0.1, "epochs": 11}
EVERY: list[tuple[type[Relaxation], dict[str, Any]]] = [(DARTS, {}), (GDAS, GUMBEL), (DrNAS, {})]


@pytest.mark.parametrize(("kind", "more"), EVERY)
def test_weights_sum_to_one_in_each_group(kind: type[Relaxation], more: dict[str, Any]) -> None:
    space = DartsCellSpace(num_nodes=3, operations=["tanh", "relu"], none=True)
    controller = made(kind, space, **more)
    controller.reset_parameters(seeded(0))
    for weights in (controller.weights(3, seeded(1)), controller.expected()):
        groups = weights.view(6, 3)
        torch.testing.assert_close(groups.sum(dim=1), torch.ones(6))
        assert bool((groups >= 0).all())
        coefficients = torch.arange(18.0)
        (gradient,) = torch.autograd.grad((weights * coefficients).sum(), controller.logits)
        assert bool(torch.isfinite(gradient).all())
        assert float(gradient.norm()) > 0


@pytest.mark.parametrize(("kind", "more"), EVERY)
def test_the_greatest_weights_are_derived_and_none_never_is(
    kind: type[Relaxation], more: dict[str, Any]
) -> None:
    space = DartsCellSpace(num_nodes=2, operations=["tanh", "relu"], none=True)
    controller = made(kind, space, **more)
    with torch.no_grad():
        #                    none tanh relu   from 0 of node 1, then from 0 and 1 of node 2
        logits = [[5.0, 0.0, 1.0], [9.0, 2.0, 0.0], [0.0, 1.0, 3.0]]
        controller.logits.copy_(torch.tensor(logits).flatten())
    assert space.describe(controller.derived()) == {"node 1": "0 relu", "node 2": "1 relu"}
    candidates = controller.candidates(5, seeded(0))
    assert candidates.architectures[0].tolist() == controller.derived()
    assert candidates.architectures.shape == (5, 2)


def test_its_policy_is_the_product_of_the_weights() -> None:
    """With `none` left out; and KL to uniform is exact, from however few samples."""
    space = DartsCellSpace(num_nodes=2, operations=["tanh", "relu"], none=True)
    controller = made(DARTS, space)
    controller.reset_parameters(seeded(0))
    weights = controller.expected().detach().view(3, 3)[:, 1:]
    first = weights[0] / weights[0].sum()
    second = weights[1:].flatten() / weights[1:].sum()
    vectors = torch.tensor(list(itertools.product(range(2), range(4))))
    expected = first[vectors[:, 0]] * second[vectors[:, 1]]
    found = controller.evaluate(vectors).log_probs.sum(dim=1).exp()
    torch.testing.assert_close(found, expected)
    kl = (expected * (expected * 8).log()).sum()
    with torch.no_grad():
        few = controller.candidates(1, seeded(0))
    torch.testing.assert_close(
        torch.as_tensor(
            kl_to_uniform(few.architectures, few.distributions, few.entropies, space)
        ).float(),
        kl,
    )


def of_two_decisions(weights: Tensor, table: Tensor) -> Tensor:
    """A loss that is smooth in the weights of two groups of two, and not linear."""
    one, other = weights.view(2, 2)
    loss: Tensor = (one @ table @ other).square() + (one * table[0]).sum()
    return loss


class Two(Plain):
    """Two decisions of two options."""

    decisions = tuple(Plain.decisions[t] for t in (0, 2))


@pytest.mark.parametrize("epoch", [0, 5, 10, 99])
def test_gdas_estimates_by_the_drawn_path(epoch: int) -> None:
    """Against the formula, all four paths enumerated, the noise being known.

    The gradient is that of the loss at the drawn 0 and 1 by the drawn weights, times the softmax's
    derivative at the temperature.
    """
    controller = made(GDAS, Two(), **GUMBEL)
    assert isinstance(controller, GDAS)
    controller.double().reset_parameters(seeded(0))
    with torch.no_grad():
        controller.logits.mul_(0.3)  # so that every path is likely
    table = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    temperature = {0: 10.0, 5: 5.05, 10: 0.1, 99: 0.1}[epoch]
    assert controller.temperature_at(epoch) == pytest.approx(temperature)
    at_path = {}
    for path in itertools.product(range(2), range(2)):
        hot = torch.zeros(4, dtype=torch.float64)
        hot[[path[0], 2 + path[1]]] = 1
        hot.requires_grad_()
        (at_path[path],) = torch.autograd.grad(of_two_decisions(hot, table), hot)
    seen = set()
    for seed in range(60):
        weights = controller.weights(epoch, seeded(seed))
        path = tuple(weights.detach().view(2, 2).argmax(dim=1).tolist())
        seen.add(path)
        assert sorted(weights.detach().tolist()) == [0, 0, 1, 1]
        (found,) = torch.autograd.grad(of_two_decisions(weights, table), controller.logits)
        noise = torch.empty(4).exponential_(generator=seeded(seed)).double()
        expected = torch.zeros(4, dtype=torch.float64)
        for group, option in enumerate(path):
            part = slice(2 * group, 2 * group + 2)
            logits = controller.logits.detach()[part].log_softmax(dim=0) - noise[part].log()
            soft = (logits / temperature).softmax(dim=0)
            one_hot = torch.eye(2, dtype=torch.float64)[option]
            slope = soft[option] * (one_hot - soft) / temperature
            expected[part] = at_path[path][2 * group + option] * slope
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    assert len(seen) == 4, "not all paths were drawn"


def test_gdas_draws_by_the_softmax() -> None:
    controller = made(GDAS, Two(), **GUMBEL)
    controller.reset_parameters(seeded(0))
    generator = seeded(1)
    with torch.no_grad():
        drawn = torch.stack([controller.weights(0, generator) for _ in range(4000)])
        torch.testing.assert_close(drawn.mean(dim=0), controller.expected(), rtol=0, atol=0.03)


def test_drnas_draws_by_its_concentrations() -> None:
    """Mean, and variance, of a Dirichlet distribution."""
    controller = made(DrNAS, Two())
    assert isinstance(controller, DrNAS)
    controller.reset_parameters(seeded(0))
    generator = seeded(1)
    with torch.no_grad():
        drawn = torch.stack([controller.weights(0, generator) for _ in range(4000)])
        mean = controller.expected()
        total = controller.concentrations().view(2, 2).sum(dim=1).repeat_interleave(2)
        variance = mean * (1 - mean) / (total + 1)
    torch.testing.assert_close(drawn.mean(dim=0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.var(dim=0), variance, rtol=0.15, atol=0.005)


def rule(**changes: Any) -> EarlyStop:
    arguments: dict[str, Any] = {
        "measurements": 1,
        "examples": None,
        "window": 5,
        "start": 5,
        "delta": 4,
        "factor": 1.3,
        "skips": ["identity"],
        "max_skips": None,
        "simulate": False,
        **changes,
    }
    return EarlyStop(**arguments)


def first_stop(stop: EarlyStop, values: list[float], skips: list[int]) -> tuple[int, int] | None:
    """The measurement after which the rule stops, and to which it goes back."""
    for n in range(1, len(values) + 1):
        back = stop.goes_back_to(values[:n], skips[:n])
        if back is not None:
            return n - 1, back
    return None


def test_it_stops_where_the_local_average_has_grown() -> None:
    """A step from 1 to 2 at measurement 20: three of five give 1.6 times what was before."""
    values = [1.0] * 20 + [2.0] * 20
    found = first_stop(rule(), values, [0] * 40)
    # The averages over 17..21 and 13..17; the later is 1.4. Its centre is 19, the earlier one's 15.
    assert found == (21, 15)
    assert first_stop(rule(factor=1.5), values, [0] * 40) == (22, 16)
    assert first_stop(rule(factor=2.1), values, [0] * 40) is None
    assert first_stop(rule(factor=None), values, [0] * 40) is None
    assert first_stop(rule(), [-v for v in values], [0] * 40) is None


def test_it_does_not_stop_before_its_start() -> None:
    values = [1.0] * 4 + [2.0] * 4 + [4.0] * 40
    stopped = first_stop(rule(), values, [0] * 48)
    assert stopped is not None
    assert stopped[1] == 5
    assert first_stop(rule(start=0), values, [0] * 48) == (8, 2)


def test_it_stops_at_too_many_skips() -> None:
    stop = rule(max_skips=2, factor=None)
    assert first_stop(stop, [1.0] * 5, [0, 1, 2, 3, 4]) == (3, 2)
    assert stop.count(["tanh", "identity", "identity"]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"measurements": -1},
        {"window": 0},
        {"delta": 0},
        {"factor": 1},
        {"skips": "identity"},
        {"max_skips": -1},
        {"simulate": "yes"},
        {"examples": 0},
        {"start": -1},
    ],
    ids=str,
)
def test_wrong_rules_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.* is not allowed"):
        rule(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"order": 3}, {"order": True}, {"epsilon": 0}, {"init_scale": 0}, {"as_published": 1}],
    ids=str,
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "space": Two(),
        "optimizer": functools.partial(torch.optim.Adam, lr=0.1),
        "order": 1,
        "epsilon": 0.01,
        "init_scale": 1e-3,
        "as_published": False,
        "early_stop": None,
        **wrong,
    }
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.* is not allowed"):
        DARTS(**arguments)
