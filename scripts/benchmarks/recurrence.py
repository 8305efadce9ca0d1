"""A recurrent child's step and the scoring of cells, against a plain loop and multiplications."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Aims, Comparison
from nas_lightning.assembly.threads import PAYS, processors, share
from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import score_all
from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild
from nas_lightning.search_spaces.enas_rnn.plain import ACTIVATIONS as FUNCTIONS
from nas_lightning.search_spaces.enas_rnn.space import (
    ACTIVATIONS,
    RecurrentCellSpace,
    leaf_nodes,
    split,
)
from nas_lightning.search_spaces.enas_rnn.wiring import edge_number, wire

ROWS = 64
"""Of a minibatch, B."""


def cells(
    m: int,
    *,
    num_nodes: int,
    hidden_size: int,
    vocabulary_size: int,
    length: int,
    device: str = "cpu",
) -> tuple[RecurrentChild, Tensor, Batch]:
    """A child without dropout, M of its cells, and a minibatch of random text.

    From here on torch computes with as many threads as a search of such cells would.

    Args:
        m: M.
        num_nodes: N.
        hidden_size: H.
        vocabulary_size: V.
        length: L.
        device: Where all but the cells lie.
    """
    generator = torch.Generator().manual_seed(0)
    child = RecurrentChild(
        num_nodes=num_nodes,
        activations=ACTIVATIONS,
        vocabulary_size=vocabulary_size,
        hidden_size=hidden_size,
        init_range=0.1 if hidden_size < 500 else 0.025,
        dropout_words=0,
        dropout_input=0,
        dropout_output=0,
        weight_drop=0,
        max_hidden_norm=25,
        recurrent_state="output",
        normalisation="none",
    )
    child.reset_parameters(generator)
    space = RecurrentCellSpace(num_nodes=num_nodes, activations=ACTIVATIONS)
    tokens = torch.randint(vocabulary_size, (ROWS, length + 1), generator=generator).to(device)
    batch = Batch(tokens[:, :-1], tokens[:, 1:], False)
    drawn = space.sample(m, generator)
    work = child.costs(drawn[0].tolist())["parameters"] * batch.targets.numel()
    torch.set_num_threads(share(os.environ) if work >= PAYS else 1)
    return child.to(device), drawn, batch


def waited_for(work: Callable[[], object], device: str) -> Callable[[], None]:
    """Work that has ended when it returns, also on a GPU."""

    def whole() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    return whole


@contextmanager
def one_cell(
    *,
    num_nodes: int,
    hidden_size: int,
    vocabulary_size: int,
    length: int,
    steps: int,
    learning: bool,
    aims: Aims,
    device: str = "cpu",
) -> Iterator[Comparison]:
    """Loss of one cell, and its gradients where it learns.

    Args:
        num_nodes: N.
        hidden_size: H.
        vocabulary_size: V.
        length: L.
        steps: Minibatches at a call.
        learning: Whether gradients are computed too.
        aims: What is aimed at.
        device: Where.
    """
    child, cell, batch = cells(
        1,
        num_nodes=num_nodes,
        hidden_size=hidden_size,
        vocabulary_size=vocabulary_size,
        length=length,
        device=device,
    )

    def plain() -> Tensor:
        return plain_loss(child, cell, batch)

    def ours() -> Tensor:
        return child.score(batch, cell).loss_sum.sum()

    def repeated(loss: Callable[[], Tensor]) -> None:
        for _ in range(steps):
            child.zero_grad()
            with torch.set_grad_enabled(learning):
                value = loss()
            if learning:
                torch.autograd.backward(value)

    yield Comparison(
        aims=aims,
        plain=waited_for(lambda: repeated(plain), device),
        ours=waited_for(lambda: repeated(ours), device),
        amount=steps,
        unit="steps" if learning else "minibatches",
        limit=waited_for(
            multiplications(child, cell, batch, learning=learning, repeats=steps), device
        ),
        memory=(lambda: (held(plain, child), held(ours, child))) if learning else None,
    )


@contextmanager
def second_thread(*, steps: int, **sizes: int) -> Iterator[Comparison]:
    """Training steps with a thread for every processor, against one thread.

    Args:
        steps: Minibatches at a call.
        sizes: See `cells`.
    """
    child, cell, batch = cells(1, **sizes, device="cpu")

    def work(threads: int) -> None:
        torch.set_num_threads(threads)
        for _ in range(steps):
            child.zero_grad()
            torch.autograd.backward(child.score(batch, cell).loss_sum.sum())

    yield Comparison(
        aims=Aims(),
        plain=lambda: work(1),
        ours=lambda: work(processors()),
        amount=steps,
        unit="steps",
    )


@contextmanager
def many_scored(
    m: int,
    *,
    at_once: int,
    num_nodes: int,
    hidden_size: int,
    vocabulary_size: int,
    length: int,
    aims: Aims,
    minibatches: int = 1,
    device: str = "cpu",
) -> Iterator[Comparison]:
    """M cells under shared weights, the states carried from minibatch to minibatch.

    Args:
        m: M.
        at_once: How many in one call; a search may choose one, where that is faster.
        num_nodes: N.
        hidden_size: H.
        vocabulary_size: V.
        length: L.
        aims: What is aimed at.
        minibatches: How many the text has.
        device: Where.
    """
    child, architectures, batch = cells(
        m,
        num_nodes=num_nodes,
        hidden_size=hidden_size,
        vocabulary_size=vocabulary_size,
        length=length,
        device=device,
    )
    text = [batch, *[batch._replace(continues=True)] * (minibatches - 1)]

    @torch.no_grad()
    def one_by_one() -> None:
        for architecture in architectures:
            score_all(child, text, architecture.unsqueeze(0))

    @torch.no_grad()
    def together() -> None:
        for some in torch.split(architectures, at_once):
            score_all(child, text, some)

    yield Comparison(
        aims=aims,
        plain=waited_for(one_by_one, device),
        ours=waited_for(together, device),
        amount=m,
        unit="cells",
        limit=waited_for(
            multiplications(child, architectures, batch, learning=False, repeats=minibatches),
            device,
        ),
    )


def plain_loss(child: RecurrentChild, architectures: Tensor, batch: Batch) -> Tensor:
    """The summed loss of a child without dropout, as one would write it down.

    One multiplication for a node and a time step, autograd, and torch's own softmax.

    Args:
        child: Its weights.
        architectures: `(1, T)`.
        batch: The minibatch.
    """
    previous, chosen = split(architectures[0].tolist())
    functions = [FUNCTIONS[child.activations[number]] for number in chosen]
    edges = [child.edge_weights[edge_number(j, i)] for j, i in enumerate(previous) if j > 0]
    state = child.embedding.new_zeros(len(batch.inputs), child.hidden_size)
    outputs = []
    for x in F.embedding(batch.inputs.t(), child.embedding):
        nodes: list[Tensor] = []
        for j, function in enumerate(functions):
            if j == 0:
                read, both = state, x @ child.input_weight + state @ child.recurrent_weight
            else:
                read = nodes[previous[j]]
                both = read @ edges[j - 1]
            gate, candidate = both.chunk(2, dim=-1)
            nodes.append(torch.lerp(read, function(candidate), torch.sigmoid(gate)))
        state = torch.stack([nodes[leaf] for leaf in leaf_nodes(previous)]).mean(dim=0)
        outputs.append(state)
        if child.max_hidden_norm is not None:
            norm = torch.linalg.vector_norm(state, dim=-1, keepdim=True)
            state = state / (norm / child.max_hidden_norm).clamp_min(1)
    logits = F.linear(torch.stack(outputs).flatten(0, 1), child.embedding, child.decoder_bias)
    return F.cross_entropy(logits, batch.targets.t().flatten(), reduction="sum")


def multiplications(
    child: RecurrentChild, architectures: Tensor, batch: Batch, *, learning: bool, repeats: int = 1
) -> Callable[[], None]:
    """The multiplications of scoring, or of a training step, and nothing else.

    Those of a level at every time step, and with learning their transposed ones; the weights'
    gradients over all time steps; input projection and softmax.

    Args:
        child: Its sizes.
        architectures: `(M, T)`.
        batch: Its sizes.
        learning: Whether gradients are computed too.
        repeats: How often it is done at a call.
    """
    m, h, v = len(architectures), child.hidden_size, child.vocabulary_size
    rows, length = batch.inputs.shape
    levels = [
        level.stop - level.start
        for level in wire(architectures, child.activations, child.embedding).levels
    ]
    with torch.no_grad(), child.embedding.device:
        weights = [torch.full((n, h, 2 * h), 0.01) for n in levels]
        reads = [torch.full((n, rows, h), 0.01) for n in levels]
        values = [torch.empty(n, rows, 2 * h) for n in levels]
        every_read = torch.full((length * rows, h), 0.01)
        every_value = torch.full((length * rows, 2 * h), 0.01)
        to_weight, to_decoder = torch.empty(h, 2 * h), torch.empty(v, h)
        decoder = torch.full((v, h), 0.01)
        logits = torch.empty(length * rows, v)

    @torch.no_grad()
    def work() -> None:
        torch.mm(every_read, weights[0][0], out=every_value)
        for _ in range(length):
            for read, weight, value in zip(reads, weights, values, strict=True):
                torch.bmm(read, weight, out=value)
        for _ in range(m):
            torch.mm(every_read, decoder.t(), out=logits)
        if not learning:
            return
        for _ in range(m):
            torch.mm(logits, decoder, out=every_read)
            torch.mm(logits.t(), every_read, out=to_decoder)
        for _ in range(length):
            for read, weight, value in zip(reads, weights, values, strict=True):
                torch.bmm(value, weight.transpose(1, 2), out=read)
        for _ in range(sum(levels) + 1):
            torch.mm(every_read.t(), every_value, out=to_weight)
        torch.mm(every_value, weights[0][0].t(), out=every_read)

    def repeated() -> None:
        for _ in range(repeats):
            for tensor in (every_read, *reads):  # what is fed back must not grow
                tensor.fill_(0.01)
            work()

    return repeated


def held(loss: Callable[[], Tensor], child: RecurrentChild) -> int:
    """Bytes that a loss holds for its backward, the parameters themselves apart.

    Args:
        loss: Computes it.
        child: Whose parameters are not counted.
    """
    parameters = {p.untyped_storage().data_ptr() for p in child.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        graph = loss()  # as long as it is there, so is what it holds
    del graph
    return sum(saved.values())
