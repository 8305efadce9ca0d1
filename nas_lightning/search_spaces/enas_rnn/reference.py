"""What a retrained cell is measured against: an LSTM of as many parameters as the cell uses.

It is the cell's language model with another recurrence (Hochreiter & Schmidhuber 1997): the same
tied embedding, dropouts and loss, so that recurrence is all in which the two differ.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.child import ChildNetwork, ChildScore
from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild


class LSTMReference(RecurrentChild):
    """An LSTM language model as large as a cell's. It has weights of use only after `fresh`.

    All cells of one number of nodes have equally many parameters, so one size serves M of them.
    Neither `max_hidden_norm` nor normalisation apply: an LSTM's state is bounded by its gates.

    Args:
        child: The cells' language model, whose vocabulary, initial range, dropouts and costs count.
    """

    shares_weights = False
    reset_parameters = ChildNetwork.reset_parameters
    network = ChildNetwork.network

    def __init__(self, *, child: RecurrentChild) -> None:
        super().__init__(
            num_nodes=1,
            activations=child.activations,
            vocabulary_size=child.vocabulary_size,
            hidden_size=child.hidden_size,
            init_range=child.init_range,
            dropout_words=child.dropout_words,
            dropout_input=child.dropout_input,
            dropout_output=child.dropout_output,
            weight_drop=child.weight_drop,
            max_hidden_norm=child.max_hidden_norm,
            recurrent_state=child.recurrent_state,
            normalisation=child.normalisation,
        )
        self.metrics = child.metrics
        self._child = (child,)  # in a tuple, so that its weights are not this network's

    def measure(self, score: ChildScore) -> dict[str, Tensor]:
        """What the cells' network makes of a score."""
        return self._child[0].measure(score)

    def units(self, architecture: Sequence[int]) -> int:
        """The hidden size whose parameters come closest to those that the cell uses."""
        target = super().costs(architecture)["parameters"]
        # An LSTM of the cell's own hidden size times the cell's matrices is larger than the cell.
        sizes = range(1, self.hidden_size * (len(architecture) + 3))
        above = bisect.bisect_left(sizes, target, key=self._parameters_of)
        return min(
            sizes[max(above - 1, 0) : above + 1], key=lambda h: abs(self._parameters_of(h) - target)
        )

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Weights of the LSTM that stands beside this cell, the tied embedding counted once."""
        return {"parameters": self._parameters_of(self.units(architecture))}

    def describe(self, architecture: Sequence[int]) -> str:
        """What stands beside this cell, in words."""
        return f"LSTM of {self.units(architecture)} units"

    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        """Score one minibatch of text under M LSTMs; see `ChildNetwork.score`.

        Args:
            batch: Token ids and their successors, `(B, L)` each.
            architectures: int64 `(M, 2 * num_nodes - 1)`, those that were given to `fresh`.
            state: Hidden and cell states `(M, 2, B, H)`, or None for zeros. Never differentiated
                through.
            generator: Where dropout masks are drawn from; needed in training mode only.
        """
        embedded = self._embed(batch.inputs.t(), generator)
        weight = self.recurrent_weight
        recurrent = self._dropout(weight, self.weight_drop, weight.shape[-2:], generator)
        if state is None:
            state = embedded.new_zeros(len(architectures), 2, *embedded.shape[2:])
        outputs, states = [], []
        for m, (hidden, cell) in enumerate(state.detach()):
            bias = self.bias[m]
            output, *last = torch.lstm(
                embedded[:, m],
                (hidden.unsqueeze(0), cell.unsqueeze(0)),
                (self.input_weight[m], recurrent[m], bias, torch.zeros_like(bias)),
                has_biases=True,
                num_layers=1,
                dropout=0.0,
                train=self.training,
                bidirectional=False,
                batch_first=False,
            )
            outputs.append(output)
            states.append(torch.cat(last))
        stacked = torch.stack(outputs, dim=1)
        dropped = (1, 1, *stacked.shape[2:])
        stacked = self._dropout(stacked, self.dropout_output, dropped, generator)
        return ChildScore(
            loss_sum=self._loss(stacked, batch.targets.t()),
            count=batch.targets.numel(),
            correct=None,
            state=torch.stack(states).detach(),
        )

    def _allocate(self, edges: int, *copies: int) -> None:
        """Make the parameters beside a cell of so many edges; gates in the order of `nn.LSTM`."""
        h, v = self.units([0] * (2 * edges + 1)), self.vocabulary_size
        self.embedding = nn.Parameter(torch.zeros(*copies, v, h))
        self.decoder_bias = nn.Parameter(torch.zeros(*copies, v))
        self.input_weight = nn.Parameter(torch.zeros(*copies, 4 * h, h))
        self.recurrent_weight = nn.Parameter(torch.zeros(*copies, 4 * h, h))
        # nn.LSTM has two that are only ever added.
        self.bias = nn.Parameter(torch.zeros(*copies, 4 * h))

    def _random_weights(self) -> list[Tensor]:
        return [self.embedding, self.input_weight, self.recurrent_weight]

    def _parameters_of(self, units: int) -> int:
        return self.vocabulary_size * (units + 1) + 8 * units**2 + 4 * units
