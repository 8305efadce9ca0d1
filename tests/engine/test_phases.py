"""The stream of phases: its order, its data, and that it goes on exactly where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch

from nas_lightning.data.base import Batch, Data
from nas_lightning.engine.phases import PhaseBatch, PhaseStream

CHILD, CONTROLLER = 3, 4


class Numbered(Data):
    """Batches that hold their number: training ones from 0, validation ones from 1000."""

    sizes = {}  # noqa: RUF012
    train_batches = 5

    def train_batch(self, index: int) -> Batch:
        return Batch(torch.tensor(index), torch.tensor(0), index > 0)

    def validation_batches(self) -> Sequence[Batch]:
        return [Batch(torch.tensor(1000 + n), torch.tensor(0), n > 0) for n in range(6)]

    def test_batches(self) -> Sequence[Batch]:
        raise AssertionError("the search reads the test split")


def make_stream(
    data: Data | None = None,
    child_steps: int = CHILD,
    controller_steps: int = CONTROLLER,
    seed: int = 0,
) -> PhaseStream:
    return PhaseStream(
        data or Numbered(), child_steps=child_steps, controller_steps=controller_steps, seed=seed
    )


def plain(batch: PhaseBatch) -> tuple[str, int, list[int]]:
    return batch.phase, batch.epoch, [int(b.inputs) for b in batch.batches]


def epochs(stream: PhaseStream, n: int) -> list[tuple[str, int, list[int]]]:
    return [plain(batch) for _ in range(n) for batch in stream]


def test_an_epoch_is_child_controller_derive() -> None:
    stream = make_stream()
    found = epochs(stream, 1)
    assert [phase for phase, _, _ in found] == ["child"] * 3 + ["controller"] * 4 + ["derive"]
    assert len(found) == len(stream) == 8
    assert [stream.phase(position) for position in range(8)] == [phase for phase, _, _ in found]


@pytest.mark.parametrize(("child", "controller"), [(0, 2), (2, 0), (0, 0)])
def test_phases_may_be_empty(child: int, controller: int) -> None:
    found = epochs(make_stream(child_steps=child, controller_steps=controller), 2)
    one = ["child"] * child + ["controller"] * controller + ["derive"]
    assert [phase for phase, _, _ in found] == one * 2
    assert [epoch for _, epoch, _ in found] == [0] * len(one) + [1] * len(one)


def test_child_batches_are_numbered_on_over_epochs() -> None:
    found = epochs(make_stream(), 3)
    assert [b for phase, _, b in found if phase == "child"] == [[n] for n in range(9)]


def test_the_derivation_sees_the_whole_validation_split_in_order() -> None:
    found = epochs(make_stream(), 2)
    assert [b for phase, _, b in found if phase == "derive"] == [[*range(1000, 1006)]] * 2


def controller_batches(stream: PhaseStream, n: int) -> list[int]:
    return [b for phase, _, bs in epochs(stream, n) if phase == "controller" for b in bs]


def test_controller_steps_see_one_validation_batch_each() -> None:
    """All of them come up about equally often, in a random order."""
    seen = controller_batches(make_stream(controller_steps=150), 4)
    counts = Counter(seen)
    assert len(seen) == 600
    assert set(counts) == set(range(1000, 1006))
    assert all(60 <= count <= 140 for count in counts.values())
    assert seen[:150] != seen[150:300]


def test_controller_batches_follow_the_seed() -> None:
    """Whatever else differs: the same steps see the same minibatches."""
    first = controller_batches(make_stream(), 5)
    assert controller_batches(make_stream(), 5) == first
    assert controller_batches(make_stream(child_steps=9), 5) == first
    assert controller_batches(make_stream(seed=1), 5) != first


def test_without_data_the_batches_are_empty() -> None:
    stream = PhaseStream(None, child_steps=0, controller_steps=2, seed=0)
    assert epochs(stream, 1) == [("controller", 0, [])] * 2 + [("derive", 0, [])]


@pytest.mark.parametrize("taken", range(2 * (CHILD + CONTROLLER + 1) + 1))
def test_it_goes_on_where_it_stopped(taken: int) -> None:
    """From every position of two epochs, the end of each included, as uninterrupted."""
    expected = epochs(make_stream(), 3)
    stream = make_stream()
    found: list[tuple[str, int, list[int]]] = []
    while len(found) < taken:
        for batch in stream:
            found.append(plain(batch))
            if len(found) == taken:
                break
    resumed = make_stream()
    resumed.load_state_dict(dict(stream.state_dict()))
    while len(found) < len(expected):
        found.extend(plain(batch) for batch in resumed)
    assert found == expected


def test_iterating_anew_goes_on_in_a_begun_epoch() -> None:
    stream = make_stream()
    begun = iter(stream)
    first = [plain(next(begun)) for _ in range(5)]
    assert first + epochs(stream, 1) == epochs(make_stream(), 1)


def test_the_state_is_two_whole_numbers() -> None:
    stream = make_stream()
    assert all(type(value) is int for value in stream.state_dict().values())
    next(iter(stream))
    assert stream.state_dict() == {"epoch": 0, "position": 1}
