"""The LSTM beside a cell: as large as it, and `nn.LSTM` in the cell's own language model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import score_all
from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild
from nas_lightning.search_spaces.enas_rnn.reference import LSTMReference
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace

VOCABULARY, ROWS, LENGTH = 11, 3, 4
SPACE = RecurrentCellSpace(num_nodes=6, activations=ACTIVATIONS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CELLS = SPACE.sample(2, seeded(0))


def make_reference(**changes: Any) -> LSTMReference:
    arguments: dict[str, Any] = {
        "num_nodes": 6,
        "activations": ACTIVATIONS,
        "vocabulary_size": VOCABULARY,
        "hidden_size": 5,
        "init_range": 0.8,
        "dropout_words": 0,
        "dropout_input": 0,
        "dropout_output": 0,
        "weight_drop": 0,
        "max_hidden_norm": None,
        "recurrent_state": "output",
        "normalisation": "none",
    }
    return LSTMReference(child=RecurrentChild(**(arguments | changes)).double())


def fresh(**changes: Any) -> LSTMReference:
    """Two LSTMs in float64, their biases away from zero."""
    network = make_reference(**changes).fresh(CELLS, [seeded(1), seeded(2)]).double()
    assert isinstance(network, LSTMReference)
    with torch.no_grad():
        for number, bias in enumerate((network.bias, network.decoder_bias)):
            bias.uniform_(-0.5, 0.5, generator=seeded(number))
    return network


def make_batch(seed: int, continues: bool) -> Batch:
    tokens = torch.randint(VOCABULARY, (ROWS, LENGTH + 1), generator=seeded(seed))
    return Batch(tokens[:, :-1], tokens[:, 1:], continues)


def test_scores_are_those_of_torchs_own_lstm() -> None:
    """Over two minibatches, the state carried from one into the other."""
    network = fresh().eval()
    batches = [make_batch(0, False), make_batch(1, True)]
    score = score_all(network, batches, CELLS)
    for m in range(2):
        units = network.embedding.shape[2]
        oracle = nn.LSTM(units, units).double()
        with torch.no_grad():
            weights = dict(oracle.named_parameters())
            weights["weight_ih_l0"].copy_(network.input_weight[m])
            weights["weight_hh_l0"].copy_(network.recurrent_weight[m])
            weights["bias_ih_l0"].copy_(network.bias[m])
            weights["bias_hh_l0"].zero_()
        inputs = torch.cat([batch.inputs for batch in batches], dim=1).t()
        targets = torch.cat([batch.targets for batch in batches], dim=1).t()
        outputs, (hidden, cell) = oracle(network.embedding[m][inputs])
        logits = F.linear(outputs, network.embedding[m], network.decoder_bias[m])
        expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        torch.testing.assert_close(score.loss_sum[m], expected)
        assert score.state is not None
        torch.testing.assert_close(score.state[m], torch.cat([hidden, cell]))
    assert score.count == 2 * ROWS * LENGTH


@pytest.mark.parametrize("nodes", [1, 2, 8])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_no_other_size_comes_closer_to_the_cell(nodes: int, normalisation: Any) -> None:
    reference = make_reference(hidden_size=20, normalisation=normalisation)
    cell = [0] * (2 * nodes - 1)
    child = RecurrentChild.costs(reference, cell)["parameters"]

    def parameters(units: int) -> int:
        embedding = nn.Embedding(VOCABULARY, units)
        lstm = nn.LSTM(units, units)
        counted = [*embedding.parameters(), *lstm.parameters()]
        # The decoder's bias, and of the LSTM's two biases one.
        return sum(p.numel() for p in counted) + VOCABULARY - 4 * units

    closest = min(abs(parameters(units) - child) for units in range(1, 100))
    assert abs(reference.costs(cell)["parameters"] - child) == closest
    assert reference.costs(cell)["parameters"] == parameters(reference.units(cell))
    assert str(reference.units(cell)) in reference.describe(cell)


def test_fresh_has_the_parameters_that_were_promised() -> None:
    network = fresh()
    promised = make_reference().costs(CELLS[0].tolist())
    assert network.costs(CELLS[0].tolist()) == promised
    assert sum(p.numel() for p in network.parameters()) == 2 * promised["parameters"]
    assert not torch.equal(network.recurrent_weight[0], network.recurrent_weight[1])


@pytest.mark.parametrize(
    "dropout", ["dropout_words", "dropout_input", "dropout_output", "weight_drop"]
)
def test_every_dropout_works_in_training_alone(dropout: str) -> None:
    network, plain = fresh(**{dropout: 0.5}), fresh()
    batch = make_batch(0, False)
    expected = plain.score(batch, CELLS).loss_sum
    torch.testing.assert_close(network.eval().score(batch, CELLS).loss_sum, expected)
    network.train()
    one, again, other = (network.score(batch, CELLS, None, seeded(s)).loss_sum for s in (0, 0, 1))
    assert torch.equal(one, again)
    assert bool((one != other).all())
    assert bool((one != expected).all())


def test_a_dropped_recurrent_weight_gets_no_gradient() -> None:
    network = fresh(weight_drop=0.5).train()
    network.score(make_batch(0, False), CELLS, None, seeded(0)).loss_sum.sum().backward()
    gradient = network.recurrent_weight.grad
    assert gradient is not None
    dropped = gradient == 0
    assert 0.3 < float(dropped.double().mean()) < 0.7
    assert torch.equal(dropped[0], dropped[1]), "the mask is the same for all"


def test_it_has_no_shared_weights() -> None:
    with pytest.raises(TypeError, match="no shared weights"):
        make_reference().reset_parameters(seeded(0))
