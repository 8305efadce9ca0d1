"""The recurrent policy of Zoph & Le 2017 and ENAS.

At decision t an LSTM is fed the previous decision, and a linear head on its state gives the
logits of the distribution to draw from (`policy.py`). h and c are zero before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nas_lightning.controllers.base import TokenReader
from nas_lightning.controllers.policy import SequentialPolicy, State
from nas_lightning.errors import require_one_of, require_whole
from nas_lightning.search_spaces.base import SearchSpace


class LSTMPolicy(SequentialPolicy, TokenReader):
    """An autoregressive policy over the decisions of a space.

    Args:
        space: What is searched; parameters are allocated for its largest form.
        hidden_size: Units of each LSTM layer, H.
        num_layers: LSTM layers.
        init_range: All parameters start uniform in plus or minus this.
        heads: One linear head `per_decision`, or one `per_kind` of decision.
        temperature: Divides the logits; None for 1.
        tanh_constant: Squashes the logits into plus or minus this; None for no squashing.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        hidden_size: int,
        num_layers: int,
        init_range: float,
        heads: Literal["per_decision", "per_kind"],
        temperature: float | None,
        tanh_constant: float | None,
    ) -> None:
        super().__init__(
            space=space,
            init_range=init_range,
            temperature=temperature,
            tanh_constant=tanh_constant,
        )
        require_whole("hidden_size", hidden_size, at_least=1)
        require_whole("num_layers", num_layers, at_least=1)
        require_one_of("heads", heads, ("per_decision", "per_kind"))

        decisions = space.largest.decisions
        self.state_size = hidden_size
        widest: dict[str, int] = {}
        for decision in decisions:
            widest[decision.kind] = max(widest.get(decision.kind, 0), len(decision.choices))
        # One embedding for all decisions: row 0 starts a sequence, then a row an option of a kind.
        offsets, rows = {}, 1
        for kind, choices in widest.items():
            offsets[kind], rows = rows, rows + choices
        self._offsets = [offsets[decision.kind] for decision in decisions]
        self.embedding = nn.Embedding(rows, hidden_size)
        self.cells = nn.ModuleList(nn.LSTMCell(hidden_size, hidden_size) for _ in range(num_layers))
        if heads == "per_kind":
            kinds = list(widest)
            self.heads = nn.ModuleList(nn.Linear(hidden_size, widest[kind]) for kind in kinds)
            self._heads = [kinds.index(decision.kind) for decision in decisions]
        else:
            sizes = [len(decision.choices) for decision in decisions]
            self.heads = nn.ModuleList(nn.Linear(hidden_size, size) for size in sizes)
            self._heads = list(range(len(decisions)))

    def tokens(self, architectures: Tensor) -> Tensor:
        """Rows of the embedding; row 0, which starts a sequence, is not among them."""
        offsets = architectures.new_tensor(self._offsets[: architectures.shape[1]])
        return architectures + offsets

    def read(self, tokens: Tensor, decisions: Sequence[int]) -> tuple[Tensor, ...]:
        """See the base class; no option is closed."""
        state, found = self._zero(len(tokens)), []
        for token, t in zip(tokens.unbind(dim=1), decisions, strict=True):
            state = self._step(token, state)
            choices = self.space.largest.num_choices[t]
            found.append(self._log_distribution(t, choices, state, None))
        return tuple(found)

    def _zero(self, n: int) -> State:
        weight = self.embedding.weight
        zeros = weight.new_zeros(n, weight.shape[1])
        return [(zeros, zeros)] * len(self.cells)

    def _start(self, n: int) -> State:
        token = torch.zeros(n, dtype=torch.int64, device=self.embedding.weight.device)
        return self._step(token, self._zero(n))

    def _logits(self, t: int, state: State) -> Tensor:
        logits: Tensor = self.heads[self._heads[t]](state[-1][0])
        return logits

    def _advance(self, t: int, action: Tensor, state: State) -> State:
        return self._step(self._offsets[t] + action, state)

    def _step(self, token: Tensor, state: State) -> State:
        """Feed tokens `(M,)` through all layers."""
        x = self.embedding(token)
        stepped = []
        for cell, before in zip(self.cells, state, strict=True):
            stepped.append(cell(x, before))
            x = stepped[-1][0]
        return stepped
