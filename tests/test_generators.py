"""Named generators: independent of one another, of the order of use, and resumable."""

from __future__ import annotations

import itertools
import subprocess
import sys

import torch

from nas_lightning.generators import Generators, seed_of


def draw(generator: torch.Generator, n: int = 5) -> list[int]:
    return torch.randint(2**40, (n,), generator=generator).tolist()


def test_a_name_and_a_seed_make_a_stream() -> None:
    assert draw(Generators(1)("a")) == draw(Generators(1)("a"))
    streams = [draw(Generators(seed)(name)) for seed in (1, 2) for name in ("a", "b", "a@cpu")]
    for one, other in itertools.combinations(streams, 2):
        assert one != other


def test_a_generator_goes_on() -> None:
    generators = Generators(1)
    first = draw(generators("a"))
    assert generators("a") is generators("a", "cpu")
    assert first + draw(generators("a")) == draw(Generators(1)("a"), 10)


def test_what_one_draws_never_shifts_another() -> None:
    alone = draw(Generators(1)("b"))
    generators = Generators(1)
    draw(generators("a"), 100)
    assert draw(generators("b")) == alone


def test_a_constant_one_starts_the_same_way_every_time() -> None:
    generators = Generators(1)
    first = draw(generators.constant("a"))
    draw(generators("a"))
    assert draw(generators.constant("a")) == first
    assert draw(generators.constant("b")) != first
    assert draw(Generators(2).constant("a")) != first
    assert draw(Generators(1)("a")) != first


def test_global_generators_are_left_alone() -> None:
    before = torch.get_rng_state()
    draw(Generators(1)("a"))
    draw(Generators(1).constant("a"))
    assert torch.equal(torch.get_rng_state(), before)


def test_states_round_trip() -> None:
    generators = Generators(1)
    for name in ("a", "b", "with@sign and space"):
        draw(generators(name), 7)
    state = generators.state_dict()
    expected = [draw(generators(name)) for name in ("a", "b", "with@sign and space", "new")]
    resumed = Generators(1)
    draw(resumed("a"), 3)  # what building a run draws again
    resumed.load_state_dict(state)
    assert [draw(resumed(n)) for n in ("a", "b", "with@sign and space", "new")] == expected


def test_a_state_is_a_copy() -> None:
    generators = Generators(1)
    generators("a")
    state = generators.state_dict()
    first = draw(generators("a"))
    generators.load_state_dict(state)
    assert draw(generators("a")) == first


def test_seeds_depend_on_all_parts() -> None:
    parts = [(0,), (1,), ("1",), (1, "a"), ("a", 1), (1, "a", 0), ((1, 2),), (1, 2), ([1, 2],)]
    seeds = [seed_of(*p) for p in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_in_every_process() -> None:
    """Python's own hash of a string is not."""
    code = "from nas_lightning.generators import seed_of; print(seed_of(3, 'x', [1, 2]))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(there.stdout) == seed_of(3, "x", [1, 2])
