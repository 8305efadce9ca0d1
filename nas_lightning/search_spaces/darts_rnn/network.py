"""The language model around a cell of DARTS: of M cells with shared weights, or relaxed.

Embedding -> cell unrolled over the text -> the embedding again as decoder (tied). What is published
(Liu et al. 2019, appendix A.1.2) is in `experiment=darts_ptb`. Ordinary PyTorch throughout.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.errors import require_number, require_one_of, require_whole
from nas_lightning.metrics import Metric
from nas_lightning.search_spaces import Relaxable, RelaxedLoss
from nas_lightning.search_spaces.child import (
    LOSS,
    MULTIPLY_ADDS,
    PARAMETERS,
    PERPLEXITY,
    ChildNetwork,
    ChildScore,
)
from nas_lightning.search_spaces.darts_rnn.cells import Cells, cells, gated, mixture, normalised
from nas_lightning.search_spaces.darts_rnn.plain import DartsLanguageModel
from nas_lightning.search_spaces.darts_rnn.space import DartsCellSpace

Node = Callable[[list[Tensor], int, Tensor | None], Tensor]
"""A node `(M, B, H)` of the states before it, its number from 1, and a mask of what it reads."""


class DartsChild(ChildNetwork, Relaxable):
    """A language model for every cell of the space, embedding and hidden state of one size.

    Args:
        space: The cells.
        vocabulary_size: Tokens in the vocabulary, V.
        hidden_size: Units of the hidden state and of the embedding, H.
        matrices: Whether a node has a matrix for all states that it may read, `node` (DARTS), or
            one for each, `edge` (as ENAS).
        init_range: Weights start uniform in plus or minus this; biases of the decoder at 0.
        dropout_words: Probability of dropping a word's embedding in the whole minibatch.
        dropout_embedding: Of dropping an embedding unit; this and those below for all time steps.
        dropout_input: Of dropping a unit of the input where the cell reads it.
        dropout_hidden: Of dropping a unit of a state where a node reads it.
        dropout_output: Of dropping an output unit.
        slowness: Weight of the mean squared difference of successive outputs, which training adds
            (temporal activation regularisation, Merity et al. 2017).
        normalisation: Under shared weights, `batch` normalises each state over the minibatch,
            without parameters and by its own statistics in evaluation too: those of a mixture would
            not be a cell's.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    metrics: tuple[Metric, ...] = (LOSS, PERPLEXITY)
    cost_metrics = (PARAMETERS, MULTIPLY_ADDS)
    counts = "tokens"

    def __init__(
        self,
        *,
        space: DartsCellSpace,
        vocabulary_size: int,
        hidden_size: int,
        matrices: Literal["node", "edge"],
        init_range: float,
        dropout_words: float,
        dropout_embedding: float,
        dropout_input: float,
        dropout_hidden: float,
        dropout_output: float,
        slowness: float,
        normalisation: Literal["none", "batch"],
    ) -> None:
        super().__init__()
        require_whole("vocabulary_size", vocabulary_size, at_least=1)
        require_whole("hidden_size", hidden_size, at_least=1)
        require_one_of("matrices", matrices, ("node", "edge"))
        require_number("init_range", init_range, above=0)
        require_number("dropout_words", dropout_words, at_least=0, below=1)
        require_number("dropout_embedding", dropout_embedding, at_least=0, below=1)
        require_number("dropout_input", dropout_input, at_least=0, below=1)
        require_number("dropout_hidden", dropout_hidden, at_least=0, below=1)
        require_number("dropout_output", dropout_output, at_least=0, below=1)
        require_number("slowness", slowness, at_least=0)
        require_one_of("normalisation", normalisation, ("none", "batch"))
        self.space = space
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.matrices = matrices
        self.init_range = init_range
        self.dropout_words = dropout_words
        self.dropout_embedding = dropout_embedding
        self.dropout_input = dropout_input
        self.dropout_hidden = dropout_hidden
        self.dropout_output = dropout_output
        self.slowness = slowness
        self.normalisation: Literal["none", "batch"] = normalisation
        self.separate = False
        nodes = space.num_nodes
        self._allocate(nodes if matrices == "node" else edge_of(nodes + 1, 0))

    def _allocate(self, matrices: int, *copies: int) -> None:
        """Make the parameters, with as many matrices, and once for each copy."""
        h = self.hidden_size
        self.embedding = nn.Parameter(torch.zeros(*copies, self.vocabulary_size, h))
        self.decoder_bias = nn.Parameter(torch.zeros(*copies, self.vocabulary_size))
        self.input_weight = nn.Parameter(torch.zeros(*copies, h, 2 * h))
        self.state_weight = nn.Parameter(torch.zeros(*copies, h, 2 * h))
        self.node_weights = nn.Parameter(torch.zeros(*copies, matrices, h, 2 * h))

    @property
    def _random_weights(self) -> list[nn.Parameter]:
        return [self.embedding, self.input_weight, self.state_weight, self.node_weights]

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights anew, uniform in plus or minus `init_range`."""
        with torch.no_grad():
            for weight in self._random_weights:
                weight.uniform_(-self.init_range, self.init_range, generator=generator)
            self.decoder_bias.zero_()

    def fresh(self, architectures: Tensor, generators: Sequence[torch.Generator]) -> DartsChild:
        """A network whose every parameter has a first dimension M, a matrix a node.

        It normalises nothing; see the base class.
        """
        child = copy.deepcopy(self)
        child.normalisation = "none"
        child.separate = True
        child._allocate(self.space.num_nodes, len(architectures))
        with torch.no_grad():
            for m, generator in enumerate(generators):
                for weight in child._random_weights:
                    weight[m].uniform_(-self.init_range, self.init_range, generator=generator)
        return child.to(self.embedding)

    def clip_gradients(self, limit: float) -> None:
        """Scale the gradient down to norm `limit`, that of each cell apart after `fresh`."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        parts = [g.flatten(1) if self.separate else g.flatten().unsqueeze(0) for g in gradients]
        scale: Tensor = limit / torch.cat(parts, dim=1).norm(dim=1)
        for part in parts:
            part.mul_(scale.clamp_max(1).unsqueeze(1))

    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        """Score one minibatch of text under M cells; see `ChildNetwork.score`.

        Args:
            batch: Token ids and their successors, `(B, L)` each.
            architectures: int64 `(M, num_nodes)`.
            state: Hidden states `(M, B, H)`, or None for zeros. Never differentiated through.
            generator: Where dropout masks are drawn from; needed in training mode only.
        """
        chosen = tuple(tuple(self.space.split(row)) for row in architectures.tolist())
        made = cells(chosen, self.embedding.device)
        weights = self._matrices_of(made)

        def node(states: list[Tensor], number: int, read: Tensor | None) -> Tensor:
            s = made.read(states, number)
            both = (s if read is None else s * read) @ weights[number - 1]
            return made.apply(number, s, both, self.space.operations)

        losses, penalties, state = self._unrolled(batch, len(architectures), state, generator, node)
        count = batch.targets.numel()
        return ChildScore(losses + penalties * count, count, None, state.detach())

    def relaxed_loss(
        self,
        batch: Batch,
        weights: Tensor,
        state: Tensor | None,
        generator: torch.Generator | None,
    ) -> RelaxedLoss:
        """The loss of the cell in which each node sums over states and operations; see the base."""
        kinds = len(self.space.operations)
        edges = weights.view(-1, kinds + self.space.none)[:, int(self.space.none) :]
        by_node = edges.split([*range(1, self.space.num_nodes + 1)])
        matrices = self._matrices_of_all()

        def node(states: list[Tensor], number: int, read: Tensor | None) -> Tensor:
            s = torch.cat(states)  # (number, B, H)
            both = (s if read is None else s * read) @ matrices[number - 1]
            return mixture(s, both, by_node[number - 1], self.space.operations).unsqueeze(0)

        losses, penalties, state = self._unrolled(batch, 1, state, generator, node)
        return RelaxedLoss(losses[0] / batch.targets.numel(), penalties[0], state.detach())

    def relaxed_multiply_adds(self, weights: Tensor) -> int:
        """One matrix a state that a node reads with any weight but 0; see the base class."""
        edges = weights.view(-1, len(self.space.operations) + self.space.none)
        read = int((edges[:, int(self.space.none) :] != 0).any(dim=1).sum())
        h = self.hidden_size
        return self.vocabulary_size * h + (2 + read) * 2 * h**2

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Weights that this one cell uses, the tied embedding counted once; and multiplications.

        Those of matrices alone, for one token.
        """
        h, v, matrices = self.hidden_size, self.vocabulary_size, 2 + self.space.num_nodes
        return {
            "parameters": v * (h + 1) + matrices * 2 * h**2,
            "multiply_adds": v * h + matrices * 2 * h**2,
        }

    @torch.no_grad()
    def network(self, architecture: Sequence[int], place: int = 0) -> nn.Module:
        """A `DartsLanguageModel`, which stands alone; see the base class."""
        chosen = self.space.split(architecture)
        with torch.random.fork_rng(devices=[]):  # what is drawn is not kept
            model = DartsLanguageModel(
                reads=[state for state, _ in chosen],
                operations=[self.space.operations[number] for _, number in chosen],
                vocabulary_size=self.vocabulary_size,
                hidden_size=self.hidden_size,
                batch_norm=self.normalisation == "batch",
            )
        own = place if self.separate else ...
        matrices = self.node_weights[own]
        if self.matrices == "edge" and not self.separate:
            matrices = matrices[[edge_of(n, s) for n, (s, _) in enumerate(chosen, start=1)]]
        model.embedding.weight.copy_(self.embedding[own])
        model.decoder.bias.copy_(self.decoder_bias[own])
        weights = [self.input_weight[own], self.state_weight[own], *matrices]
        cell = model.cell
        for linear, weight in zip(
            [cell.from_input, cell.from_state, *cell.nodes], weights, strict=True
        ):
            linear.weight.copy_(weight.t())
        return model.to(self.embedding).eval()

    def _matrices_of(self, made: Cells) -> list[Tensor]:
        """For each node its matrix `(H, 2H)`, or one for each cell `(M, H, 2H)`."""
        nodes = range(1, self.space.num_nodes + 1)
        if self.separate:
            return list(self.node_weights.unbind(dim=1))
        if self.matrices == "node":
            return list(self.node_weights.unbind())
        return [
            self.node_weights[[edge_of(node, read) for read in made.reads(node)]] for node in nodes
        ]

    def _matrices_of_all(self) -> list[Tensor]:
        """For each node its matrix `(H, 2H)`, or one for each state before it `(node, H, 2H)`."""
        if self.separate:
            raise TypeError("cells with weights of their own cannot be mixed")
        if self.matrices == "node":
            return list(self.node_weights.unbind())
        return list(self.node_weights.split([*range(1, self.space.num_nodes + 1)]))

    def _unrolled(
        self,
        batch: Batch,
        copies: int,
        state: Tensor | None,
        generator: torch.Generator | None,
        node: Node,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Unroll `copies` cells M; summed losses `(M,)`, penalties `(M,)`, last state."""
        inputs, targets = batch.inputs.t(), batch.targets.t()
        shape = (copies, inputs.shape[1], self.hidden_size)
        state = self.embedding.new_zeros(shape) if state is None else state.detach()
        embedded = self._embed(inputs, generator)
        x_mask = self._mask(embedded, self.dropout_input, shape[1:], generator)
        h_mask = self._mask(embedded, self.dropout_hidden, shape[1:], generator)
        projected = (embedded if x_mask is None else embedded * x_mask) @ self.input_weight
        normalise = normalised if self.normalisation == "batch" else _as_it_is
        outputs, before = [], state
        for at in projected.unbind():
            both = at + (state if h_mask is None else state * h_mask) @ self.state_weight
            states = [normalise(gated(state, both, "tanh"))]
            for number in range(1, self.space.num_nodes + 1):
                states.append(normalise(node(states, number, h_mask)))
            state = torch.stack(states[1:]).mean(dim=0)
            outputs.append(state)
        out = torch.stack(outputs)  # (L, M, B, H)
        penalties = out.new_zeros(copies)
        if self.training and self.slowness:
            steps = torch.cat([before.unsqueeze(0), out]).diff(dim=0)
            penalties = self.slowness * steps.square().mean(dim=(0, 2, 3))
        mask = self._mask(out, self.dropout_output, shape[1:], generator)
        return self._losses(out if mask is None else out * mask, targets), penalties, state

    def _embed(self, tokens: Tensor, generator: torch.Generator | None) -> Tensor:
        """Embeddings `(L, 1 or M, B, H)` of tokens `(L, B)`; drops words and units in training."""
        if self.separate:
            embedded = self.embedding[:, tokens].transpose(0, 1)
        else:
            embedded = F.embedding(tokens, self.embedding).unsqueeze(1)
        words = self._mask(embedded, self.dropout_words, (self.vocabulary_size, 1), generator)
        if words is not None:
            embedded = embedded * F.embedding(tokens, words).unsqueeze(1)
        units = self._mask(embedded, self.dropout_embedding, embedded.shape[2:], generator)
        return embedded if units is None else embedded * units

    def _mask(
        self, like: Tensor, p: float, shape: Sequence[int], generator: torch.Generator | None
    ) -> Tensor | None:
        """A mask that drops with probability `p` and keeps the mean; None where nothing is."""
        if not self.training or p == 0:
            return None
        mask = torch.empty(shape, dtype=like.dtype, device=like.device)
        return mask.bernoulli_(1 - p, generator=generator).div_(1 - p)

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy `(M,)` in nats of outputs `(L, M, B, H)`, targets `(L, B)`."""
        sums = []
        for m, hidden in enumerate(outputs.unbind(dim=1)):
            own = m if self.separate else ...
            logits = F.linear(hidden, self.embedding[own], self.decoder_bias[own])
            sums.append(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        return torch.stack(sums)


def edge_of(node: int, state: int) -> int:
    """The number of the edge into a node from a state before it, among all of a cell."""
    return node * (node - 1) // 2 + state


def _as_it_is(x: Tensor) -> Tensor:
    return x
