"""Replay against counting and against loops, and each fault of the published one by itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.controllers import LeaveOneOut, LSTMPolicy, Reinforce
from nas_lightning.memories.replay import Replay
from nas_lightning.memories.replay_as_published import ReplayAsPublished
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace

SPACE = RecurrentCellSpace(num_nodes=4, activations=["tanh", "relu", "sigmoid"])
FAULTS = ("softmax_twice", "other_offset", "shifted", "overwrite_last")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_controller() -> Reinforce:
    """A controller in float64 whose policy is far from uniform."""
    policy = LSTMPolicy(
        space=SPACE,
        hidden_size=4,
        num_layers=1,
        init_range=1.5,
        heads="per_decision",
        temperature=None,
        tanh_constant=2.5,
    )
    controller = Reinforce(
        policy=policy,
        optimizer=torch.optim.SGD,
        baseline=LeaveOneOut(),
        entropy_weight=0,
        entropy_in="loss",
    ).double()
    controller.reset_parameters(seeded(0))
    return controller


def arguments(controller: Reinforce, **changes: Any) -> dict[str, Any]:
    return {
        "space": SPACE,
        "controller": controller,
        "max_epochs": 100,
        "store_from": 2,
        "store_per_epoch": 10,
        "capacity": 25,
        "replace_per_epoch": 3,
        "recall_from": 4,
        "batch_size": 6,
        "weight": 1,
    } | changes


def make_replay(controller: Reinforce, **changes: Any) -> Replay:
    return Replay(**arguments(controller, **changes))


def make_published(controller: Reinforce, *faults: str, **changes: Any) -> ReplayAsPublished:
    switches = {fault: fault in faults for fault in FAULTS}
    return ReplayAsPublished(**arguments(controller, **switches, **changes))


def architectures(n: int = 7) -> Tensor:
    return SPACE.sample(n, seeded(3))


def table(memory: Replay) -> list[list[int]]:
    return memory.buffer.rows[: len(memory.buffer)].tolist()


def test_it_stores_by_its_schedule() -> None:
    """From epoch 2 on ten an epoch, up to 25; the loss from epoch 4 on."""
    controller = make_controller()
    memory, generator = make_replay(controller), seeded(0)
    stored, begun = [], []
    for epoch in range(7):
        memory.begin_epoch(controller, epoch, generator)
        stored.append(memory.stored)
        begun.append(memory.loss(controller, epoch, generator) is not None)
    assert stored == [0, 0, 10, 20, 25, 25, 25]
    assert begun == [False] * 4 + [True] * 3


def full(memory: Replay, controller: Reinforce) -> torch.Generator:
    generator = seeded(0)
    for epoch in range(2, 5):
        memory.begin_epoch(controller, epoch, generator)
    assert memory.buffer.room == 0
    return generator


def overwritten(memory: Replay, controller: Reinforce, epochs: int) -> list[set[int]]:
    """Which places change in each epoch; every new architecture differs from all old ones."""
    generator, found = full(memory, controller), []
    for epoch in range(5, 5 + epochs):
        memory.buffer.rows.fill_(0)
        memory.begin_epoch(controller, epoch, generator)
        # Rows of zeros are drawn at times: such a place counts as unchanged.
        found.append({slot for slot, row in enumerate(table(memory)) if any(row)})
    return found


def test_random_ones_are_replaced() -> None:
    controller = make_controller()
    found = overwritten(make_replay(controller), controller, 60)
    assert max(len(slots) for slots in found) == 3
    assert set.union(*found) == set(range(25))


def test_what_it_stores_is_what_the_controller_proposes() -> None:
    """By the share of the first decision, in 4,000 of them (standard error below 0.8 %)."""
    controller = make_controller()
    memory = make_replay(controller, store_per_epoch=4000, capacity=4000, store_from=0)
    memory.begin_epoch(controller, 0, seeded(0))
    share = torch.tensor(table(memory))[:, 0].bincount(minlength=3) / 4000
    with torch.no_grad():
        (p, *_) = controller.policy.evaluate(architectures()).distributions
    torch.testing.assert_close(share.double(), p[0].exp(), rtol=0, atol=0.035)


def test_its_loss_is_the_mean_cross_entropy() -> None:
    """Of a batch that is the whole buffer, one architecture and decision at a time."""
    controller = make_controller()
    memory = make_replay(controller, batch_size=25)
    generator = full(memory, controller)
    loss = memory.loss(controller, 4, generator)
    assert loss is not None
    total = 0.0
    for row in table(memory):
        with torch.no_grad():
            log_p = controller.policy.evaluate(torch.tensor([row])).distributions
        total -= sum(float(p[0, action]) for p, action in zip(log_p, row, strict=True))
    assert float(loss.detach()) == pytest.approx(total / (25 * 7), abs=1e-12)


def test_without_faults_it_is_replay() -> None:
    controller = make_controller()
    one, other = make_replay(controller), make_published(controller)
    generators = full(one, controller), full(other, controller)
    for epoch in range(5, 8):
        found = []
        for memory, generator in zip((one, other), generators, strict=True):
            memory.begin_epoch(controller, epoch, generator)
            loss = memory.loss(controller, epoch, generator)
            assert loss is not None
            found.append(loss.detach())
        assert table(one) == table(other)
        torch.testing.assert_close(*found, rtol=0, atol=1e-12)


def test_softmax_twice() -> None:
    """The second softmax is of numbers between 0 and 1."""
    controller = make_controller()
    given = architectures()
    found = make_published(controller, "softmax_twice").cross_entropies(controller.policy, given)
    log_p = controller.policy.evaluate(given).distributions
    for m, row in enumerate(given.tolist()):
        for t, action in enumerate(row):
            p = log_p[t][m].exp().tolist()
            expected = math.log(sum(math.exp(q) for q in p)) - p[action]
            assert found[m, t].item() == pytest.approx(expected, abs=1e-12)
            assert expected >= math.log(1 + (len(p) - 1) / math.e) - 1e-12


def by_rows(controller: Reinforce, rows: list[int], action: int, decision: int) -> float:
    """Cross-entropy of a decision after these rows of the embedding were fed, from PyTorch's cell.

    With a head's tanh constant; one architecture.
    """
    policy = controller.policy
    assert isinstance(policy, LSTMPolicy)
    (cell,) = policy.cells
    h = c = torch.zeros(1, 4, dtype=torch.float64)
    for row in rows:
        h, c = cell(policy.embedding.weight[row : row + 1], (h, c))
    logits = 2.5 * torch.tanh(policy.heads[decision](h))
    return float(-torch.log_softmax(logits, dim=1)[0, action].detach())


ACTIVATIONS, PREVIOUS = 1, 4
"""First rows of the embedding: 0 starts, then three activations, then previous nodes."""


def test_other_offset() -> None:
    """Previous nodes are fed by the rows of the activations."""
    controller = make_controller()
    given = architectures()
    found = make_published(controller, "other_offset").cross_entropies(controller.policy, given)
    for m, row in enumerate(given.tolist()):
        fed = [0, *(ACTIVATIONS + action for action in row)]
        for t, action in enumerate(row):
            expected = by_rows(controller, fed[: t + 1], action, t)
            assert found[m, t].item() == pytest.approx(expected, abs=1e-12)


def test_shifted() -> None:
    """Nothing starts the sequence, and the first decision is not predicted."""
    controller = make_controller()
    given = architectures()
    found = make_published(controller, "shifted").cross_entropies(controller.policy, given)
    assert found.shape == (7, 6)
    for m, row in enumerate(given.tolist()):
        fed = [(PREVIOUS if t % 2 else ACTIVATIONS) + action for t, action in enumerate(row)]
        for t, action in enumerate(row[1:], start=1):
            expected = by_rows(controller, fed[:t], action, t)
            assert found[m, t - 1].item() == pytest.approx(expected, abs=1e-12)


def test_overwrite_last() -> None:
    controller = make_controller()
    memory = make_published(controller, "overwrite_last")
    assert set.union(*overwritten(memory, controller, 60)) == {22, 23, 24}
