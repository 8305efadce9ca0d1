"""The buffer: what it holds, of every length, and what is drawn from it."""

from __future__ import annotations

import torch

from nas_lightning.memories.buffer import Buffer


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int, length: int, first: int = 0) -> torch.Tensor:
    """Architectures that are told apart by their first decision."""
    return torch.arange(first, first + n).unsqueeze(1).expand(n, length).clone()


def held(buffer: Buffer) -> list[list[int]]:
    return sorted(row for group in buffer.draw(len(buffer), seeded(0)) for row in group.tolist())


def test_it_fills_up() -> None:
    buffer = Buffer(capacity=5, longest=3)
    assert (len(buffer), buffer.room, buffer.draw(4, seeded(0))) == (0, 5, [])
    buffer.add(rows(2, 3))
    assert (len(buffer), buffer.room) == (2, 3)
    buffer.add(rows(3, 3, first=2))
    assert (len(buffer), buffer.room) == (5, 0)
    assert held(buffer) == rows(5, 3).tolist()
    buffer.clear()
    assert (len(buffer), buffer.room, held(buffer)) == (0, 5, [])


def test_what_is_replaced_is_gone_and_nothing_else() -> None:
    buffer = Buffer(capacity=4, longest=2)
    buffer.add(rows(4, 2))
    buffer.replace(torch.tensor([2, 0]), rows(2, 2, first=7))
    assert held(buffer) == [[1, 1], [3, 3], [7, 7], [8, 8]]


def test_lengths_stay_apart() -> None:
    """A shorter architecture in the place of a longer one leaves nothing of it behind."""
    buffer = Buffer(capacity=4, longest=4)
    buffer.add(rows(2, 4))
    buffer.add(rows(2, 2, first=5))
    buffer.replace(torch.tensor([1]), rows(1, 2, first=9))
    short, long = buffer.draw(4, seeded(0))
    assert sorted(short.tolist()) == [[5, 5], [6, 6], [9, 9]]
    assert long.tolist() == [[0, 0, 0, 0]]
    assert short.dtype == torch.int64


def test_draws_are_even_and_without_repeats() -> None:
    """Each of 10 is among 3 drawn in 3 of 10 cases."""
    buffer = Buffer(capacity=10, longest=1)
    buffer.add(rows(10, 1))
    generator, counts, n = seeded(0), torch.zeros(10), 3000
    for _ in range(n):
        (drawn,) = buffer.draw(3, generator)
        assert len(drawn.unique()) == 3
        counts[drawn.flatten()] += 1
    spread = (n * 0.3 * 0.7) ** 0.5
    assert bool(((counts - 0.3 * n).abs() < 4.5 * spread).all())


def test_it_is_in_the_state() -> None:
    one, other = Buffer(capacity=6, longest=4), Buffer(capacity=6, longest=4)
    one.add(rows(3, 2))
    one.add(rows(2, 4))
    other.load_state_dict(one.state_dict())
    assert len(other) == 5
    assert held(other) == held(one)
