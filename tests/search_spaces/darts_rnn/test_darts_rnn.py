"""The cells of DARTS: the space, the relaxed network against the discrete one, and both by hand."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import score_all
from nas_lightning.search_spaces.darts_rnn import DartsCellSpace, DartsChild, plain

OPERATIONS = ("tanh", "relu", "sigmoid", "identity")
M, VOCABULARY, HIDDEN, ROWS = 8, 11, 5, 6


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def space_of(nodes: int = 4, *, none: bool = True) -> DartsCellSpace:
    return DartsCellSpace(num_nodes=nodes, operations=OPERATIONS, none=none)


def child_of(space: DartsCellSpace, **changes: Any) -> DartsChild:
    arguments: dict[str, Any] = {
        "space": space,
        "vocabulary_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "matrices": "node",
        "init_range": 0.5,
        "dropout_words": 0.1,
        "dropout_embedding": 0.2,
        "dropout_input": 0.3,
        "dropout_hidden": 0.2,
        "dropout_output": 0.4,
        "slowness": 0.1,
        "normalisation": "batch",
        **changes,
    }
    child = DartsChild(**arguments)
    child.reset_parameters(seeded(0))
    return child.double()


def texts(seed: int) -> list[Batch]:
    """Two windows, the second of which goes on where the first stops."""
    ids = torch.randint(VOCABULARY, (ROWS, 10), generator=seeded(seed))
    cuts = [(0, 5, False), (5, 9, True)]
    return [Batch(ids[:, a:b], ids[:, a + 1 : b + 1], goes_on) for a, b, goes_on in cuts]


def test_the_space_has_a_decision_a_node_and_a_group_an_edge() -> None:
    space = space_of(8)
    assert space.num_choices == tuple(4 * node for node in range(1, 9))
    groups = space.groups
    assert (len(groups.names), sum(groups.sizes)) == (36, 180)
    assert groups.options[0] == ("none", *OPERATIONS)
    assert groups.chosen([0, 7]) == ["tanh", "identity"]
    assert space.split([0, 7]) == [(0, 0), (1, 3)]
    # The weight of a choice is that of its operation on the edge from the state that it reads.
    assert groups.names[groups.places[7][29] // 5] == "node 8 from 7"
    assert groups.places[7][29] % 5 == 1 + 1
    assert sum(space_of(8, none=False).groups.sizes) == 144


def test_equal_up_to_the_names_of_nodes() -> None:
    space = space_of(3)
    assert space.canonical([0, 1, 2]) == space.canonical([0, 2, 1])
    assert space.canonical([0, 4, 0]) != space.canonical([0, 0, 4 + 1])
    assert space.draw([0, 5, 2]).splitlines() == [
        "0 first state",
        "├─ 1 tanh",
        "│  └─ 2 relu",
        "└─ 3 sigmoid",
    ]


@pytest.mark.parametrize("matrices", ["node", "edge"])
@pytest.mark.parametrize("none", [True, False])
@pytest.mark.parametrize("normalisation", ["batch", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_one_hot_weights_give_the_discrete_cell(
    matrices: str, none: bool, normalisation: str, training: bool
) -> None:
    """Also with every dropout, whose masks follow from the generator alone."""
    space = space_of(none=none)
    child = child_of(space, matrices=matrices, normalisation=normalisation).train(training)
    architectures = space.sample(M, seeded(1))
    state = torch.rand(M, ROWS, HIDDEN, generator=seeded(2), dtype=torch.float64)
    batch = texts(3)[0]
    discrete = child.score(batch, architectures, state, seeded(4))
    for m, row in enumerate(architectures.tolist()):
        weights = space.groups.one_hot(row).double()
        relaxed = child.relaxed_loss(batch, weights, state[m : m + 1], seeded(4))
        expected = discrete.loss_sum[m] / discrete.count
        torch.testing.assert_close(relaxed.loss + relaxed.penalty, expected, rtol=1e-9, atol=1e-9)
        assert (relaxed.penalty > 0) == training
        assert relaxed.state is not None
        assert discrete.state is not None
        torch.testing.assert_close(relaxed.state[0], discrete.state[m], rtol=1e-9, atol=1e-9)


def by_hand(child: DartsChild, batch: Batch, weights: Tensor, state: Tensor) -> Tensor:
    """The relaxed loss in evaluation, operation by operation; `none` adds nothing."""
    functions: tuple[Callable[[Tensor], Tensor], ...] = (
        torch.tanh,
        torch.relu,
        torch.sigmoid,
        lambda x: x,
    )
    w = weights.view(-1, 5)

    def norm(x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)

    losses = []
    for tokens, targets in zip(batch.inputs.t(), batch.targets.t(), strict=True):
        x = child.embedding[tokens]
        c, h = (x @ child.input_weight + state @ child.state_weight).chunk(2, dim=1)
        states = [norm(state + torch.sigmoid(c) * (torch.tanh(h) - state))]
        edge = 0
        for node in range(child.space.num_nodes):
            total = torch.zeros_like(states[0])
            for s in states:
                c, h = (s @ child.node_weights[node]).chunk(2, dim=1)
                for number, f in enumerate(functions, start=1):
                    total = total + w[edge, number] * (s + torch.sigmoid(c) * (f(h) - s))
                edge += 1
            states.append(norm(total))
        state = torch.stack(states[1:]).mean(dim=0)
        logits = state @ child.embedding.t() + child.decoder_bias
        losses.append(F.cross_entropy(logits, targets))
    return torch.stack(losses).mean()


def test_the_relaxed_cell_by_hand() -> None:
    space = space_of()
    child = child_of(space).eval()
    raw = torch.randn(sum(space.groups.sizes), generator=seeded(5), dtype=torch.float64)
    weights = space.groups.softmax(raw).requires_grad_()
    state = torch.rand(1, ROWS, HIDDEN, generator=seeded(2), dtype=torch.float64)
    batch = texts(3)[0]
    found = child.relaxed_loss(batch, weights, state, None)
    expected = by_hand(child, batch, weights, state[0])
    torch.testing.assert_close(found.loss, expected)
    wanted = [weights, *child.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(found.loss, wanted), torch.autograd.grad(expected, wanted)
    )


@pytest.mark.parametrize("weights", ["shared", "fresh"])
@pytest.mark.parametrize("matrices", ["node", "edge"])
def test_the_plain_module_gives_the_same_numbers(weights: str, matrices: str) -> None:
    space = space_of()
    child = child_of(space, matrices=matrices)
    architectures = space.sample(M, seeded(1))
    if weights == "fresh":
        child = child.fresh(architectures, [seeded(m) for m in range(M)])
    child.eval()
    batches = texts(3)
    with torch.no_grad():
        expected = score_all(child, batches, architectures).loss_sum
        for m, row in enumerate(architectures.tolist()):
            network = child.network(row, m)
            state, total = None, torch.zeros((), dtype=torch.float64)
            for batch in batches:
                logits, state = network(batch.inputs, state)
                total += F.cross_entropy(
                    logits.flatten(0, 1), batch.targets.flatten(), reduction="sum"
                )
            torch.testing.assert_close(total, expected[m])


def test_retrained_cells_normalise_nothing() -> None:
    space = space_of()
    fresh = child_of(space).fresh(space.sample(1, seeded(0)), [seeded(1)])
    assert fresh.normalisation == "none"
    network = fresh.network([0, 1, 2, 3])
    assert isinstance(network, plain.DartsLanguageModel)
    assert not network.arguments["batch_norm"]


def test_the_plain_module_stands_alone() -> None:
    tree = ast.parse(inspect.getsource(plain))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert {str(name).split(".")[0] for name in names} == {
        "__future__",
        "collections",
        "re",
        "torch",
    }


def test_cells_of_their_own_cannot_be_mixed() -> None:
    space = space_of()
    fresh = child_of(space).fresh(space.sample(1, seeded(0)), [seeded(1)])
    weights = space.groups.one_hot([0, 0, 0, 0]).double()
    with pytest.raises(TypeError, match="cannot be mixed"):
        fresh.relaxed_loss(texts(0)[0], weights, None, None)
