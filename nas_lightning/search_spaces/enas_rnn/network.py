"""The language model around a recurrent cell, with weights shared by all cells.

Embedding -> cell unrolled over the text -> the embedding again as decoder (tied, Inan et al. 2017).
Sizes, initial range and regularisation of the published search are in `experiment=enas_ptb`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.errors import require_number, require_one_of, require_whole
from nas_lightning.metrics import Metric
from nas_lightning.search_spaces.child import (
    LOSS,
    PERPLEXITY,
    ChildNetwork,
    ChildScore,
    score_all,
)
from nas_lightning.search_spaces.enas_rnn.plain import RecurrentLanguageModel
from nas_lightning.search_spaces.enas_rnn.recurrence import unroll
from nas_lightning.search_spaces.enas_rnn.softmax import linear_cross_entropy
from nas_lightning.search_spaces.enas_rnn.space import check_activations, split
from nas_lightning.search_spaces.enas_rnn.wiring import Wiring, edge_number, wire

ONE_BY_ONE = 2_000
"""Numbers of a node's output `(B, H)` from which on a processor scores cells as fast one by one,
which several processors can share: docs/performance-recurrent.md. With fewer it takes longer to
start an operation than to do it."""


class RecurrentChild(ChildNetwork):
    """A language model for every cell of the space, embedding and hidden state of one size.

    Args:
        num_nodes: Nodes of the largest cell.
        activations: What an activation's number means; the search space's own list.
        vocabulary_size: Tokens in the vocabulary, V.
        hidden_size: Units of the hidden state and of the embedding, H.
        init_range: Weights start uniform in plus or minus this; biases of the decoder at 0.
        dropout_words: Probability of dropping a word's embedding in the whole minibatch.
        dropout_input: Probability of dropping an embedding unit, the same one at all time steps.
        dropout_output: Probability of dropping an output unit, the same one at all time steps.
        weight_drop: Probability of dropping a recurrent weight (Merity et al. 2017), the same at
            all time steps.
        max_hidden_norm: The hidden state that goes to the next step is scaled down to this
            Euclidean norm where it is longer; None for no limit.
        recurrent_state: What the next step receives: the cell's `output`, or the `last_node`'s.
        normalisation: `batch` normalises the output over the minibatch at every step, with running
            statistics, shared by all cells, in evaluation.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    metrics: tuple[Metric, ...] = (LOSS, PERPLEXITY)
    counts = "tokens"
    capturable = True

    running_mean: Tensor
    running_variance: Tensor

    def __init__(
        self,
        *,
        num_nodes: int,
        activations: Sequence[str],
        vocabulary_size: int,
        hidden_size: int,
        init_range: float,
        dropout_words: float,
        dropout_input: float,
        dropout_output: float,
        weight_drop: float,
        max_hidden_norm: float | None,
        recurrent_state: Literal["output", "last_node"],
        normalisation: Literal["none", "batch"],
    ) -> None:
        super().__init__()
        require_whole("num_nodes", num_nodes, at_least=1)
        check_activations(activations)
        require_whole("vocabulary_size", vocabulary_size, at_least=1)
        require_whole("hidden_size", hidden_size, at_least=1)
        require_number("init_range", init_range, above=0)
        require_number("dropout_words", dropout_words, at_least=0, below=1)
        require_number("dropout_input", dropout_input, at_least=0, below=1)
        require_number("dropout_output", dropout_output, at_least=0, below=1)
        require_number("weight_drop", weight_drop, at_least=0, below=1)
        if max_hidden_norm is not None:
            require_number("max_hidden_norm", max_hidden_norm, above=0)
        require_one_of("recurrent_state", recurrent_state, ("output", "last_node"))
        require_one_of("normalisation", normalisation, ("none", "batch"))
        self.activations = tuple(activations)
        self.hidden_size = hidden_size
        self.init_range = init_range
        self.dropout_words = dropout_words
        self.dropout_input = dropout_input
        self.dropout_output = dropout_output
        self.weight_drop = weight_drop
        self.max_hidden_norm = max_hidden_norm
        self.recurrent_state = recurrent_state
        self.normalisation = normalisation
        self.separate = False
        self.vocabulary_size = vocabulary_size
        self._allocate(num_nodes * (num_nodes - 1) // 2)

    def _allocate(self, edges: int, *copies: int) -> None:
        """Make the parameters, with as many edges, and once for each copy."""
        h = self.hidden_size
        self.embedding = nn.Parameter(torch.zeros(*copies, self.vocabulary_size, h))
        self.decoder_bias = nn.Parameter(torch.zeros(*copies, self.vocabulary_size))
        self.input_weight = nn.Parameter(torch.zeros(*copies, h, 2 * h))
        self.recurrent_weight = nn.Parameter(torch.zeros(*copies, h, 2 * h))
        # A parameter each: an edge that is not in use has no gradient, and a step leaves it alone.
        self.edge_weights = nn.ParameterList(torch.zeros(*copies, h, 2 * h) for _ in range(edges))
        if self.normalisation == "batch":
            self.scale = nn.Parameter(torch.ones(*copies, 1, h))
            self.shift = nn.Parameter(torch.zeros(*copies, 1, h))
            self.register_buffer("running_mean", torch.zeros(*copies, 1, h))
            self.register_buffer("running_variance", torch.ones(*copies, 1, h))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights anew, uniform in plus or minus `init_range`; undo normalisation."""
        with torch.no_grad():
            for weight in self._random_weights():
                weight.uniform_(-self.init_range, self.init_range, generator=generator)
            self.decoder_bias.zero_()
            if self.normalisation == "batch":
                self.scale.fill_(1)
                self.shift.zero_()
                self.running_mean.zero_()
                self.running_variance.fill_(1)

    def fresh(self, architectures: Tensor, generators: Sequence[torch.Generator]) -> RecurrentChild:
        """A network whose every parameter has a first dimension M; see the base class.

        Cell m has weights for its own N - 1 edges only.
        """
        child = copy.deepcopy(self)
        child.separate = True
        child._allocate((architectures.shape[1] - 1) // 2, len(architectures))
        with torch.no_grad():
            for m, generator in enumerate(generators):
                for weight in child._random_weights():
                    weight[m].uniform_(-self.init_range, self.init_range, generator=generator)
        return child.to(self.embedding)

    def _random_weights(self) -> list[Tensor]:
        return [self.embedding, self.input_weight, self.recurrent_weight, *self.edge_weights]

    @torch.no_grad()
    def recalibrated(self, architectures: Tensor, batches: Sequence[Batch]) -> RecurrentChild:
        """See the base class: the running averages of training, taken without dropout."""
        if self.normalisation == "none":
            return self
        child = copy.deepcopy(self)
        child.dropout_words = child.dropout_input = child.dropout_output = child.weight_drop = 0
        shape = (len(architectures), 1, self.hidden_size)
        child.running_mean = self.running_mean.new_zeros(shape)
        child.running_variance = self.running_variance.new_ones(shape)
        child.train()
        score_all(child, batches, architectures)
        return child.eval()

    def clip_gradients(self, limit: float) -> None:
        """Scale the gradient down to norm `limit`, that of each cell apart after `fresh`."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        parts = [g.flatten(1) if self.separate else g.flatten().unsqueeze(0) for g in gradients]
        norms = torch.stack([torch.linalg.vector_norm(part, dim=1) for part in parts])
        scale: Tensor = limit / torch.linalg.vector_norm(norms, dim=0)
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
            architectures: int64 `(M, 2 * num_nodes - 1)`.
            state: Hidden states `(M, B, H)`, or None for zeros. Never differentiated through.
            generator: Where dropout masks are drawn from; needed in training mode only.
        """
        inputs, targets = batch.inputs.t(), batch.targets.t()
        if state is None:
            shape = (len(architectures), inputs.shape[1], self.hidden_size)
            state = self.embedding.new_zeros(shape)
        # Dropout masks are the same for all M cells.
        recurrent = self._dropout(
            self.recurrent_weight, self.weight_drop, self.recurrent_weight.shape[-2:], generator
        )
        projected = self._embed(inputs, generator) @ self.input_weight
        wiring = wire(  # under autocast of a smaller type
            architectures, self.activations, projected, separate=self.separate
        )
        outputs, state = unroll(
            projected,
            state.detach(),
            recurrent,
            self._edges(wiring, generator),
            wiring,
            last_node=self.recurrent_state == "last_node",
            normalise=self._normalise if self.normalisation == "batch" else None,
            max_hidden_norm=self.max_hidden_norm,
        )
        dropped = (1, 1, *outputs.shape[2:])
        outputs = self._dropout(outputs, self.dropout_output, dropped, generator)
        return ChildScore(
            loss_sum=self._loss(outputs, targets),
            count=targets.numel(),
            correct=None,
            state=state.detach(),
        )

    def at_once(self, batch: Batch) -> int | None:
        """See the base class: one where a node's operation is large for a processor."""
        large = len(batch.inputs) * self.hidden_size >= ONE_BY_ONE
        return 1 if large and batch.inputs.is_cpu else None

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Weights that this one cell uses, the tied embedding counted once."""
        h, v = self.hidden_size, self.vocabulary_size
        multiplications = 2 + (len(architecture) - 1) // 2
        norms = 2 * h if self.normalisation == "batch" else 0
        return {"parameters": v * (h + 1) + multiplications * 2 * h**2 + norms}

    @torch.no_grad()
    def network(self, architecture: Sequence[int], place: int = 0) -> nn.Module:
        """A `RecurrentLanguageModel`, which stands alone; see the base class."""
        (_, *reads), chosen = split(architecture)
        with torch.random.fork_rng(devices=[]):  # what is drawn is not kept
            model = RecurrentLanguageModel(
                activations=[self.activations[number] for number in chosen],
                reads=reads,
                vocabulary_size=self.vocabulary_size,
                hidden_size=self.hidden_size,
                state_of_last_node=self.recurrent_state == "last_node",
                max_state_norm=self.max_hidden_norm,
                batch_norm=self.normalisation == "batch",
            )
        own = place if self.separate else ...
        cell, edges = model.cell, [edge[own] for edge in self.edge_weights]
        if not self.separate:
            edges = [edges[edge_number(node, read)] for node, read in enumerate(reads, start=1)]
        model.embedding.weight.copy_(self.embedding[own])
        model.decoder.bias.copy_(self.decoder_bias[own])
        weights = [self.input_weight[own], self.recurrent_weight[own], *edges]
        for linear, weight in zip(
            [cell.from_input, cell.from_state, *cell.edges], weights, strict=True
        ):
            linear.weight.copy_(weight.t())
        if isinstance(cell.norm, nn.BatchNorm1d):
            cell.norm.weight.copy_(self.scale[own].flatten())
            cell.norm.bias.copy_(self.shift[own].flatten())
            recalibrated = self.running_mean.dim() == 3
            mean, variance = self.running_mean, self.running_variance
            cell.norm.running_mean = (mean[place] if recalibrated else mean).flatten().clone()
            cell.norm.running_var = (
                (variance[place] if recalibrated else variance).flatten().clone()
            )
        return model.to(self.embedding).eval()

    def _embed(self, tokens: Tensor, generator: torch.Generator | None) -> Tensor:
        """Embeddings `(L, 1 or M, B, H)` of tokens `(L, B)`; drops words and units in training."""
        if self.separate:
            embedded = self.embedding[:, tokens].transpose(0, 1)
        else:
            embedded = F.embedding(tokens, self.embedding).unsqueeze(1)
        if self.training and self.dropout_words > 0:
            every_word = embedded.new_ones(self.vocabulary_size, 1)
            kept = self._dropout(every_word, self.dropout_words, every_word.shape, generator)
            embedded = embedded * F.embedding(tokens, kept).unsqueeze(1)
        dropped = (1, 1, *embedded.shape[2:])
        return self._dropout(embedded, self.dropout_input, dropped, generator)

    def _edges(self, wiring: Wiring, generator: torch.Generator | None) -> list[Tensor]:
        """Weights of the edges in use; those into one node share one dropout mask."""
        pool = list(self.edge_weights)
        if self.separate:
            by_cell = zip(*(edge.unbind() for edge in pool), strict=True)
            pool = [edge for cell in by_cell for edge in cell]
        edges = [pool[number] for number in wiring.edges]
        if self.training and self.weight_drop > 0 and edges:
            every_node = edges[0].new_ones(max(wiring.into), *edges[0].shape)
            kept = self._dropout(every_node, self.weight_drop, every_node.shape, generator)
            edges = [edge * kept[into - 1] for edge, into in zip(edges, wiring.into, strict=True)]
        return edges

    def _dropout(
        self, x: Tensor, probability: float, shape: Sequence[int], generator: torch.Generator | None
    ) -> Tensor:
        """Drop entries of `x` by a mask of `shape`, scaled to keep the mean; identity in eval."""
        if not self.training or probability == 0:
            return x
        mask = torch.empty(shape, dtype=x.dtype, device=x.device)
        mask.bernoulli_(1 - probability, generator=generator).div_(1 - probability)
        return x * mask

    def _normalise(self, x: Tensor, momentum: float = 0.1, epsilon: float = 1e-5) -> Tensor:
        """Batch normalisation of `(M, B, H)`, each cell by its own statistics in training."""
        x = x.to(self.scale)
        if self.training:
            variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
            for running, new in ((self.running_mean, mean), (self.running_variance, variance)):
                own = running.dim() == new.dim()  # each cell has statistics of its own
                running.lerp_((new if own else new.mean(dim=0)).detach(), momentum)
        else:
            mean, variance = self.running_mean, self.running_variance
        return (x - mean) * torch.rsqrt(variance + epsilon) * self.scale + self.shift

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy `(M,)` in nats of outputs `(L, M, B, H)`, targets `(L, B)`."""
        expected = targets.reshape(-1)
        sums = []
        for m, hidden in enumerate(outputs.unbind(dim=1)):
            own = m if self.separate else ...
            weight, bias = self.embedding[own], self.decoder_bias[own]
            sums.append(linear_cross_entropy(hidden.flatten(0, 1), weight, bias, expected))
        return torch.stack(sums)
