"""Spaces whose decisions close options of others, against listing all their architectures."""

from __future__ import annotations

import math
import pickle
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch
from scipy import stats

from nas_lightning.analysis import diversity
from nas_lightning.assembly.checks import refuse_uncounted
from nas_lightning.assembly.make import make
from nas_lightning.commands.ground_truth import every_architecture, table
from nas_lightning.controllers import FactorizedPolicy, RandomPolicy, Reinforce
from nas_lightning.controllers.base import Rollout
from nas_lightning.errors import UserError
from nas_lightning.estimators.table import Table
from nas_lightning.estimators.table_file import read_table
from nas_lightning.search_spaces.base import SearchSpace
from tests.given import composed
from tests.search_spaces.masked_spaces import (
    SMALL,
    Alone,
    Branch,
    CountedSwitches,
    DeadEnd,
    GrowingBranch,
    Masked,
    Switches,
    every,
    vectors,
)

Actions = tuple[int, ...]


def kl_to_uniform(rollout: Rollout, space: SearchSpace) -> float:
    return diversity.kl_to_uniform(
        rollout.architectures, rollout.distributions, rollout.entropies, space
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=SMALL, ids=lambda kind: kind.__name__)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    made: SearchSpace = request.param()
    return made


def fits(rows: torch.Tensor, expected: dict[Actions, float]) -> bool:
    """Whether rows are drawn with the expected probabilities, chi-square at 1 in 10,000."""
    counts = Counter(map(tuple, rows.tolist()))
    assert counts.keys() <= expected.keys(), counts.keys() - expected.keys()
    if len(expected) == 1:
        return True
    seen = [counts[actions] for actions in expected]
    wanted = [p * len(rows) for p in expected.values()]
    return bool(stats.chisquare(seen, wanted).pvalue > 1e-4)


# --------------------------------------------------------------------- counting and listing


def test_all_architectures_are_listed_and_counted(space: SearchSpace) -> None:
    listed = every(space)
    assert 1 < len(listed) < len(vectors(space))
    assert space.masked
    assert [tuple(row) for row in space.architectures().tolist()] == listed
    assert (space.size, type(space.size)) == (len(listed), int)
    assert space.rank(torch.tensor(listed)).tolist() == list(range(len(listed)))
    assert every_architecture(space) == listed


def test_completions_are_what_goes_on_from_a_prefix(space: SearchSpace) -> None:
    listed = every(space)
    for t, choices in enumerate(space.num_choices):
        prefixes = sorted({actions[:t] for actions in vectors(space)})
        asked = torch.tensor(prefixes, dtype=torch.int64).reshape(len(prefixes), t)
        expected = [
            [sum(actions[: t + 1] == (*prefix, o) for actions in listed) for o in range(choices)]
            for prefix in prefixes
        ]
        assert space.completions(asked).tolist() == expected


def test_a_space_without_masks_counts_alike() -> None:
    class Free(Branch):
        mask = SearchSpace.mask

    free = Free()
    assert not free.masked
    assert free.size == 6
    assert free.architectures().tolist() == [list(actions) for actions in vectors(free)]
    assert free.rank(free.architectures()).tolist() == list(range(6))
    assert free.completions(torch.zeros(2, 0, dtype=torch.int64)).tolist() == [[3, 3], [3, 3]]


def test_a_space_that_counted_goes_to_other_processes() -> None:
    there = pickle.loads(pickle.dumps(counted := Branch()))
    assert counted.size == there.size == 4
    assert torch.equal(pickle.loads(pickle.dumps(there)).architectures(), there.architectures())


# --------------------------------------------------------------------- sampling


def test_samples_are_uniform_over_architectures(space: SearchSpace) -> None:
    listed = every(space)
    sample = space.sample(8000, seeded(0))
    space.validate(sample)
    assert fits(sample, dict.fromkeys(listed, 1 / len(listed)))


def test_a_uniform_decision_leads_to_uniform_architectures(space: SearchSpace) -> None:
    listed = every(space)
    p = torch.ones(len(listed))
    for t in range(len(space.decisions)):
        rows = torch.tensor(listed)
        p *= space.uniform(rows[:, :t]).gather(1, rows[:, t : t + 1]).squeeze(1)
    torch.testing.assert_close(p, torch.full((len(listed),), 1 / len(listed)))


@pytest.mark.parametrize("support", [None, 1, 3])
@pytest.mark.parametrize("kind", SMALL)
def test_random_search_knows_its_probabilities(kind: type[Masked], support: int | None) -> None:
    space = kind()
    controller = RandomPolicy(space=space, support=support)
    controller.reset_parameters(seeded(0))
    listed = every(space)
    mine = listed if support is None else [tuple(row) for row in controller.supported.tolist()]
    assert len(set(mine)) == (support or len(listed))
    assert set(mine) <= set(listed)
    assert fits(controller.ask(4000, seeded(1)).architectures, dict.fromkeys(mine, 1 / len(mine)))
    rollout = controller.evaluate(torch.tensor(vectors(space)))
    for actions, log_probs, entropies in zip(
        vectors(space), rollout.log_probs.tolist(), rollout.entropies.tolist(), strict=True
    ):
        assert math.exp(sum(log_probs)) == pytest.approx((actions in mine) / len(mine), abs=1e-6)
        for t, entropy in enumerate(entropies):
            alike = Counter(other[t] for other in mine if other[:t] == actions[:t])
            shares = [n / sum(alike.values()) for n in alike.values()]
            assert entropy == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-6)


def test_a_support_of_all_there_are_is_found_and_a_larger_one_refused() -> None:
    controller = RandomPolicy(space=Branch(), support=4)
    controller.reset_parameters(seeded(0))
    assert sorted(map(tuple, controller.supported.tolist())) == every(Branch())
    with pytest.raises(ValueError, match=r"support=5 is not allowed: the space has 4 architecture"):
        RandomPolicy(space=Branch(), support=5)


# --------------------------------------------------------------------- KL to uniform


def test_random_search_is_uniform(space: SearchSpace) -> None:
    controller = RandomPolicy(space=space, support=None)
    controller.reset_parameters(seeded(0))
    for n in (1, 7, 100):
        rollout = controller.ask(n, seeded(n))
        assert kl_to_uniform(rollout, space) == pytest.approx(0, abs=1e-6)


def test_the_divergence_of_a_policy(space: SearchSpace) -> None:
    """By listing: sum p log(p / u), for a policy and for one that draws every option alike."""
    listed = every(space)
    found: dict[float, float] = {}
    for scale in (0.0, 3.0):
        controller = factorized(space, scale)
        with torch.no_grad():
            rollout = controller.evaluate(torch.tensor(listed))
            p = rollout.log_probs.double().sum(dim=1).exp()
            # The estimate is a mean over the sample: here each architecture as often as is right.
            parts = [kl_to_uniform(only(rollout, m), space) for m in range(len(listed))]
        found[scale] = float((p * (p * len(listed)).log()).sum())
        estimated = sum(w * part for w, part in zip(p.tolist(), parts, strict=True))
        assert estimated == pytest.approx(found[scale], abs=1e-5)
    assert 0 < found[0.0] < found[3.0] < math.log(len(listed))


def factorized(space: SearchSpace, scale: float) -> FactorizedPolicy:
    """Logits drawn with that standard deviation."""
    cfg = composed("controller=factorized", "controller.policy.tanh_constant=null")
    learner: Reinforce = make(cfg, "controller", space=space)
    controller = learner.policy
    assert isinstance(controller, FactorizedPolicy)
    with torch.no_grad():
        for logits in controller.parameters():
            logits.copy_(scale * torch.randn(logits.shape, generator=seeded(3)))
    return controller


def only(rollout: Rollout, m: int) -> Rollout:
    """One architecture of a rollout."""
    return Rollout(
        architectures=rollout.architectures[m : m + 1],
        log_probs=rollout.log_probs[m : m + 1],
        entropies=rollout.entropies[m : m + 1],
        distributions=tuple(log_p[m : m + 1] for log_p in rollout.distributions),
    )


# --------------------------------------------------------------------- mutation


def mutations(space: SearchSpace, parent: Actions) -> dict[Actions, float]:
    """How likely each child of an architecture is, by the definition."""
    listed = every(space)
    options = [
        sorted({a[t] for a in listed if a[:t] == parent[:t]} - {parent[t]})
        for t in range(len(parent))
    ]
    free = [t for t, others in enumerate(options) if others]
    found: dict[Actions, float] = defaultdict(float)

    def go_on(child: Actions, p: float) -> None:
        t = len(child)
        after = Counter(a[t] for a in listed if a[:t] == child) if t < len(parent) else Counter()
        if t == len(parent):
            found[child] += p
        elif parent[t] in after:
            go_on((*child, parent[t]), p)
        else:
            for option, n in after.items():
                go_on((*child, option), p * n / sum(after.values()))

    for t in free:
        for option in options[t]:
            go_on((*parent[:t], option), 1 / len(free) / len(options[t]))
    return dict(found)


def test_mutation_changes_one_decision_and_what_it_closes(space: SearchSpace) -> None:
    listed = every(space)
    for parent in listed:
        expected = mutations(space, parent)
        neighbours = {a for a in listed if sum(x != y for x, y in zip(a, parent, strict=True)) == 1}
        assert neighbours <= expected.keys()
        parents = torch.tensor([parent] * 2000)
        children = space.mutate(parents, seeded(0))
        assert parents.tolist() == [list(parent)] * 2000
        space.validate(children)
        assert parent not in set(map(tuple, children.tolist()))
        assert fits(children, expected)


def test_the_only_architecture_has_no_neighbour() -> None:
    assert every(Alone()) == [(1, 1)]
    assert Alone().sample(2, seeded(0)).tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="one architecture only"):
        Alone().mutate(torch.tensor([[1, 1]]), seeded(0))


# --------------------------------------------------------------------- growing and large spaces


def test_a_masked_space_grows() -> None:
    space = GrowingBranch()
    assert [stage.size for stage in space.stages] == [2, 4]
    controller = RandomPolicy(space=space, support=None)
    before = controller.ask(5, seeded(0))
    assert kl_to_uniform(before, space) == pytest.approx(0, abs=1e-6)
    controller.enter(space.at(10))
    sample = controller.ask(4000, seeded(0)).architectures
    assert fits(sample, dict.fromkeys(every(Branch()), 1 / 4))
    assert controller.evaluate(torch.tensor([[0]])).log_probs.exp().tolist() == [[0.75]]


def test_a_large_space_counts_by_itself() -> None:
    space = CountedSwitches()
    assert space.size == sum(math.comb(40, k) for k in range(9)) > 1_000_000
    refuse_uncounted(space)
    sample = space.sample(3000, seeded(0))
    space.validate(sample)
    on = Counter(sample.sum(dim=1).tolist())
    expected = [math.comb(40, k) / space.size * 3000 for k in range(9)]
    few = sum(expected[:6])
    seen = [sum(on[k] for k in range(6)), on[6], on[7], on[8]]
    assert stats.chisquare(seen, [few, *expected[6:]]).pvalue > 1e-4
    children = space.mutate(sample, seeded(1))
    space.validate(children)
    assert bool((children != sample).any(dim=1).all())
    rollout = RandomPolicy(space=space, support=None).ask(50, seeded(2))
    assert kl_to_uniform(rollout, space) == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(
        rollout.log_probs.sum(dim=1), torch.full((50,), -math.log(space.size)), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (Switches(), "more than 1,000,000 architectures.*`completions`"),
        (DeadEnd(), r"closes all options of decision 1 after the decisions \[1\]"),
    ],
)
def test_what_cannot_be_counted_is_refused(space: SearchSpace, said: str) -> None:
    with pytest.raises(UserError, match=f"^search_space: {type(space).__name__}: .*{said}"):
        refuse_uncounted(space)


def test_a_space_too_large_for_float64_gives_its_size_itself() -> None:
    class Wide(CountedSwitches):
        def completions(self, prefix: torch.Tensor) -> torch.Tensor:
            return super().completions(prefix) * 2.0**40

    with pytest.raises(UserError, match=r"Wide: .*`size`"):
        refuse_uncounted(Wide())


# --------------------------------------------------------------------- what stands in files


def test_a_closed_option_is_refused(space: SearchSpace) -> None:
    listed = set(every(space))
    for actions in vectors(space):
        if actions in listed:
            space.validate(torch.tensor([actions]))
            space.check(list(actions))
        else:
            with pytest.raises(ValueError, match=r"architecture 1: .*is not allowed"):
                space.validate(torch.tensor([min(listed), actions]))
            with pytest.raises(ValueError, match="after the decisions before it"):
                space.check(list(actions))


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ([1, 2], "actions[1]=2 is not allowed: second must be 0 after the decisions before it"),
        ([0, 3], "actions[1]=3 is not allowed: second must be 0 to 2"),
        ([-1, 0], "actions[0]=-1 is not allowed: first must be 0 to 1"),
        ([0, True], "actions[1]=True is not allowed: second must be 0 to 2"),
        ([0, 1.0], "actions[1]=1.0 is not allowed: second must be 0 to 2"),
        (["0", 0], "actions[0]='0' is not allowed: first must be 0 to 1"),
        ([10**400, 0], "actions[0]=1000"),
        ([0, 0, 0], "actions=[0, 0, 0] is not allowed: must be a list of 1 or 2 whole numbers"),
        ({"0": 1}, "actions={'0': 1} is not allowed: must be a list of 1 or 2 whole numbers"),
    ],
)
def test_what_a_file_holds_is_checked(actions: object, said: str) -> None:
    with pytest.raises(ValueError, match="is not allowed") as refusal:
        GrowingBranch().check(actions)
    assert str(refusal.value).startswith(said)
    GrowingBranch().check([1])


def test_a_table_of_a_masked_space(space: SearchSpace, tmp_path: Path) -> None:
    listed = every(space)
    losses = [float(number) for number in range(len(listed))]
    path = tmp_path / "table.csv"
    text = table(space, listed, [0], [losses], "planted | 1 epoch")
    path.write_text(text, encoding="utf-8")
    assert read_table(path, space).architectures == listed
    looked_up = Table(
        space=space,
        path=str(path),
        shipped="enas_rnn_3",
        controller_steps=1,
        objective="loss",
        data_set=None,
        budget=None,
    )
    order = torch.randperm(len(listed), generator=seeded(0))
    found = looked_up.evaluate(torch.tensor(listed)[order], []).of("loss")
    assert found.tolist() == order.tolist()
    path.write_text("\n".join(text.splitlines()[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{len(listed) - 1} of the space's {len(listed)}"):
        read_table(path, space)


def test_a_table_with_what_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        "first,second,loss | planted | 1 epoch\na,1,1\nb,2,1\nb,3,1\n", encoding="utf-8"
    )
    with pytest.raises(ValueError, match="row 2: second=2 is none of 1, all that is open there"):
        read_table(path, Branch())


def test_the_spaces_here_are_what_they_say() -> None:
    assert every(Branch()) == [(0, 0), (0, 1), (0, 2), (1, 0)]
