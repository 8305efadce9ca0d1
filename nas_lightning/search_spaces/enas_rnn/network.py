"""The language model around a recurrent cell, with weights shared by all cells.

Embedding -> cell unrolled over the text -> the embedding again as decoder (tied, Inan et al. 2017).
Sizes, initial range and regularisation of the published search are in `experiment=enas_ptb`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.errors import require_number, require_one_of, require_whole
from nas_lightning.search_spaces.base import ChildNetwork, ChildScore
from nas_lightning.search_spaces.enas_rnn.recurrence import unroll, wire
from nas_lightning.search_spaces.enas_rnn.space import check_activations

LOGITS_AT_ONCE = 2**24
"""Upper bound on the logits held at once when no gradient is needed: 64 MiB in float32."""


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
        edges = num_nodes * (num_nodes - 1) // 2
        self.embedding = nn.Parameter(torch.zeros(vocabulary_size, hidden_size))
        self.decoder_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.input_weight = nn.Parameter(torch.zeros(hidden_size, 2 * hidden_size))
        self.recurrent_weight = nn.Parameter(torch.zeros(hidden_size, 2 * hidden_size))
        self.edge_weights = nn.Parameter(torch.zeros(edges, hidden_size, 2 * hidden_size))
        if normalisation == "batch":
            self.scale = nn.Parameter(torch.ones(hidden_size))
            self.shift = nn.Parameter(torch.zeros(hidden_size))
            self.register_buffer("running_mean", torch.zeros(hidden_size))
            self.register_buffer("running_variance", torch.ones(hidden_size))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights anew, uniform in plus or minus `init_range`."""
        with torch.no_grad():
            weights = [self.embedding, self.input_weight, self.recurrent_weight, self.edge_weights]
            for weight in weights:
                weight.uniform_(-self.init_range, self.init_range, generator=generator)
            self.decoder_bias.zero_()

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
        embedded = self._embed(inputs, generator)
        dropped = [
            self._dropout(w, self.weight_drop, w.shape, generator)
            for w in (self.recurrent_weight, self.edge_weights)
        ]
        outputs, state = unroll(
            embedded @ self.input_weight,
            state.detach(),
            *dropped,
            wire(architectures, self.activations, self.embedding),
            last_node=self.recurrent_state == "last_node",
            normalise=self._normalise if self.normalisation == "batch" else _unchanged,
            limit=_unchanged if self.max_hidden_norm is None else self._limit,
        )
        outputs = self._dropout(outputs, self.dropout_output, (1, *outputs.shape[1:]), generator)
        return ChildScore(
            loss_sum=self._loss(outputs, targets),
            count=targets.numel(),
            correct=None,
            state=state.detach(),
        )

    def num_parameters(self, architecture: Sequence[int]) -> int:
        """Weights that this one cell uses, decoder and embedding counted once."""
        per_edge = 2 * self.hidden_size**2
        unused = len(self.edge_weights) - (len(architecture) - 1) // 2
        return super().num_parameters(architecture) - unused * per_edge

    def _embed(self, tokens: Tensor, generator: torch.Generator | None) -> Tensor:
        """Embeddings `(L, B, H)` of tokens `(L, B)`, words and units dropped in training."""
        embedded = F.embedding(tokens, self.embedding)
        if self.training and self.dropout_words > 0:
            every_word = embedded.new_ones(len(self.embedding), 1)
            kept = self._dropout(every_word, self.dropout_words, every_word.shape, generator)
            embedded = embedded * F.embedding(tokens, kept)
        return self._dropout(embedded, self.dropout_input, (1, *embedded.shape[1:]), generator)

    def _dropout(
        self, x: Tensor, probability: float, shape: Sequence[int], generator: torch.Generator | None
    ) -> Tensor:
        """Drop entries of `x` by a mask of `shape`, scaled to keep the mean; identity in eval."""
        if not self.training or probability == 0:
            return x
        mask = torch.empty(shape, dtype=x.dtype, device=x.device)
        mask.bernoulli_(1 - probability, generator=generator).div_(1 - probability)
        return x * mask

    def _limit(self, state: Tensor) -> Tensor:
        """Scale hidden states `(M, B, H)` down to `max_hidden_norm` where they are longer."""
        assert self.max_hidden_norm is not None
        norm = state.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return state * (self.max_hidden_norm / norm).clamp_max(1)

    def _normalise(self, x: Tensor, momentum: float = 0.1, epsilon: float = 1e-5) -> Tensor:
        """Batch normalisation of `(M, B, H)`, each cell by its own statistics in training."""
        if self.training:
            variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean.mean(dim=(0, 1)), momentum)
                self.running_variance.lerp_(variance.mean(dim=(0, 1)), momentum)
        else:
            mean, variance = self.running_mean, self.running_variance
        return (x - mean) * torch.rsqrt(variance + epsilon) * self.scale + self.shift

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy `(M,)` in nats of outputs `(L, M, B, H)`, targets `(L, B)`."""
        vocabulary = len(self.embedding)
        per_pass = max(1, LOGITS_AT_ONCE // (targets.numel() * vocabulary))
        sums = []
        for some in outputs.split(per_pass, dim=1):
            logits = F.linear(some, self.embedding, self.decoder_bias)
            expected = targets.unsqueeze(1).expand(-1, some.shape[1], -1)
            losses = F.cross_entropy(
                logits.reshape(-1, vocabulary), expected.reshape(-1), reduction="none"
            )
            sums.append(losses.view(expected.shape).sum(dim=(0, 2)))
        return torch.cat(sums)


def _unchanged(x: Tensor) -> Tensor:
    return x
