"""The policy gradient against the truth, by counting all architectures of a tiny space.

The expected reward J = sum_a p(a) R(a) of a space of 16 architectures can be differentiated
exactly, and so can the expectation of every estimate: a sum over all rollouts weighted by their
probability. All in float64, so that unbiased means equal to 1e-12.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nas_lightning.controllers import (
    Baseline,
    Controller,
    LeaveOneOut,
    LSTMPolicy,
    MovingAverage,
    Permuted,
    RandomPolicy,
    Reinforce,
    Rollout,
)
from nas_lightning.controllers.reinforce import EntropyIn, policy_gradient_loss
from nas_lightning.engine import ArchitectureSearch
from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.generators import Generators
from nas_lightning.memories.none import NoMemory
from nas_lightning.rewards import Objective
from nas_lightning.runs.ledger import Ledger, Metrics
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import ACCURACY
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace

SPACE = RecurrentCellSpace(num_nodes=3, activations=["tanh", "relu"])
ALL = torch.tensor(list(itertools.product(*(range(n) for n in SPACE.num_choices))))
REWARDS = torch.rand(len(ALL), generator=torch.Generator().manual_seed(3)).double() * 4 + 1
WEIGHT = 0.7
"""Of the entropy, where there is one; large, so that errors in it show."""


def make_controller(
    baseline: Baseline, entropy_weight: float = 0, entropy_in: EntropyIn = "loss"
) -> Reinforce:
    """A policy far from uniform, in float64."""
    policy = LSTMPolicy(
        space=SPACE,
        hidden_size=4,
        num_layers=1,
        init_range=1.0,
        heads="per_decision",
        temperature=None,
        tanh_constant=2.5,
    )
    controller = Reinforce(
        policy=policy,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        baseline=baseline,
        entropy_weight=entropy_weight,
        entropy_in=entropy_in,
    ).double()
    controller.reset_parameters(torch.Generator().manual_seed(0))
    if isinstance(baseline, MovingAverage):  # in the midst of a run again
        set_average(baseline, float(baseline.value))
    return controller


def set_average(baseline: MovingAverage, value: float) -> MovingAverage:
    """As it is in the midst of a run."""
    baseline.value.fill_(value)
    baseline.steps.fill_(3)
    return baseline


def moving_average(value: float, update: str = "after", decay: float = 0.9) -> MovingAverage:
    baseline = MovingAverage(decay=decay, update=update, reset_every=None)  # type: ignore[arg-type]
    return set_average(baseline, value)


def gradient(controller: Reinforce, loss: Tensor) -> Tensor:
    """With respect to all parameters, as one vector."""
    parameters = list(controller.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten()
            for p, g in zip(parameters, found, strict=True)
        ]
    )


def part(rollout: Rollout, rows: tuple[int, ...]) -> Rollout:
    index = list(rows)
    return Rollout(rollout.architectures[index], rollout.log_probs[index], rollout.entropies[index])


def learn(controller: Reinforce, rollout: Rollout, rewards: Tensor) -> Tensor:
    evaluation = Evaluation({"accuracy": rewards}, "shared", (ACCURACY,), (), 1, "tokens")
    if isinstance(controller.baseline, MovingAverage):
        kept = float(controller.baseline.value)
        loss = controller.tell(rollout, rewards, evaluation, torch.Generator())
        set_average(controller.baseline, kept)
    else:
        loss = controller.tell(rollout, rewards, evaluation, torch.Generator())
    assert loss is not None
    return loss


def expected_gradient(controller: Reinforce, rewards: Tensor, m: int) -> Tensor:
    """Of `learn` over all rollouts of m architectures, weighted by their probability."""
    rollout = controller.policy.evaluate(ALL)
    p = rollout.log_probs.sum(dim=1).exp().detach()
    losses = [
        p[list(rows)].prod() * learn(controller, part(rollout, rows), rewards[list(rows)])
        for rows in itertools.product(range(len(ALL)), repeat=m)
    ]
    return gradient(controller, torch.stack(losses).sum())


def true_gradient(controller: Reinforce, rewards: Tensor) -> Tensor:
    """Of what is to be minimised, -J."""
    p = controller.policy.evaluate(ALL).log_probs.sum(dim=1).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    return gradient(controller, -(p * rewards).sum())


def same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_leave_one_out_is_unbiased() -> None:
    controller = make_controller(LeaveOneOut())
    truth = true_gradient(controller, REWARDS)
    assert truth.norm() > 0.01
    same(expected_gradient(controller, REWARDS, m=2), truth)


@pytest.mark.parametrize("value", [0.0, 2.5, 100.0])
def test_a_moving_average_updated_after_is_unbiased(value: float) -> None:
    controller = make_controller(moving_average(value))
    same(expected_gradient(controller, REWARDS, m=1), true_gradient(controller, REWARDS))


@pytest.mark.parametrize(("m", "factor"), [(1, 0.8), (2, 0.9)])
def test_a_moving_average_updated_before_shrinks_the_gradient(m: int, factor: float) -> None:
    """To 1 - (1 - decay) / M: only with one architecture a step to decay."""
    controller = make_controller(moving_average(2.5, update="before", decay=0.8))
    same(expected_gradient(controller, REWARDS, m=m), factor * true_gradient(controller, REWARDS))


def test_the_mean_of_all_rewards_would_be_biased() -> None:
    """Why one is left out: by this the test sees the difference."""

    class MeanOfAll(Baseline):
        def forward(self, rewards: Tensor) -> Tensor:
            return rewards - rewards.mean()

    controller = make_controller(MeanOfAll())
    same(expected_gradient(controller, REWARDS, m=2), true_gradient(controller, REWARDS) / 2)


def conditional_entropies(controller: Reinforce) -> Tensor:
    """Entropy of decision t given the decisions before it, `(16, T)`, out of joint probabilities.

    By sums over the architectures that share a beginning; the rollout's own are not used.
    """
    p = controller.policy.evaluate(ALL).log_probs.sum(dim=1).exp()
    rows = []
    for architecture in ALL:
        entropies = []
        for t, choices in enumerate(SPACE.num_choices):
            begin = (ALL[:, :t] == architecture[:t]).all(dim=1)
            weights = [(p * begin * (ALL[:, t] == option)).sum() for option in range(choices)]
            q = torch.stack(weights) / torch.stack(weights).sum()
            entropies.append(-(q * q.log()).sum())
        rows.append(torch.stack(entropies))
    return torch.stack(rows)


def test_entropy_in_the_loss_has_the_documented_gradient() -> None:
    """-w E[sum_t grad H_t]: how the sampled decisions got there is not differentiated."""
    controller = make_controller(moving_average(0), WEIGHT, "loss")
    p = controller.policy.evaluate(ALL).log_probs.sum(dim=1).exp().detach()
    bonus = (p * conditional_entropies(controller).sum(dim=1)).sum()
    found = expected_gradient(controller, torch.zeros_like(REWARDS), m=1)
    assert found.norm() > 0.01
    same(found, gradient(controller, -WEIGHT * bonus))


def test_entropy_in_the_loss_leaves_the_rest_alone() -> None:
    controller = make_controller(moving_average(2.5), WEIGHT, "loss")
    without = make_controller(moving_average(2.5))
    nothing = torch.zeros_like(REWARDS)
    only = make_controller(moving_average(0), WEIGHT, "loss")
    same(
        expected_gradient(controller, REWARDS, m=1),
        expected_gradient(without, REWARDS, m=1) + expected_gradient(only, nothing, m=1),
    )


def test_entropy_in_the_reward_per_step_does_nothing_on_average() -> None:
    controller = make_controller(moving_average(0), WEIGHT, "reward_per_step")
    nothing = torch.zeros_like(REWARDS)
    rollout = controller.policy.evaluate(ALL)
    single = gradient(controller, learn(controller, part(rollout, (0,)), nothing[:1]))
    assert single.norm() > 0.01, "the bonus is not there at all"
    found = expected_gradient(controller, nothing, m=1)
    same(found, torch.zeros_like(found))


def test_entropy_in_the_reward_per_step_leaves_the_rest_alone() -> None:
    controller = make_controller(LeaveOneOut(), WEIGHT, "reward_per_step")
    same(expected_gradient(controller, REWARDS, m=2), true_gradient(controller, REWARDS))


@pytest.mark.parametrize("entropy_in", ["loss", "reward_per_step"])
def test_the_loss_is_its_formula(entropy_in: EntropyIn) -> None:
    """A naive double loop; no gradient in advantages."""
    generator = torch.Generator().manual_seed(0)
    log_probs, entropies = torch.rand(2, 4, 3, generator=generator, dtype=torch.float64)
    advantages = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    expected = 0.0
    for m in range(4):
        for t in range(3):
            h, log_p, a = entropies[m, t].item(), -log_probs[m, t].item(), advantages[m].item()
            if entropy_in == "loss":
                expected -= (a * log_p + WEIGHT * h) / 4
            else:
                expected -= (a + WEIGHT * h) * log_p / 4
    rollout = Rollout(torch.zeros(4, 3, dtype=torch.int64), -log_probs, entropies)
    loss = policy_gradient_loss(rollout, advantages, entropy_weight=WEIGHT, entropy_in=entropy_in)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


# ------------------------------------------------------------------------------- baselines


@pytest.mark.parametrize("n", [2, 3, 10])
def test_leave_one_out_is_its_formula(n: int) -> None:
    rewards = torch.rand(n, generator=torch.Generator().manual_seed(n)).double()
    expected = []
    for m, own in enumerate(rewards.tolist()):
        others = [reward for k, reward in enumerate(rewards.tolist()) if k != m]
        expected.append(own - sum(others) / len(others))
    assert LeaveOneOut()(rewards).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_permuted_rewards_teach_nothing_and_are_as_large(n: int) -> None:
    """Over n steps each architecture is given every reward once, so its advantages cancel."""
    rewards = torch.rand(n, generator=torch.Generator().manual_seed(n)).double()
    baseline, right = Permuted(), LeaveOneOut()(rewards)
    given = torch.stack([baseline(rewards) for _ in range(n)])
    assert given.sum(dim=0).abs().max() < 1e-12
    assert all(sorted(row.tolist()) == sorted(right.tolist()) for row in given)
    assert sum(torch.equal(row, right) for row in given) == 1, "own rewards once in n steps"


def test_permuted_goes_on_from_its_state() -> None:
    rewards = torch.tensor([1.0, 2.0, 4.0])
    first, second = Permuted(), Permuted()
    first(rewards)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(rewards), first(rewards))


def advantages(baseline: Baseline, *rewards: float) -> list[float]:
    """Of rewards that come one a step."""
    return [float(baseline(torch.tensor([r], dtype=torch.float64))[0]) for r in rewards]


def test_moving_average_updated_after() -> None:
    """b: 10 | 0.9 10 + 0.1 20 = 11 | 0.9 11 + 0.1 1 = 10; the first step is its own mean."""
    baseline = MovingAverage(decay=0.9, update="after", reset_every=None)
    assert advantages(baseline, 10, 20, 1, 5) == pytest.approx([0, 10, -10, -5], abs=1e-5)


def test_moving_average_updated_before() -> None:
    baseline = MovingAverage(decay=0.9, update="before", reset_every=None)
    assert advantages(baseline, 10, 20, 1) == pytest.approx([0, 9, -9], abs=1e-5)


def test_moving_average_takes_the_mean_of_a_step() -> None:
    baseline = MovingAverage(decay=0.5, update="after", reset_every=None)
    assert baseline(torch.tensor([1.0, 3.0])).tolist() == [-1, 1]  # b = 2
    assert baseline(torch.tensor([6.0, 2.0])).tolist() == [4, 0]  # b = 0.5 2 + 0.5 4 = 3
    assert baseline(torch.tensor([3.0, 4.0])).tolist() == [0, 1]


@pytest.mark.parametrize("update", ["after", "before"])
def test_moving_average_forgets_after_so_many_steps(update: str) -> None:
    forgetting = MovingAverage(decay=0.9, update=update, reset_every=2)  # type: ignore[arg-type]
    found = advantages(forgetting, 10, 20, 7, 8, 100)
    one = 10 if update == "after" else 9
    assert found == pytest.approx([0, one, 0, one / 10, 0], abs=1e-5)


def test_moving_average_goes_on_from_its_state() -> None:
    whole = MovingAverage(decay=0.9, update="after", reset_every=3)
    expected = advantages(whole, 10, 20, 1, 5, 8, 9)
    first = MovingAverage(decay=0.9, update="after", reset_every=3)
    begun = advantages(first, 10, 20)
    second = MovingAverage(decay=0.9, update="after", reset_every=3)
    second.load_state_dict(first.state_dict())
    assert begun + advantages(second, 1, 5, 8, 9) == expected


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"decay": 1.0}, "decay=1.0"),
        ({"decay": -0.1}, "decay=-0.1"),
        ({"update": "during"}, "update='during'"),
        ({"reset_every": 0}, "reset_every=0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match="not allowed") as refusal:
        MovingAverage(**({"decay": 0.9, "update": "after", "reset_every": None} | arguments))  # type: ignore[arg-type]
    assert named in str(refusal.value)


# ----------------------------------------------------------- what a baseline needs of a step


class Constant(Estimator):
    """Finds all architectures alike, and needs neither data nor a child network."""

    phases = Phases(child_steps=0, controller_steps=1)
    metrics = (ACCURACY,)
    objectives = (ACCURACY,)

    def reset_parameters(self, generator: torch.Generator) -> None:
        pass

    def evaluate(self, architectures: Tensor, batches: object) -> Evaluation:
        n = len(architectures)
        return Evaluation(
            {"accuracy": torch.ones(n)}, "proxy", (ACCURACY,), ["ok"] * n, 1, "epochs"
        )


def search_with(controller: Controller, per_step: int, folder: Path) -> None:
    space: SearchSpace = SPACE
    ArchitectureSearch(
        space=space,
        controller=controller,
        estimator=Constant(),
        reward=Objective(scale=1),
        memory=NoMemory(),
        data=None,
        ledger=Ledger(folder / "ledger.jsonl"),
        metrics=Metrics(folder / "metrics.csv"),
        generators=Generators(0),
        architectures_per_step=per_step,
        child_architectures="controller",
        candidates=1,
        candidate_minibatches=1,
        finalists=1,
        uniform_candidates=1,
        beside=None,
        log_every=1,
    )


def test_leave_one_out_needs_two_architectures_a_step(tmp_path: Path) -> None:
    assert make_controller(LeaveOneOut()).min_proposals == 2
    with pytest.raises(ValueError, match=r"architectures_per_step=1 .*>= 2"):
        search_with(make_controller(LeaveOneOut()), 1, tmp_path)


def test_one_architecture_a_step_is_enough_for_others(tmp_path: Path) -> None:
    search_with(make_controller(LeaveOneOut()), 2, tmp_path)
    search_with(make_controller(moving_average(0)), 1, tmp_path)
    search_with(RandomPolicy(space=SPACE, support=None), 1, tmp_path)
