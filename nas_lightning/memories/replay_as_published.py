"""The regulariser of Adam & Lorraine 2019 with the known faults of its published code.

Each fault has a switch. With all of them off this is `Replay`, up to closed options, which the
published space has not. Two further properties are no faults of the code but of the idea, and
`Replay` shares them: nothing is ever recovered *from* the final state, and predicting the next of
nearly independent decisions needs no memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_lightning.controllers.base import Controller, Policy, TokenReader
from nas_lightning.errors import Remedy, UnfitError, require_bool
from nas_lightning.memories.replay import Replay
from nas_lightning.search_spaces.base import SearchSpace


class ReplayAsPublished(Replay):
    """Replay with faults.

    Args:
        space: See `Replay`.
        controller: One that is fed tokens.
        max_epochs: See `Replay`.
        store_from: See `Replay`.
        store_per_epoch: See `Replay`.
        capacity: See `Replay`.
        replace_per_epoch: See `Replay`.
        recall_from: See `Replay`.
        batch_size: See `Replay`.
        weight: See `Replay`.
        softmax_twice: The cross-entropy takes probabilities for logits, so that its softmax is
            applied to a softmax: it cannot fall below log(1 + (n - 1) / e), n options.
        other_offset: Decisions of every kind but the first are embedded by the rows of the first
            kind, where sampling uses rows of their own. In a recurrent cell: the previous nodes.
        shifted: The sequence lacks its start: the first decision is fed to the zero state, so that
            each is predicted from a state one step younger than in sampling, and the first not at
            all.
        overwrite_last: New architectures always take the last places of the full buffer; the others
            stay for ever.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        controller: Controller,
        max_epochs: int,
        store_from: int,
        store_per_epoch: int,
        capacity: int,
        replace_per_epoch: int,
        recall_from: int,
        batch_size: int,
        weight: float,
        softmax_twice: bool,
        other_offset: bool,
        shifted: bool,
        overwrite_last: bool,
    ) -> None:
        super().__init__(
            space=space,
            controller=controller,
            max_epochs=max_epochs,
            store_from=store_from,
            store_per_epoch=store_per_epoch,
            capacity=capacity,
            replace_per_epoch=replace_per_epoch,
            recall_from=recall_from,
            batch_size=batch_size,
            weight=weight,
        )
        require_bool("softmax_twice", softmax_twice)
        require_bool("other_offset", other_offset)
        require_bool("shifted", shifted)
        require_bool("overwrite_last", overwrite_last)
        if not isinstance(controller.as_policy, TokenReader):
            raise UnfitError("needs a controller that is fed its decisions", Remedy.FED_DECISIONS)
        if shifted and len(space.decisions) < 2:
            raise ValueError("shifted=True is not allowed: the space has a single decision")
        self.softmax_twice = softmax_twice
        self.other_offset = other_offset
        self.shifted = shifted
        self.overwrite_last = overwrite_last

    def slots(self, n: int, generator: torch.Generator) -> Tensor:
        """The last ones, or random ones without the fault."""
        if self.overwrite_last:
            return torch.arange(len(self.buffer) - n, len(self.buffer))
        return super().slots(n, generator)

    def cross_entropies(self, policy: Policy, architectures: Tensor) -> Tensor:
        """Of each decision that is predicted: `(M, T)`, or `(M, T - 1)` if `shifted`."""
        assert isinstance(policy, TokenReader)
        tokens = policy.tokens(architectures)
        if self.other_offset:
            tokens = architectures + (tokens - architectures)[:, :1]
        decisions = range(architectures.shape[1])
        if self.shifted:
            decisions = decisions[1:]
        else:
            start = torch.zeros_like(tokens[:, :1])
            tokens = torch.cat([start, tokens], dim=1)
        found = policy.read(tokens[:, :-1], decisions)
        terms = []
        for t, log_p in zip(decisions, found, strict=True):
            logits = log_p.exp() if self.softmax_twice else log_p
            terms.append(F.cross_entropy(logits, architectures[:, t], reduction="none"))
        return torch.stack(terms, dim=1)
