"""What every controller promises, asked of each YAML in conf/controller as it stands there.

Each is built for every space in conf/search_space, and, with its variants, for small spaces written
here whose architectures can all be counted: a plain one, one with closed options, and one that
grows. A new controller, or a new option for a part of one (conf/controller/<part>/*.yaml), is
tested by its YAML alone.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from scipy import stats
from torch import Tensor

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.controllers import Controller, Policy, Rollout
from nas_lightning.errors import UserError
from nas_lightning.estimators.base import Evaluation
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import ACCURACY
from tests.given import choosing, composed

FOLDER = CONF / "controller"
CONTROLLERS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SPACES = sorted(path.stem for path in (CONF / "search_space").glob("*.yaml"))
assert CONTROLLERS, f"no controller in {FOLDER}"

VARIANTS = {
    "lstm": [
        [],
        ["controller.policy.heads=per_kind", "controller.policy.num_layers=2"],
        ["controller.policy.temperature=null", "controller.policy.tanh_constant=null"],
        ["controller.entropy_in=reward_per_step"],
    ],
    "factorized": [
        [],
        ["controller.policy.temperature=5", "controller.policy.tanh_constant=null"],
    ],
    "random": [[], ["controller.support=3"]],
    "predictor": [
        [],
        ["controller.acquisition=upper_bound"],
        ["controller.acquisition=thompson", "controller.mutants=1"],
    ],
    "pnas": [[], ["controller.first=2"]],
}
"""Switches that change how a controller of ours behaves."""

SMALLER = {
    "predictor": ["controller.initial=3", "controller.held_out=0"],
    "pnas": [
        *("controller.kept=3", "controller.first=6"),
        *("controller.predictor.members=2", "controller.predictor.member.epochs=3"),
    ],
}
"""Sizes for spaces of a few architectures, so that eight told are enough to learn from."""

EPOCHS = {
    "mlp": ["controller.predictor.epochs=3"],
    "lstm": ["controller.predictor.epochs=3"],
    "ensemble_mlp": ["controller.predictor.members=2", "controller.predictor.member.epochs=3"],
    "ensemble_lstm": ["controller.predictor.members=2", "controller.predictor.member.epochs=3"],
}
"""How well a network predicts is asked elsewhere."""


def choices() -> list[list[str]]:
    """Overrides: every controller, its variants, and every option of its parts."""
    found = []
    for name in CONTROLLERS:
        smaller = SMALLER.get(name, [])
        variants = VARIANTS.get(name, [[]])
        found += [[f"controller={name}", *smaller, *variant] for variant in variants]
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        for path in sorted(FOLDER.glob("*/*.yaml")):
            part, option = path.parent.name, path.stem
            other = f"- {part}:" in text and f"- {part}: {option}" not in text
            if other and (part != "predictor" or name == "pnas"):  # which asks it for beginnings
                sizes = [size for size in smaller if "predictor" not in size]
                chosen = f"controller/{part}={option}"
                epochs = EPOCHS.get(option, []) if part == "predictor" else []
                found.append([f"controller={name}", chosen, *sizes, *epochs])
    return found


class Plain(SearchSpace):
    """Three decisions of two kinds: 2 * 3 * 2 = 12 architectures."""

    decisions: tuple[Decision, ...] = (
        Decision("first", "letter", ("a", "b")),
        Decision("second", "number", (1, 2, 3)),
        Decision("third", "letter", ("a", "b")),
    )

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(int(action) for action in architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        return str(self.canonical(architecture))


class Closed(Plain):
    """Orders of three things: what was taken is closed; 6 of the 27 vectors are architectures."""

    decisions = tuple(Decision(name, "thing", (0, 1, 2)) for name in ("one", "two", "three"))

    def mask(self, prefix: Tensor) -> Tensor:
        taken = torch.nn.functional.one_hot(prefix, 3).sum(dim=1) if prefix.shape[1] else 0
        return torch.zeros(len(prefix), 3, dtype=torch.int64) + taken == 0


class Growing(Plain):
    """Begins with two of the three decisions; the third comes after ten architectures."""

    decisions = Plain.decisions[:2]

    @property
    def largest(self) -> SearchSpace:
        return Plain()

    def at(self, architectures_judged: int) -> SearchSpace:
        return self if architectures_judged < 10 else Plain()


def build(cfg: DictConfig, space: SearchSpace, seed: int = 0) -> Controller:
    try:
        controller: Controller = make(cfg, "controller", space=space)
    except UserError as error:
        if "the space grows" in str(error):
            pytest.skip(str(error))
        raise
    controller.reset_parameters(seeded(seed))
    return controller


def policy_of(controller: Controller) -> Policy:
    """Its policy; what has none is not asked for likelihoods."""
    policy = controller.as_policy
    if policy is None:
        pytest.skip("no policy")
    return policy


def rollout_of(controller: Controller, n: int, generator: torch.Generator) -> Rollout:
    """What it proposes, with likelihoods."""
    policy_of(controller)
    rollout = controller.ask(n, generator)
    assert isinstance(rollout, Rollout)
    return rollout


def state_of(controller: Controller) -> dict[str, Any]:
    """All that a checkpoint would hold, as it is now."""
    return copy.deepcopy(controller.state_dict())


def differ(one: Any, other: Any) -> bool:
    """Whether two parts of a state do."""
    return not torch.equal(one, other) if isinstance(one, Tensor) else bool(one != other)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def judged(n: int) -> tuple[Tensor, Evaluation]:
    """Made-up rewards and what they were made from."""
    accuracy = torch.rand(n, generator=seeded(1))
    evaluation = Evaluation(
        metrics={"accuracy": accuracy, "loss": 1 - accuracy, "perplexity": (1 - accuracy).exp()},
        kind="shared",
        objectives=(ACCURACY,),
        status=["ok"] * n,
        cost=1,
        cost_unit="tokens",
    )
    return accuracy, evaluation


def all_vectors(space: SearchSpace) -> Tensor:
    return torch.tensor(list(itertools.product(*(range(n) for n in space.num_choices))))


def is_open(space: SearchSpace, architectures: Tensor) -> Tensor:
    """Which vectors keep to what is open at every decision, `(M,)`."""
    good = torch.ones(len(architectures), dtype=torch.bool)
    for t in range(architectures.shape[1]):
        open_ = space.mask(architectures[:, :t])
        if open_ is not None:
            good &= open_.gather(1, architectures[:, t : t + 1]).squeeze(1)
    return good


def assert_same(one: Rollout, other: Rollout) -> None:
    """Equal up to rounding in every field."""
    assert torch.equal(one.architectures, other.architectures)
    torch.testing.assert_close(one.log_probs, other.log_probs, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.entropies, other.entropies, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.distributions, other.distributions, rtol=0, atol=1e-6)
    assert (one.hidden_states is None) == (other.hidden_states is None)
    if one.hidden_states is not None:
        torch.testing.assert_close(one.hidden_states, other.hidden_states, rtol=0, atol=1e-6)


SMALL = (Plain, Closed, Growing)
PRESETS = ("evolution_nats_bench", "evolution_real_2019")
"""Other numbers, no other code: the small spaces are enough."""


def spaces_of(overrides: list[str]) -> list[str | type[SearchSpace]]:
    """The small spaces for everything, and the real ones for controllers without variants."""
    name = overrides[0].removeprefix("controller=")
    bare = overrides[1:] == SMALLER.get(name, []) and name not in PRESETS
    return [*SMALL, *(SPACES if bare else [])]


@dataclass(frozen=True)
class Pair:
    """A controller as its YAML has it, in a space."""

    cfg: DictConfig
    space: SearchSpace
    first: Controller

    def build(self, seed: int) -> Controller:
        return build(self.cfg, self.space, seed)

    @property
    def controller(self) -> Controller:
        """One to be changed: a copy is cheaper than another."""
        return copy.deepcopy(self.first)


class Pairs:
    """A controller in every space; pytest shows in which it failed, the last that was printed."""

    def __init__(self, pairs: dict[str, Pair]) -> None:
        self.pairs = pairs

    def __iter__(self) -> Iterator[Pair]:
        for name, pair in self.pairs.items():
            print(f"in {name}")
            yield pair


@pytest.fixture(scope="module", params=choices(), ids=" ".join)
def chosen(request: pytest.FixtureRequest) -> list[str]:
    overrides: list[str] = request.param
    return overrides


@pytest.fixture(scope="module")
def cfg(chosen: list[str]) -> DictConfig:
    return composed(*chosen)


@pytest.fixture(scope="module")
def pairs(chosen: list[str], cfg: DictConfig) -> Pairs:
    """A controller in all spaces for which it can be built."""
    found = {}
    for of in spaces_of(chosen):
        space = make(composed(*choosing(of)), "search_space") if isinstance(of, str) else of()
        try:
            first = build(cfg, space)
        except pytest.skip.Exception:
            assert space.largest is not space
            continue
        found[of if isinstance(of, str) else of.__name__] = Pair(cfg, space, first)
    return Pairs(found)


@pytest.fixture
def policies(pairs: Pairs) -> Pairs:
    """Those with a policy; what has none is not asked for likelihoods."""
    found = {n: pair for n, pair in pairs.pairs.items() if pair.first.as_policy is not None}
    return Pairs(found) if found else pytest.skip("no policy")


@pytest.fixture
def others(pairs: Pairs) -> Pairs:
    """Those without a policy."""
    found = {n: pair for n, pair in pairs.pairs.items() if pair.first.as_policy is None}
    return Pairs(found) if found else pytest.skip("a policy, asked for more")


def test_what_it_proposes_has_its_shape(pairs: Pairs) -> None:
    for pair in pairs:
        controller, space = pair.controller, pair.space
        for n in (1, 6):
            architectures = controller.ask(n, seeded(0)).architectures
            assert architectures.shape == (n, len(space.decisions))
            assert architectures.dtype == torch.int64


def test_asking_changes_nothing(pairs: Pairs) -> None:
    """What is asked may go untold."""
    for pair in pairs:
        controller = pair.controller
        state = state_of(controller)
        first = controller.ask(6, seeded(0)).architectures
        controller.ask(3, seeded(5))
        assert torch.equal(controller.ask(6, seeded(0)).architectures, first)
        assert not any(differ(value, state[n]) for n, value in controller.state_dict().items())


def test_a_rollout_has_its_shapes(policies: Pairs) -> None:
    for pair in policies:
        controller, space = pair.controller, pair.space
        decisions = len(space.decisions)
        for n in (1, 6):
            for rollout in (
                rollout_of(controller, n, seeded(0)),
                policy_of(controller).evaluate(rollout_of(controller, n, seeded(0)).architectures),
            ):
                assert rollout.architectures.shape == (n, decisions)
                assert rollout.architectures.dtype == torch.int64
                assert rollout.log_probs.shape == (n, decisions)
                assert rollout.entropies.shape == (n, decisions)
                if rollout.hidden_states is not None:
                    width = policy_of(controller).state_size
                    assert rollout.hidden_states.shape == (n, decisions + 1, width)
                else:
                    assert policy_of(controller).state_size is None
                shapes = [log_p.shape for log_p in rollout.distributions]
                assert shapes == [(n, choices) for choices in space.num_choices]


def test_samples_are_architectures(pairs: Pairs) -> None:
    for pair in pairs:
        controller, space = pair.controller, pair.space
        architectures = controller.ask(40, seeded(0)).architectures
        space.validate(architectures)
        assert bool(is_open(space, architectures).all())


def test_numbers_are_possible(policies: Pairs) -> None:
    for pair in policies:
        controller, space = pair.controller, pair.space
        rollout = rollout_of(controller, 40, seeded(0))
        assert bool(torch.isfinite(rollout.log_probs).all())
        assert bool((rollout.log_probs <= 1e-7).all())
        assert bool((rollout.entropies >= -1e-7).all())
        most = torch.tensor(space.num_choices).log()
        assert bool((rollout.entropies <= most + 1e-6).all())


def test_distributions_are_those_of_the_other_numbers(policies: Pairs) -> None:
    """Each sums to one, and holds the probability of what was chosen, and the entropy."""
    for pair in policies:
        controller, space = pair.controller, pair.space
        rollout = rollout_of(controller, 12, seeded(0))
        for t, log_p in enumerate(rollout.distributions):
            p = log_p.exp()
            torch.testing.assert_close(p.sum(dim=1), torch.ones(12))
            chosen = log_p[torch.arange(12), rollout.architectures[:, t]]
            torch.testing.assert_close(chosen, rollout.log_probs[:, t])
            entropy = torch.special.entr(p.detach()).sum(dim=1)
            torch.testing.assert_close(entropy, rollout.entropies[:, t].detach(), rtol=0, atol=1e-6)
            open_ = space.mask(rollout.architectures[:, :t])
            if open_ is not None:
                assert bool((p[~open_] == 0).all())


def test_evaluating_retraces_sampling(policies: Pairs) -> None:
    for pair in policies:
        controller = pair.controller
        sampled = rollout_of(controller, 12, seeded(0))
        given = sampled.architectures.clone()
        assert_same(policy_of(controller).evaluate(given), sampled)
        assert torch.equal(given, sampled.architectures), "the given architectures were changed"


def test_final_states_are_the_last_of_all(policies: Pairs) -> None:
    """To the last bit, and so is what they are learned by."""
    for pair in policies:
        controller, learned = pair.controller, []
        policy = policy_of(controller)
        architectures = controller.space.sample(3, seeded(1))
        states = policy.evaluate(architectures).hidden_states
        final = policy.final_states(architectures)
        if states is None:
            assert final is None
            continue
        assert final is not None
        assert torch.equal(final, states[:, -1])
        for last in (final, states[:, -1]):
            controller.zero_grad()
            torch.autograd.backward(last.square().sum())
            learned.append([p.grad for p in controller.parameters() if p.grad is not None])
        assert len(learned[0]) == len(learned[1]) > 0
        assert all(map(torch.equal, *learned))


def test_one_is_evaluated_as_among_many(policies: Pairs) -> None:
    for pair in policies:
        controller = pair.controller
        many = rollout_of(controller, 5, seeded(0))
        for m in range(5):
            one = policy_of(controller).evaluate(many.architectures[m : m + 1])
            torch.testing.assert_close(one.log_probs, many.log_probs[m : m + 1], rtol=0, atol=1e-6)


def test_sampling_follows_its_generator_alone(policies: Pairs) -> None:
    for pair in policies:
        controller = pair.controller
        before = torch.get_rng_state()
        first = rollout_of(controller, 30, seeded(1))
        assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
        torch.rand(3)
        again, other = rollout_of(controller, 30, seeded(1)), rollout_of(controller, 30, seeded(2))
        assert_same(first, again)
        assert not torch.equal(first.architectures, other.architectures)


def test_a_generator_goes_on(pairs: Pairs) -> None:
    for pair in pairs:
        controller = pair.controller
        generator = seeded(1)
        first, second = (controller.ask(30, generator).architectures for _ in range(2))
        assert not torch.equal(first, second)


@pytest.mark.parametrize("small", [Plain, Closed])
def test_probabilities_are_what_is_sampled(cfg: DictConfig, small: type[SearchSpace]) -> None:
    """They sum to one over all architectures, and samples follow them (chi-square)."""
    space = small()
    controller = build(cfg, space)
    with torch.no_grad():
        for parameter in controller.parameters():  # an untrained policy is all but uniform
            parameter.mul_(10)
    vectors = all_vectors(space)
    with torch.no_grad():
        probabilities = policy_of(controller).evaluate(vectors).log_probs.sum(dim=1).exp().double()
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
    assert bool((probabilities[~is_open(space, vectors)] == 0).all())
    n = 3000
    sample = controller.ask(n, seeded(0)).architectures
    counts = (sample.unsqueeze(1) == vectors).all(dim=2).sum(dim=0)
    possible = probabilities > 0
    assert int(counts[~possible].sum()) == 0
    if int(possible.sum()) > 1:
        expected = probabilities[possible] / probabilities[possible].sum() * n
        p = stats.chisquare(counts[possible].numpy(), expected.numpy()).pvalue
        assert p > 1e-4, (counts, expected)


@pytest.mark.parametrize("small", [Plain, Closed])
def test_entropies_are_those_of_the_distributions(
    cfg: DictConfig, small: type[SearchSpace]
) -> None:
    """From the probabilities of all architectures by the definition of entropy."""
    space = small()
    controller = build(cfg, space)
    vectors = all_vectors(space)
    with torch.no_grad():
        probabilities = policy_of(controller).evaluate(vectors).log_probs.sum(dim=1).exp().double()
        rollout = rollout_of(controller, 5, seeded(0))
    for row, entropies in zip(rollout.architectures, rollout.entropies, strict=True):
        for t, entropy in enumerate(entropies.tolist()):
            before = probabilities * (vectors[:, :t] == row[:t]).all(dim=1)
            share = [
                float(before[vectors[:, t] == option].sum() / before.sum())
                for option in range(space.num_choices[t])
            ]
            expected = torch.special.entr(torch.tensor(share, dtype=torch.float64)).sum()
            assert entropy == pytest.approx(float(expected), abs=1e-5)


def test_learning_gives_something_to_minimise_or_nothing(pairs: Pairs) -> None:
    for pair in pairs:
        controller = pair.controller
        n = max(2, controller.min_proposals)
        assert controller.min_proposals >= 1
        for m in sorted({controller.min_proposals, n, 8}):
            rollout = controller.ask(m, seeded(0))
            loss = controller.tell(rollout, *judged(m), seeded(9))
            if loss is not None:
                assert controller.learns
                assert controller.make_optimizer is not None
                assert loss.shape == ()
                assert loss.requires_grad
                assert bool(torch.isfinite(loss))


def test_it_changes_exactly_if_it_learns(policies: Pairs) -> None:
    """Rewards change what it proposes if it says that it learns, and nothing at all if not."""
    for pair in policies:
        controller = pair.controller
        vectors = controller.ask(8, seeded(1)).architectures
        before = policy_of(controller).evaluate(vectors).log_probs.detach()
        state = state_of(controller)
        optimizer = None
        if controller.make_optimizer is not None and controller.learns:
            optimizer = controller.make_optimizer(controller.parameters())
        for step in range(3):
            rollout = controller.ask(8, seeded(step))
            loss = controller.tell(rollout, *judged(8), seeded(9))
            if loss is not None:
                assert optimizer is not None
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                for name, parameter in controller.named_parameters():
                    if parameter.grad is not None:
                        assert bool(torch.isfinite(parameter.grad).all()), name
                optimizer.step()
        after = policy_of(controller).evaluate(vectors).log_probs.detach()
        assert torch.equal(before, after) == (not controller.learns)
        if not controller.learns:
            for name, value in controller.state_dict().items():
                assert not differ(value, state[name]), name


def test_learning_draws_nothing_from_the_global_generator(pairs: Pairs) -> None:
    for pair in pairs:
        controller = pair.controller
        rollout = controller.ask(8, seeded(0))
        before = torch.get_rng_state()
        controller.tell(rollout, *judged(8), seeded(9))
        assert torch.equal(torch.get_rng_state(), before)


def test_its_state_is_all_there_is(policies: Pairs) -> None:
    """After the state went into a new one, both sample and learn alike."""
    for pair in policies:
        one, other = pair.build(1), pair.build(2)
        one.tell(one.ask(8, seeded(0)), *judged(8), seeded(9))
        other.load_state_dict(one.state_dict())
        for step in range(2):
            rollouts = [rollout_of(controller, 8, seeded(step)) for controller in (one, other)]
            assert_same(*rollouts)
            losses = [
                controller.tell(rollout, *judged(8), seeded(9))
                for controller, rollout in zip((one, other), rollouts, strict=True)
            ]
            torch.testing.assert_close(*losses)


def test_its_state_is_plain(pairs: Pairs) -> None:
    """A checkpoint is read without executing anything: tensors, and lists of numbers."""
    for pair in pairs:
        controller = pair.controller
        controller.tell(controller.ask(8, seeded(0)), *judged(8), seeded(9))
        for name, value in controller.state_dict().items():
            if isinstance(value, Tensor):
                continue
            assert name.endswith("_extra_state"), name
            assert all(type(number) is float for row in value for number in row), name


def test_after_its_state_it_goes_on_as_before(others: Pairs) -> None:
    """Also one without a policy: to the last bit, though nothing fitted is in its state."""
    for pair in others:
        one, other = pair.build(1), pair.build(2)
        for step in range(3):
            one.tell(one.ask(8, seeded(step)), *judged(8), seeded(step))
        other.load_state_dict(state_of(one))
        for step in range(3):
            asked, again = (c.ask(8, seeded(step)) for c in (one, other))
            assert torch.equal(asked.architectures, again.architectures)
            for controller in (one, other):
                controller.tell(asked, *judged(8), seeded(step))
            assert one.numbers() == other.numbers()
        assert not any(differ(v, other.state_dict()[n]) for n, v in one.state_dict().items())


def test_a_reset_follows_its_generator_alone(pairs: Pairs) -> None:
    for pair in pairs:
        controller = pair.build(1)
        first = state_of(controller)
        before = torch.get_rng_state()
        controller.reset_parameters(seeded(2))
        assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
        changed = [name for name, v in controller.state_dict().items() if differ(v, first[name])]
        controller.reset_parameters(seeded(1))
        for name, value in controller.state_dict().items():
            assert not differ(value, first[name]), name
        supported = controller.as_policy and any(b.numel() > 1 for b in controller.buffers())
        drawn = [*controller.parameters()] or supported or hasattr(controller, "plan")
        assert bool(changed) == bool(drawn)


def test_it_grows_with_its_space(cfg: DictConfig) -> None:
    """In the grown space it goes on proposing, learning and judging the old architectures."""
    small = Growing()
    controller = build(cfg, small)
    assert controller.space is small
    old = rollout_of(controller, 8, seeded(0))
    controller.tell(old, *judged(8), seeded(9))
    state = {name: value.shape for name, value in controller.state_dict().items()}
    controller.enter(small.at(10))
    rollout = rollout_of(controller, 200, seeded(0))
    assert rollout.architectures.shape == (200, 3)
    Plain().validate(rollout.architectures)
    assert len(rollout.architectures.unique(dim=0)) == Plain().size
    assert_same(policy_of(controller).evaluate(rollout.architectures), rollout)
    again = policy_of(controller).evaluate(old.architectures)
    assert_same(again, old)
    loss = controller.tell(rollout_of(controller, 8, seeded(0)), *judged(8), seeded(9))
    assert (loss is not None) == (controller.make_optimizer is not None and controller.learns)
    assert {name: value.shape for name, value in controller.state_dict().items()} == state
