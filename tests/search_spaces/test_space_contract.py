"""What every search space promises, asked of each YAML in conf/search_space as it stands there.

A new space is tested by its YAML alone.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.search_spaces.base import SearchSpace
from tests.given import choosing, composed

SPACES = sorted(path.stem for path in (CONF / "search_space").glob("*.yaml"))
assert SPACES, f"no search space in {CONF}"


@pytest.fixture(scope="module", params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    cfg = composed(*choosing(request.param))
    made: SearchSpace = make(cfg, "search_space")
    return made


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stages(space: SearchSpace) -> list[SearchSpace]:
    """The space as it grows; of one that does not, the same many times."""
    return [space.at(n) for n in (0, 1, 100, 10_000, 1_000_000)]


def test_it_is_a_space(space: SearchSpace) -> None:
    assert isinstance(space, SearchSpace)


def test_decisions_are_named_once_and_offer_something(space: SearchSpace) -> None:
    decisions = space.largest.decisions
    names = [decision.name for decision in decisions]
    assert len(names) > 0
    assert len(set(names)) == len(names)
    for decision in decisions:
        assert decision.name
        assert decision.kind
        assert len(decision.choices) >= 1
        assert len(set(decision.choices)) == len(decision.choices), decision.name


def test_decisions_of_one_kind_share_their_options(space: SearchSpace) -> None:
    longest: dict[str, tuple[str | int, ...]] = {}
    for decision in sorted(space.largest.decisions, key=lambda d: -len(d.choices)):
        known = longest.setdefault(decision.kind, decision.choices)
        assert decision.choices == known[: len(decision.choices)], decision.name


def test_size_is_the_product_of_the_options(space: SearchSpace) -> None:
    """Where none is ever closed; what a masked space counts is in `test_masked_space.py`."""
    expected = math.prod(len(decision.choices) for decision in space.decisions)
    assert space.size < expected if space.masked else space.size == expected
    assert space.num_choices == tuple(len(decision.choices) for decision in space.decisions)


def test_samples_are_architectures(space: SearchSpace) -> None:
    for n in (1, 7):
        sample = space.sample(n, seeded(0))
        assert sample.shape == (n, len(space.decisions))
        assert sample.dtype == torch.int64
        assert sample.device.type == "cpu"
        space.validate(sample)


def test_samples_are_uniform(space: SearchSpace) -> None:
    """Chi-square for every decision and for every two neighbours, as one test at 1 in 10,000."""
    if space.masked:
        pytest.skip("uniform architectures are then no uniform options: test_masked_space.py")
    n = 4000
    sample = space.sample(n, seeded(0))
    places = range(sample.shape[1])
    tests = [[t] for t in places] + [[t, t + 1] for t in places[:-1]]
    columns = [(ts, math.prod(space.num_choices[t] for t in ts)) for ts in tests]
    columns = [(ts, cells) for ts, cells in columns if 1 < cells <= n / 10]
    for ts, cells in columns:
        number = torch.zeros(n, dtype=torch.int64)
        for t in ts:
            number = number * space.num_choices[t] + sample[:, t]
        counts = torch.bincount(number, minlength=cells)
        p = stats.chisquare(counts.numpy()).pvalue
        assert p > 1e-4 / len(columns), f"{[space.decisions[t].name for t in ts]}: {counts}"


def test_samples_keep_to_what_is_open(space: SearchSpace) -> None:
    sample = space.sample(50, seeded(0))
    for t, choices in enumerate(space.num_choices):
        open_ = space.mask(sample[:, :t])
        if open_ is not None:
            assert open_.shape == (50, choices)
            assert open_.dtype == torch.bool
            assert bool(open_.gather(1, sample[:, t : t + 1]).all()), space.decisions[t].name
        completed = space.completions(sample[:, :t])
        assert torch.equal(completed > 0, space.open_options(sample[:, :t]))


def test_completions_add_up(space: SearchSpace) -> None:
    """An option leads to as many architectures as all options after it together."""
    sample = space.sample(20, seeded(0))
    whole = torch.full((20, 1), float(space.size), dtype=torch.float64)
    for t in range(sample.shape[1]):
        counts = space.completions(sample[:, :t])
        torch.testing.assert_close(counts.sum(dim=1, keepdim=True), whole)
        whole = counts.gather(1, sample[:, t : t + 1])
    assert bool((whole == 1).all())


def test_mutation_gives_another_architecture(space: SearchSpace) -> None:
    """Of every stage; where nothing is closed one decision differs, each equally often."""
    for stage in space.stages:
        parents = stage.sample(2000, seeded(0))
        given = parents.clone()
        children = stage.mutate(parents, seeded(1))
        assert torch.equal(parents, given)
        stage.validate(children)
        different = children != parents
        assert bool(different.any(dim=1).all())
        assert torch.equal(children, stage.mutate(parents, seeded(1)))
        if not stage.masked:
            assert bool((different.sum(dim=1) == 1).all())
            free = torch.tensor([n > 1 for n in stage.num_choices])
            counts = different.sum(dim=0)
            assert not bool(counts[~free].any())
            assert stats.chisquare(counts[free].numpy()).pvalue > 1e-4


def test_every_neighbour_is_reached(space: SearchSpace) -> None:
    """All options of every decision, from one architecture."""
    parent = space.sample(1, seeded(0))
    children = space.mutate(parent.expand(20 * sum(space.num_choices), -1), seeded(1))
    for t, decision in enumerate(space.decisions):
        open_ = space.open_options(parent[:, :t])[0].nonzero().flatten().tolist()
        others = {option for option in children[:, t].tolist() if option != int(parent[0, t])}
        assert {*others, int(parent[0, t])} >= set(open_), decision.name


def test_sampling_follows_its_generator_alone(space: SearchSpace) -> None:
    before = torch.get_rng_state()
    first = space.sample(20, seeded(5))
    torch.rand(3)
    again = space.sample(20, seeded(5))
    other = space.sample(20, seeded(6))
    torch.set_rng_state(before)
    space.sample(20, seeded(5))
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    assert torch.equal(first, again)
    assert space.size == 1 or not torch.equal(first, other)


def test_validate_refuses_another_shape(space: SearchSpace) -> None:
    good = space.sample(3, seeded(0))
    longer = torch.cat([good, good[:, :1]], dim=1)
    wrong: list[Tensor] = [good[0], good[:, 1:], longer, good.unsqueeze(0)]
    for architectures in wrong:
        with pytest.raises(ValueError, match="shape"):
            space.validate(architectures)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.bool])
def test_validate_refuses_another_type(space: SearchSpace, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="int64"):
        space.validate(space.sample(3, seeded(0)).to(dtype))


@pytest.mark.parametrize("beyond", [-1, 0, 5])
def test_validate_names_the_decision(space: SearchSpace, beyond: int) -> None:
    """-1 is below the options, 0 just above the last of them, 5 further above."""
    for t, decision in enumerate(space.decisions):
        wrong = space.sample(3, seeded(0))
        value = beyond if beyond < 0 else len(decision.choices) + beyond
        wrong[1, t] = value
        with pytest.raises(ValueError, match="not allowed") as refusal:
            space.validate(wrong)
        assert decision.name in str(refusal.value)
        assert str(value) in str(refusal.value)


def test_describe_covers_every_decision(space: SearchSpace) -> None:
    for row in space.sample(10, seeded(0)).tolist():
        words = space.describe(row)
        assert list(words) == [decision.name for decision in space.decisions]
        for decision, action in zip(space.decisions, row, strict=True):
            assert words[decision.name] == decision.choices[action]
        assert json.loads(json.dumps(words)) == words


def test_describe_knows_every_form_of_a_growing_space(space: SearchSpace) -> None:
    for stage in [*stages(space), space.largest]:
        row = stage.sample(1, seeded(0))[0].tolist()
        assert space.describe(row) == stage.describe(row)


def test_describe_refuses_too_many_decisions(space: SearchSpace) -> None:
    row = space.largest.sample(1, seeded(0))[0].tolist()
    with pytest.raises(ValueError, match="zip"):
        space.describe([*row, 0])


def forms(row: Sequence[int]) -> list[Any]:
    """One architecture as it may come along: list, tuple, tensor."""
    return [list(row), tuple(row), torch.tensor(row)]


def test_canonical_is_a_key(space: SearchSpace) -> None:
    keys = set()
    for row in space.sample(10, seeded(0)).tolist():
        first, *others = [space.canonical(form) for form in forms(row)]
        assert isinstance(first, tuple)
        assert {first} == {first, *others}
        keys.add(first)
    assert len(keys) > 1 or space.size == 1


def test_canonical_is_the_same_in_an_equal_space(space: SearchSpace) -> None:
    twin = copy.deepcopy(space)
    for row in space.sample(10, seeded(0)).tolist():
        assert twin.canonical(row) == space.canonical(row)


def test_draw_gives_text(space: SearchSpace) -> None:
    drawings = set()
    for row in space.sample(10, seeded(0)).tolist():
        first, *others = [space.draw(form) for form in forms(row)]
        assert isinstance(first, str)
        assert first.strip()
        assert not first.endswith("\n")
        assert {first} == {first, *others}
        drawings.add(first)
    assert len(drawings) > 1 or space.size == 1


def test_growth_only_adds_decisions(space: SearchSpace) -> None:
    grown = [*stages(space), space.largest]
    for smaller, larger in pairwise(grown):
        assert smaller.decisions == larger.decisions[: len(smaller.decisions)]
    assert space.largest.largest.decisions == space.largest.decisions


def test_every_stage_is_a_space_of_its_own(space: SearchSpace) -> None:
    for stage in [*stages(space), space.largest]:
        sample = stage.sample(3, seeded(0))
        assert sample.shape == (3, len(stage.decisions))
        stage.validate(sample)
        assert len(stage.describe(sample[0].tolist())) == len(stage.decisions)


def test_a_space_goes_through_its_stages(space: SearchSpace) -> None:
    lengths = [len(stage.decisions) for stage in space.stages]
    assert lengths == sorted(set(lengths))
    assert space.stages[0] is space
    assert space.stages[-1].decisions == space.largest.decisions
    assert {len(stage.decisions) for stage in stages(space)} <= set(lengths)
    for stage in space.stages:
        row = stage.sample(1, seeded(0))[0].tolist()
        space.check(row)
        with pytest.raises(ValueError, match=r"actions\[0\]=-1 is not allowed"):
            space.check([-1, *row[1:]])


def use(space: SearchSpace) -> None:
    """Do everything that can be done with a space."""
    sample = space.sample(5, seeded(0))
    given = sample.clone()
    space.validate(sample)
    for row in sample.tolist():
        space.describe(row)
        space.canonical(row)
        space.draw(row)
    space.mask(sample[:, :0])
    assert space.size <= stages(space)[-1].size <= space.largest.size
    assert torch.equal(sample, given)


def test_a_space_never_changes(space: SearchSpace) -> None:
    decisions = space.decisions
    use(space)  # after which all that is computed at first use is there
    before = pickle.dumps(space)
    use(space)
    assert pickle.dumps(space) == before
    assert space.decisions == decisions


def test_a_space_goes_to_other_processes(space: SearchSpace) -> None:
    there = pickle.loads(pickle.dumps(space))
    assert there.decisions == space.decisions
    assert torch.equal(there.sample(5, seeded(0)), space.sample(5, seeded(0)))
