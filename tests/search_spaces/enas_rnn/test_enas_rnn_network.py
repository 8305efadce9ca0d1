"""The recurrent child network against a naive loop written from the published formulas.

The oracle below goes architecture by architecture, time step by time step and node by node, with
the edge weights in a plain dictionary, and shares no code with the package. Losses, hidden states
and the gradients of all parameters are compared in float64. Dropout is tested by what it does to
gradients and activations, and a cell of one node goes through a whole search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from nas_lightning.controllers import LeaveOneOut, LSTMPolicy, Reinforce
from nas_lightning.data.base import Batch, Data
from nas_lightning.engine import ArchitectureSearch
from nas_lightning.estimators.weight_sharing import WeightSharing
from nas_lightning.generators import Generators
from nas_lightning.memories.none import NoMemory
from nas_lightning.rewards import InversePerplexity
from nas_lightning.runs.ledger import Ledger, Metrics
from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild
from nas_lightning.search_spaces.enas_rnn.recurrence import unroll
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace
from tests.ledger_rows import ledger_rows

VOCABULARY, HIDDEN, ROWS, LENGTH = 11, 5, 3, 4
LIMIT = 0.2
"""On the hidden state's norm; low enough to bite."""

PLAIN: dict[str, Any] = {
    "num_nodes": 6,
    "activations": ACTIVATIONS,
    "vocabulary_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "init_range": 0.8,
    "dropout_words": 0,
    "dropout_input": 0,
    "dropout_output": 0,
    "weight_drop": 0,
    "max_hidden_norm": None,
    "recurrent_state": "output",
    "normalisation": "none",
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_child(seed: int = 0, **changes: Any) -> RecurrentChild:
    """A child in float64 with all parameters away from zero, biases and scales too."""
    child = RecurrentChild(**(PLAIN | changes)).double()
    generator = seeded(seed)
    child.reset_parameters(generator)
    with torch.no_grad():
        child.decoder_bias.uniform_(-0.5, 0.5, generator=generator)
        if child.normalisation == "batch":
            child.scale.uniform_(0.5, 1.5, generator=generator)
            child.shift.uniform_(-0.5, 0.5, generator=generator)
            child.running_mean.uniform_(-0.5, 0.5, generator=generator)
            child.running_variance.uniform_(0.5, 1.5, generator=generator)
    return child


def make_batch(seed: int = 0, length: int = LENGTH) -> Batch:
    tokens = torch.randint(VOCABULARY, (ROWS, length + 1), generator=seeded(seed))
    return Batch(tokens[:, :-1], tokens[:, 1:], continues=False)


def sample(n: int, seed: int = 0, **changes: Any) -> Tensor:
    arguments = PLAIN | changes
    space = RecurrentCellSpace(
        num_nodes=arguments["num_nodes"], activations=arguments["activations"]
    )
    return space.sample(n, seeded(seed))


# ------------------------------------------------------------------------------- the oracle


def function(name: str, x: Tensor) -> Tensor:
    if name == "tanh":
        return (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
    if name == "relu":
        return x * (x > 0)
    if name == "sigmoid":
        return 1 / (1 + (-x).exp())
    assert name == "identity"
    return x


def oracle(
    child: RecurrentChild,
    batch: Batch,
    architectures: Sequence[Sequence[int]],
    start: Tensor | None,
) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """Losses `(M,)`, last hidden states `(M, B, H)`, mean and variance of every step normalised.

    Without dropout.
    """
    gate, candidate = slice(0, HIDDEN), slice(HIDDEN, 2 * HIDDEN)
    edges: dict[tuple[int, int], Tensor] = {}
    for node in range(1, 1 + int((2 * len(child.edge_weights)) ** 0.5)):
        for previous in range(node):
            if len(edges) < len(child.edge_weights):
                edges[previous, node] = child.edge_weights[len(edges)]
    losses, states, moments = [], [], []
    for m, cell in enumerate(architectures):
        num_nodes = (len(cell) + 1) // 2
        previous_of = {node: cell[2 * node - 1] for node in range(1, num_nodes)}
        name_of = {j: child.activations[cell[2 * j] if j else cell[0]] for j in range(num_nodes)}
        h = torch.zeros(ROWS, HIDDEN, dtype=torch.float64) if start is None else start[m]
        loss = torch.zeros((), dtype=torch.float64)
        for t in range(batch.inputs.shape[1]):
            x = torch.stack([child.embedding[int(token)] for token in batch.inputs[:, t]])
            pre = x @ child.input_weight + h @ child.recurrent_weight
            c = function("sigmoid", pre[:, gate])
            out = {0: c * function(name_of[0], pre[:, candidate]) + (1 - c) * h}
            for node in range(1, num_nodes):
                s = out[previous_of[node]]
                weight = edges[previous_of[node], node]
                c = function("sigmoid", s @ weight[:, gate])
                out[node] = c * function(name_of[node], s @ weight[:, candidate]) + (1 - c) * s
            leaves = [node for node in out if node not in previous_of.values()]
            output = sum((out[node] for node in leaves), torch.zeros(())) / len(leaves)
            if child.normalisation == "batch":
                mean, variance = child.running_mean.flatten(), child.running_variance.flatten()
                if child.training:
                    mean = output.sum(dim=0) / ROWS
                    variance = ((output - mean) ** 2).sum(dim=0) / ROWS
                    moments.append((mean.detach(), variance.detach()))
                output = (output - mean) / (variance + 1e-5).sqrt()
                output = output * child.scale.flatten() + child.shift.flatten()
            h = out[num_nodes - 1] if child.recurrent_state == "last_node" else output
            if child.max_hidden_norm is not None:
                limit, norms = child.max_hidden_norm, (h**2).sum(dim=1).sqrt()
                h = torch.stack(
                    [row * limit / n if n > limit else row for row, n in zip(h, norms, strict=True)]
                )
            for row, target in enumerate(batch.targets[:, t]):
                logits = [(output[row] * w).sum() for w in child.embedding]
                scores = torch.stack(logits) + child.decoder_bias
                loss = loss - scores[int(target)] + scores.exp().sum().log()
        losses.append(loss)
        states.append(h)
    return torch.stack(losses), torch.stack(states), moments


def compare(
    child: RecurrentChild, architectures: Tensor, *, start: Tensor | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """Compare child and oracle; returns the gradients.

    The losses are weighted differently, so that architectures taken for one another show.
    """
    batch = make_batch(seed)
    weights = torch.linspace(1, 2, len(architectures), dtype=torch.float64)
    names, parameters = zip(*child.named_parameters(), strict=True)

    def gradients(losses: Tensor) -> list[Tensor]:
        found = torch.autograd.grad((losses * weights).sum(), parameters, allow_unused=True)
        return [
            torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)
        ]

    expected, states, _ = oracle(child, batch, architectures.tolist(), start)
    score = child.score(batch, architectures, start)
    exact: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-11}
    torch.testing.assert_close(score.loss_sum, expected, **exact)
    torch.testing.assert_close(score.state, states.detach(), **exact)
    assert score.count == batch.targets.numel()
    assert score.correct is None
    mine = gradients(score.loss_sum)
    for name, actual, wanted in zip(names, mine, gradients(expected), strict=True):
        torch.testing.assert_close(actual, wanted, **exact, msg=f"{name}: {{}}".format)
    return dict(zip(names, mine, strict=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("m", [1, 5])
def test_every_activation(activation: str, m: int) -> None:
    """The activation everywhere, in random topologies."""
    architectures = sample(m, seed=m)
    architectures[:, 0] = ACTIVATIONS.index(activation)
    architectures[:, 2::2] = ACTIVATIONS.index(activation)
    compare(make_child(), architectures)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("m", [1, 5])
def test_random_cells(seed: int, m: int) -> None:
    compare(make_child(seed), sample(m, seed), seed=seed)


@pytest.mark.parametrize("num_nodes", [1, 2, 3])
def test_small_cells(num_nodes: int) -> None:
    compare(make_child(num_nodes=num_nodes), sample(5, num_nodes=num_nodes))


def test_a_subset_of_activations_in_another_order() -> None:
    activations = ["sigmoid", "tanh", "relu"]
    compare(make_child(activations=activations), sample(5, activations=activations))


@pytest.mark.parametrize("topology", ["chain", "star"])
def test_extreme_topologies(topology: str) -> None:
    architectures = sample(2)
    for node in range(1, 6):
        architectures[:, 2 * node - 1] = node - 1 if topology == "chain" else 0
    compare(make_child(), architectures)


@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("training", [False, True])
def test_weights_of_ones_own(normalisation: str, training: bool) -> None:
    """Cells with fresh weights against the oracle, each with its weights put in a shared pool."""
    changes: dict[str, Any] = {"normalisation": normalisation, "max_hidden_norm": LIMIT}
    architectures = sample(4)
    child = make_child(**changes).fresh(architectures, [seeded(m) for m in range(4)])
    assert isinstance(child, RecurrentChild)
    child.train(training)
    weights = torch.linspace(1, 2, 4, dtype=torch.float64)
    losses = child.score(make_batch(), architectures).loss_sum
    torch.autograd.backward((losses * weights).sum())
    for m, cell in enumerate(architectures.tolist()):
        pool = make_child(**changes).train(training)
        used = [node * (node - 1) // 2 + cell[2 * node - 1] for node in range(1, 6)]
        own, gradients = {}, {}
        for name, parameter in child.named_parameters():
            assert parameter.grad is not None
            own[name], gradients[name] = parameter.detach()[m], parameter.grad[m]
        with torch.no_grad():
            for name, parameter in pool.named_parameters():
                if not name.startswith("edge_weights"):
                    parameter.copy_(own[name])
            for place, edge in enumerate(used):
                pool.edge_weights[edge].copy_(own[f"edge_weights.{place}"])
            for name in ("running_mean", "running_variance") if normalisation == "batch" else ():
                getattr(pool, name).copy_(float(name == "running_variance"))
        expected, _, _ = oracle(pool, make_batch(), [cell], None)
        torch.testing.assert_close(losses[m], expected[0], rtol=1e-11, atol=1e-11)
        torch.autograd.backward(expected[0] * weights[m])
        places = {f"edge_weights.{edge}": place for place, edge in enumerate(used)}
        for name, parameter in pool.named_parameters():
            if name in places:
                name = f"edge_weights.{places[name]}"
            elif name.startswith("edge_weights"):
                continue
            assert parameter.grad is not None
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_a_step_leaves_unused_edges_alone(normalisation: str) -> None:
    """Neither weight decay nor momentum changes what the cell does not use."""
    child = make_child(normalisation=normalisation).train()
    optimizer = torch.optim.SGD(child.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    changed: list[set[int]] = []
    for seed in (2, 3):
        (cell,) = sample(1, seed=seed).tolist()
        weights = [edge.detach().clone() for edge in child.edge_weights]
        momenta = [optimizer.state[edge].get("momentum_buffer") for edge in child.edge_weights]
        momenta = [None if momentum is None else momentum.clone() for momentum in momenta]
        optimizer.zero_grad()
        torch.autograd.backward(child.score(make_batch(), torch.tensor([cell])).loss_sum.sum())
        child.clip_gradients(1.0)
        optimizer.step()
        used = {node * (node - 1) // 2 + cell[2 * node - 1] for node in range(1, 6)}
        for number, edge in enumerate(child.edge_weights):
            if number in used:
                assert edge.grad is not None
                assert bool((edge.grad != 0).any())
                continue
            assert edge.grad is None
            assert torch.equal(edge, weights[number])
            momentum, before = optimizer.state[edge].get("momentum_buffer"), momenta[number]
            assert (momentum is None) == (before is None)
            assert before is None or torch.equal(momentum, before)
        changed.append(used)
    assert changed[0] - changed[1], "no edge was left alone after it had a momentum"


@pytest.mark.parametrize("recurrent_state", ["output", "last_node"])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("training", [False, True])
def test_variants_with_a_carried_state(
    recurrent_state: str, normalisation: str, training: bool
) -> None:
    """The limit on the hidden state bites in all of them."""
    child = make_child(
        recurrent_state=recurrent_state, normalisation=normalisation, max_hidden_norm=LIMIT
    ).train(training)
    start = torch.randn(5, ROWS, HIDDEN, generator=seeded(1), dtype=torch.float64)
    compare(child, sample(5), start=start)
    compare(child, sample(5))


def test_the_limit_bites() -> None:
    losses: dict[float | None, Tensor] = {}
    for limit in (None, LIMIT, 1e6):
        child = make_child(max_hidden_norm=limit)
        score = child.score(make_batch(), sample(5))
        assert score.state is not None
        losses[limit] = score.loss_sum
        norms = score.state.norm(dim=-1)
        if limit == LIMIT:
            assert float(norms.max()) == pytest.approx(LIMIT)
    assert torch.equal(losses[None], losses[1e6])
    assert bool((losses[None] != losses[LIMIT]).any())


def test_last_node_differs_from_output() -> None:
    one, other = (make_child(recurrent_state=kind) for kind in ("output", "last_node"))
    star = torch.tensor([[0, 0, 1, 0, 2, 0, 3, 0, 1, 0, 0]])
    assert not torch.allclose(
        one.score(make_batch(), star).loss_sum, other.score(make_batch(), star).loss_sum
    )


def test_running_statistics() -> None:
    """Momentum 0.1 at every time step, towards the mean over cells of their own statistics."""
    child = make_child(normalisation="batch")
    mean, variance = child.running_mean.flatten(), child.running_variance.flatten()
    child.train()
    architectures = sample(5)
    _, _, moments = oracle(child, make_batch(), architectures.tolist(), None)
    for t in range(LENGTH):  # the oracle's list goes cell by cell
        at_t = moments[t::LENGTH]
        mean = 0.9 * mean + 0.1 * torch.stack([m for m, _ in at_t]).mean(dim=0)
        variance = 0.9 * variance + 0.1 * torch.stack([v for _, v in at_t]).mean(dim=0)
    child.score(make_batch(), architectures)
    torch.testing.assert_close(child.running_mean.flatten(), mean, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(child.running_variance.flatten(), variance, rtol=1e-11, atol=1e-11)
    before = {name: value.clone() for name, value in child.state_dict().items()}
    child.eval().score(make_batch(), architectures)
    for name, value in child.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_recalibrated_statistics_are_each_cells_own() -> None:
    """Those that training on this cell alone would have left, without dropout."""
    child = make_child(normalisation="batch", dropout_output=0.5, weight_drop=0.3).eval()
    architectures, batches = sample(4), [make_batch(1), make_batch(2)]
    before = {name: value.clone() for name, value in child.state_dict().items()}
    found = child.recalibrated(architectures, batches)
    assert not found.training
    scores = found.score(make_batch(), architectures).loss_sum
    for m, architecture in enumerate(architectures):
        alone = make_child(normalisation="batch")
        alone.running_mean.zero_()
        alone.running_variance.fill_(1)
        alone.train()
        for batch in batches:
            alone.score(batch, architecture.unsqueeze(0))
        torch.testing.assert_close(found.running_mean[m], alone.running_mean)
        torch.testing.assert_close(found.running_variance[m], alone.running_variance)
        own = alone.eval().score(make_batch(), architecture.unsqueeze(0)).loss_sum[0]
        torch.testing.assert_close(scores[m], own)
    for name, value in child.state_dict().items():
        assert torch.equal(value, before[name]), name
    plain = make_child()
    assert plain.recalibrated(architectures, batches) is plain


def test_reset_starts_normalisation_anew() -> None:
    child = make_child(normalisation="batch")
    child.reset_parameters(seeded(0))
    for tensor, value in (
        (child.scale, 1),
        (child.shift, 0),
        (child.running_mean, 0),
        (child.running_variance, 1),
        (child.decoder_bias, 0),
    ):
        assert bool((tensor == value).all())


def test_weights_start_in_their_range() -> None:
    child = make_child(init_range=0.3)
    child.reset_parameters(seeded(1))
    for weight in (
        child.embedding,
        child.input_weight,
        child.recurrent_weight,
        torch.stack(list(child.edge_weights)),
    ):
        assert 0.27 < float(weight.detach().abs().max()) <= 0.3
        assert abs(float(weight.detach().mean())) < 0.1


def test_isomorphic_cells_are_one_network_up_to_weights() -> None:
    """What `canonical` promises: the edge weights renamed along, the losses are equal."""
    one = [0, 0, 1, 0, 2, 1, 3, 2, 1]  # edges 0-1 0-2 1-3 2-4
    other = [0, 0, 2, 0, 1, 1, 1, 2, 3]  # nodes 1 and 2 renamed, and so 3 and 4
    space = RecurrentCellSpace(num_nodes=5, activations=ACTIVATIONS)
    assert space.canonical(one) == space.canonical(other)
    renamed = {0: 0, 1: 2, 2: 1, 3: 4, 4: 3}
    child, twin = make_child(num_nodes=5), make_child(num_nodes=5)
    numbers = [(previous, node) for node in range(1, 5) for previous in range(node)]
    with torch.no_grad():
        for previous, node in ((0, 1), (0, 2), (1, 3), (2, 4)):
            there = numbers.index((renamed[previous], renamed[node]))
            twin.edge_weights[there].copy_(child.edge_weights[numbers.index((previous, node))])
    loss = child.score(make_batch(), torch.tensor([one])).loss_sum
    torch.testing.assert_close(twin.score(make_batch(), torch.tensor([other])).loss_sum, loss)
    assert not torch.allclose(child.score(make_batch(), torch.tensor([other])).loss_sum, loss)


def test_no_gradient_goes_through_the_carried_state() -> None:
    child = make_child()
    start = torch.ones(2, ROWS, HIDDEN, dtype=torch.float64, requires_grad=True)
    score = child.score(make_batch(), sample(2), start)
    (gradient,) = torch.autograd.grad(score.loss_sum.sum(), start, allow_unused=True)
    assert gradient is None
    assert score.state is not None
    assert not score.state.requires_grad


@pytest.mark.parametrize("num_nodes", [1, 2, 6])
def test_counted_parameters(num_nodes: int) -> None:
    """Embedding (the decoder too), decoder's bias, node 0's two matrices, an edge a later node."""
    matrix = 2 * HIDDEN * HIDDEN
    expected = VOCABULARY * (HIDDEN + 1) + 2 * matrix + (num_nodes - 1) * matrix
    cell = sample(1, num_nodes=num_nodes)[0].tolist()
    assert make_child(num_nodes=num_nodes).costs(cell) == {"parameters": expected}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num_nodes", 0),
        ("activations", ["tanh", "swish"]),
        ("vocabulary_size", 0),
        ("hidden_size", 1.5),
        ("init_range", 0),
        ("dropout_words", 1),
        ("dropout_input", -0.1),
        ("dropout_output", float("nan")),
        ("weight_drop", 1),
        ("max_hidden_norm", 0),
        ("recurrent_state", "leaves"),
        ("normalisation", "layer"),
    ],
)
def test_bad_arguments_are_refused(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{argument}=.*not allowed: must be"):
        RecurrentChild(**(PLAIN | {argument: value}))


# -------------------------------------------------------------------------------- dropout


def test_without_dropout_training_is_evaluation() -> None:
    child = make_child()
    generator = seeded(0)
    trained = child.train().score(make_batch(), sample(3), None, generator)
    evaluated = child.eval().score(make_batch(), sample(3))
    assert torch.equal(trained.loss_sum, evaluated.loss_sum)
    assert torch.equal(generator.get_state(), seeded(0).get_state()), "masks were drawn"


@pytest.mark.parametrize(
    "kind", ["dropout_words", "dropout_input", "dropout_output", "weight_drop"]
)
def test_each_dropout_acts_in_training_only(kind: str) -> None:
    child, plain = make_child(0, **{kind: 0.5}), make_child()
    architectures = sample(3)
    expected = plain.score(make_batch(), architectures).loss_sum
    dropped = child.train().score(make_batch(), architectures, None, seeded(0)).loss_sum
    assert bool((dropped != expected).all())
    assert torch.equal(child.eval().score(make_batch(), architectures).loss_sum, expected)


def test_masks_keep_the_mean() -> None:
    child = make_child().train()
    ones = torch.ones(300, 300)
    dropped = child._dropout(ones, 0.3, ones.shape, seeded(0))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert float((dropped == 0).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)


def test_a_dropped_weight_is_dropped_at_all_time_steps() -> None:
    """Such a weight has no gradient at all; without it, and the others scaled, nothing changes."""
    child = make_child(weight_drop=0.4).train()
    batch, chain = make_batch(length=9), sample(1)
    chain[0, 1::2] = torch.arange(5)
    chain[0, 0::2] = ACTIVATIONS.index("tanh")
    loss = child.score(batch, chain, None, seeded(0)).loss_sum
    thinned = make_child()
    used = [f"edge_weights.{node * (node + 1) // 2 + node}" for node in range(5)]
    names = ["recurrent_weight", *used]
    gradients = torch.autograd.grad(loss.sum(), [child.get_parameter(name) for name in names])
    kept = [gradient != 0 for gradient in gradients]
    assert 0.4 < float(kept[0].double().mean()) < 0.8
    assert 0.4 < float(torch.stack(kept[1:]).double().mean()) < 0.8
    with torch.no_grad():
        for name, those in zip(names, kept, strict=True):
            thinned.get_parameter(name).mul_(those / 0.6)
    torch.testing.assert_close(thinned.eval().score(batch, chain).loss_sum, loss)


def unrolled(
    monkeypatch: pytest.MonkeyPatch, child: RecurrentChild, batch: Batch, m: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What goes into the cells `(L, B, H)`, what comes out, and what is decoded `(L, M, B, H)`.

    All embeddings are one, and the input weights hand them on as they are.
    """
    seen: list[Tensor] = []
    original = unroll
    decoded = child._loss

    def watched(projected: Tensor, *rest: Any, **options: Any) -> tuple[Tensor, Tensor]:
        outputs, state = original(projected, *rest, **options)
        seen.extend((projected[:, 0, :, :HIDDEN].detach(), outputs.detach()))
        return outputs, state

    def watched_loss(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(outputs.detach())
        return decoded(outputs, targets)

    with torch.no_grad():
        child.embedding.fill_(1)
        child.input_weight.copy_(torch.eye(HIDDEN).repeat(1, 2))
    monkeypatch.setattr("nas_lightning.search_spaces.enas_rnn.network.unroll", watched)
    monkeypatch.setattr(child, "_loss", watched_loss)
    child.train().score(batch, sample(m), None, seeded(0))
    went_in, came_out, read = seen
    return went_in, came_out, read


def test_a_dropped_word_is_dropped_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(length=30)
    went_in, _, _ = unrolled(monkeypatch, make_child(dropout_words=0.5), batch, 2)
    assert sorted(set(went_in.flatten().tolist())) == [0, 2]
    dropped = 0
    for word in range(VOCABULARY):
        values = went_in[batch.inputs.t() == word]
        assert len(values) > 1, "the word does not occur twice"
        assert len(values.unique()) == 1, word
        dropped += int(values[0, 0] == 0)
    assert 0 < dropped < VOCABULARY


def test_a_dropped_input_unit_is_dropped_at_all_time_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    went_in, _, _ = unrolled(monkeypatch, make_child(dropout_input=0.5), make_batch(), 2)
    assert sorted(set(went_in.flatten().tolist())) == [0, 2]
    assert bool((went_in == went_in[0]).all())
    assert not bool((went_in[0] == went_in[0, 0]).all()), "all rows of the minibatch alike"


def test_a_dropped_output_unit_is_dropped_at_all_time_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, came_out, read = unrolled(monkeypatch, make_child(dropout_output=0.5), make_batch(), 2)
    factors = read / came_out
    assert sorted(set(factors.flatten().tolist())) == [0, 2]
    torch.testing.assert_close(factors, factors[0].expand_as(factors))
    assert bool((factors[0, 0] == factors[0, 1]).all()), "architectures differently"
    assert not bool((factors[0, 0] == factors[0, 0, 0]).all()), "all rows of the minibatch alike"


def test_the_recurrent_state_is_free_of_output_dropout() -> None:
    child, plain = make_child(dropout_output=0.5), make_child()
    dropped = child.train().score(make_batch(), sample(2), None, seeded(0)).state
    assert dropped is not None
    torch.testing.assert_close(dropped, plain.score(make_batch(), sample(2)).state)


# ------------------------------------------------------------------ one node, a whole search


class Text(Data):
    """A few minibatches of random tokens."""

    sizes = {"vocabulary_size": VOCABULARY}  # noqa: RUF012

    train_batches = 2

    def train_batch(self, index: int) -> Batch:
        return make_batch(index % 2)._replace(continues=index % 2 > 0)

    def validation_batches(self) -> Sequence[Batch]:
        return [make_batch(100), make_batch(101)._replace(continues=True)]

    def test_batches(self) -> Sequence[Batch]:
        raise AssertionError("the search reads the test split")


@pytest.mark.filterwarnings("ignore:.*LeafSpec")  # Lightning's own use of a deprecated function
def test_a_cell_of_one_node_can_be_searched(tmp_path: Path) -> None:
    space = RecurrentCellSpace(num_nodes=1, activations=ACTIVATIONS)
    child = RecurrentChild(**(PLAIN | {"num_nodes": 1, "weight_drop": 0.1}))
    ledger, metrics = Ledger(tmp_path / "ledger.jsonl"), Metrics(tmp_path / "metrics.csv")
    search = ArchitectureSearch(
        space=space,
        controller=Reinforce(
            policy=LSTMPolicy(
                space=space,
                hidden_size=4,
                num_layers=1,
                init_range=0.1,
                heads="per_decision",
                temperature=None,
                tanh_constant=None,
            ),
            optimizer=torch.optim.Adam,
            baseline=LeaveOneOut(),
            entropy_weight=0.1,
            entropy_in="loss",
        ),
        estimator=WeightSharing(
            child=child,
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
            decay=1,
            decay_from=0,
            gradient_clip=1,
            child_steps=3,
            controller_steps=2,
            objective="perplexity",
            max_evaluation=3,
            data=Text(),
            calibration_minibatches=0,
            weights=None,
        ),
        reward=InversePerplexity(scale=80),
        memory=NoMemory(),
        data=Text(),
        ledger=ledger,
        metrics=metrics,
        generators=Generators(0),
        architectures_per_step=4,
        child_architectures="controller",
        candidates=5,
        candidate_minibatches=1,
        finalists=2,
        uniform_candidates=3,
        beside=None,
        log_every=1,
    )
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(search)
    ledger.close()
    metrics.close()
    rows = ledger_rows(tmp_path / "ledger.jsonl")
    assert search.incumbent is not None
    assert search.incumbent["actions"] in [[0], [1], [2], [3]]
    assert len(rows) == search.counters["architectures_judged"] >= 2 * 4
    assert {row["status"] for row in rows} == {"ok"}
    assert space.draw(search.incumbent["actions"]).startswith("0 ")


@pytest.mark.parametrize(("hidden", "rows", "wanted"), [(64, 32, 1), (64, 16, None), (200, 64, 1)])
def test_large_operations_are_done_one_by_one(hidden: int, rows: int, wanted: int | None) -> None:
    """On a processor; on a GPU as many cells as there are at once."""
    child = make_child(num_nodes=2, hidden_size=hidden)
    tokens = torch.zeros((rows, LENGTH), dtype=torch.int64)
    batch = Batch(tokens, tokens, continues=False)
    assert child.at_once(batch) == wanted
    assert child.at_once(batch.on("meta")) is None
