"""The plain module of an architecture gives the numbers by which the search judges it."""

from __future__ import annotations

import ast
import inspect
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import ChildNetwork, score_all
from nas_lightning.search_spaces.enas_rnn import LSTMReference, RecurrentCellSpace, RecurrentChild
from nas_lightning.search_spaces.enas_rnn import plain as enas_plain
from nas_lightning.search_spaces.enas_rnn.plain import RecurrentLanguageModel
from nas_lightning.search_spaces.nas_bench_201 import plain as cells_plain
from nas_lightning.search_spaces.nas_cnn import ConvolutionalChild, ConvolutionalSpace
from nas_lightning.search_spaces.nas_cnn import plain as cnn_plain
from nas_lightning.search_spaces.nas_cnn.plain import ConvolutionalNetwork

M, VOCABULARY, HIDDEN = 3, 11, 5
ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")

settings.register_profile("door", deadline=None, max_examples=20, derandomize=True, database=None)
many = settings(settings.get_profile("door"))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texts(seed: int) -> list[Batch]:
    """Two windows, the second of which goes on where the first stops."""
    ids = torch.randint(VOCABULARY, (4, 10), generator=seeded(seed))
    cuts = [(0, 5, False), (5, 9, True)]
    return [Batch(ids[:, a:b], ids[:, a + 1 : b + 1], goes_on) for a, b, goes_on in cuts]


def loss_of_texts(network: nn.Module, batches: list[Batch]) -> Tensor:
    """The summed loss of an ordinary loop, the state carried on."""
    state, total = None, torch.zeros(())
    for batch in batches:
        logits, state = network(batch.inputs, state if batch.continues else None)
        assert logits.shape == (*batch.inputs.shape, VOCABULARY)
        total += F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    return total


def recurrent(nodes: int, **changes: Any) -> RecurrentChild:
    arguments: dict[str, Any] = {
        "num_nodes": nodes,
        "activations": ACTIVATIONS,
        "vocabulary_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "init_range": 0.8,
        "dropout_words": 0.1,
        "dropout_input": 0.1,
        "dropout_output": 0.1,
        "weight_drop": 0.1,
        "max_hidden_norm": None,
        "recurrent_state": "output",
        "normalisation": "none",
        **changes,
    }
    return RecurrentChild(**arguments)


def trained_a_little(child: ChildNetwork, batches: list[Batch], architectures: Tensor) -> None:
    """Leave running statistics, biases and scales that are not those of the start."""
    child.train()
    for batch in batches:
        child.score(batch, architectures, generator=seeded(5))
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=seeded(6)))
    child.eval()


@pytest.mark.parametrize("weights", ["shared", "fresh", "recalibrated"])
@many
@given(
    nodes=st.integers(1, 5),
    seed=st.integers(0, 999),
    state=st.sampled_from(["output", "last_node"]),
    limit=st.sampled_from([None, 0.5]),
    normalisation=st.sampled_from(["none", "batch"]),
)
def test_cells(
    weights: str, nodes: int, seed: int, state: str, limit: float | None, normalisation: str
) -> None:
    space = RecurrentCellSpace(num_nodes=nodes, activations=ACTIVATIONS)
    architectures = space.sample(M, seeded(seed))
    child: ChildNetwork = recurrent(
        nodes, recurrent_state=state, max_hidden_norm=limit, normalisation=normalisation
    )
    child.reset_parameters(seeded(seed))
    if weights == "fresh":
        child = child.fresh(architectures, [seeded(seed + m) for m in range(M)])
    batches = texts(seed)
    trained_a_little(child, batches, architectures)
    if weights == "recalibrated":
        child = child.recalibrated(architectures, texts(seed + 1))
    with torch.no_grad():
        expected = score_all(child, batches, architectures).loss_sum
        for m, row in enumerate(architectures.tolist()):
            network = child.network(row, m)
            torch.testing.assert_close(loss_of_texts(network, batches), expected[m])


@many
@given(seed=st.integers(0, 999), layers=st.integers(1, 4))
def test_stacks(seed: int, layers: int) -> None:
    space = ConvolutionalSpace(
        num_layers=layers,
        grow_by=1,
        grow_every=None,
        max_layers=layers,
        heights=[1, 2, 3],
        widths=[1, 3, 4],
        filters=[2, 5],
        strides=[1, 2, 3],
    )
    architectures = space.sample(M, seeded(seed))
    template = ConvolutionalChild(space=space, num_classes=4, channels=2, image_size=7)
    child = template.fresh(architectures, [seeded(seed + m) for m in range(M)])
    images = torch.rand(6, 2, 7, 7, generator=seeded(seed))
    batch = Batch(images, torch.randint(4, (6,), generator=seeded(seed)), continues=False)
    trained_a_little(child, [batch], architectures)
    with torch.no_grad():
        expected = child.score(batch, architectures)
        for m, row in enumerate(architectures.tolist()):
            logits = child.network(row, m)(images)
            loss = F.cross_entropy(logits, batch.targets, reduction="sum")
            assert torch.equal(loss, expected.loss_sum[m])


def test_it_is_a_copy_without_a_trace_of_the_search() -> None:
    child = recurrent(2, normalisation="batch")
    child.reset_parameters(seeded(0))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    network = child.network([0, 0, 1])
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    assert not network.training
    kept = network.state_dict()["embedding.weight"].clone()
    child.reset_parameters(seeded(1))
    assert torch.equal(network.state_dict()["embedding.weight"], kept)
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.002)
    losses = []
    for _ in range(5):  # an ordinary loop trains it on
        optimizer.zero_grad()
        loss = loss_of_texts(network, texts(0))
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_what_makes_none_says_so() -> None:
    with pytest.raises(TypeError, match="LSTMReference makes no plain module"):
        LSTMReference(child=recurrent(2)).network([0, 0, 1])


def model(**preparation: Any) -> RecurrentLanguageModel:
    network = recurrent(2).network([0, 0, 1])
    assert isinstance(network, RecurrentLanguageModel)
    network.prepare(**preparation)
    return network


def test_words_in_and_out() -> None:
    tokens = ["<unk>", "<eos>", "a", "b", ","]
    network = model(vocabulary=tokens, level="word", words=r"\w+|[^\w\s]", lower_case=True)
    ids = network.encode("A b, c\nb")
    assert ids.tolist() == [[2, 3, 4, 0, 1, 3]]
    assert network.decode(ids) == "a b , <unk>\nb"
    assert network.encode(["b", "z"]).tolist() == [[3, 0]]


def test_characters_in_and_out() -> None:
    network = model(
        vocabulary=["<unk>", "a", "\n"], level="character", words=None, lower_case=False
    )
    assert network.encode("a\nb").tolist() == [[1, 2, 0]]
    assert network.decode([1, 2, 1]) == "a\na"


def test_it_writes() -> None:
    tokens = ["<unk>", *"abcdefghij"]
    network = model(vocabulary=tokens, level="character", words=None, lower_case=False)
    with torch.no_grad():
        network.decoder.bias[3] = 1e4
    assert network.generate("a", 4) == "cccc"
    with torch.no_grad():
        network.decoder.bias[3] = 0
    assert network.generate("ab", 30, seed=1) == network.generate("ab", 30, seed=1)
    assert network.generate("ab", 30, seed=1) != network.generate("ab", 30, seed=2)


def test_what_it_cannot_read_is_refused() -> None:
    for network, text, said in (
        (recurrent(2).network([0, 0, 1]), "a", "there is no vocabulary"),
        (model(vocabulary=["<unk>"], level="word", words=None, lower_case=False), "a", "tokens"),
        (model(vocabulary=["<unk>"], level="character", words=None, lower_case=False), "", "text="),
    ):
        assert isinstance(network, RecurrentLanguageModel)
        with pytest.raises(ValueError, match=said):
            network.generate(text, 1)


def test_images_are_normalised() -> None:
    network = ConvolutionalNetwork(layers=[(3, 3, 2, 1)], channels=2, image_size=4, num_classes=3)
    network.prepare(mean=[1.0, 2.0], std=[2.0, 4.0])
    images = torch.tensor([3, 10], dtype=torch.uint8).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert network.preprocess(images)[0, :, 0, 0].tolist() == [1.0, 2.0]
    assert set(network.state_dict()).isdisjoint({"mean", "std"})


@pytest.mark.parametrize("module", [enas_plain, cnn_plain, cells_plain])
def test_it_stands_alone(module: ModuleType) -> None:
    """These files are written out by an export."""
    tree = ast.parse(inspect.getsource(module))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    roots = {str(name).split(".")[0] for name in names}
    assert "torch" in roots
    assert roots - {"torch"} <= set(sys.stdlib_module_names)
