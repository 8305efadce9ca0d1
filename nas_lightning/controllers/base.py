"""The contract of a controller: it samples architectures and learns from how they were judged.

Random search, a policy and an evolving population all fit it. Nothing here knows which space is
searched or how architectures are judged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas_lightning.estimators.base import Evaluation, OptimizerFactory
from nas_lightning.search_spaces.base import SearchSpace


@dataclass(frozen=True)
class Rollout:
    """M sampled, or given, architectures and what the controller thinks of them.

    Attributes:
        architectures: The decisions, int64 `(M, T)`.
        log_probs: Log-probability of each decision given those before it, nats, `(M, T)`.
        entropies: Entropy of the distribution that each decision is drawn from, nats, `(M, T)`.
        hidden_states: `(M, T + 1, H)`: index t is the state from which decision t is drawn, index
            T comes from one extra step that is fed the last decision. None without recurrence.
        distributions: Log-probabilities of all options of each decision given those before it,
            nats: T tensors `(M, choices of decision t)`, minus infinity where an option is closed.
            With their gradient, like the other fields.
    """

    architectures: Tensor
    log_probs: Tensor
    entropies: Tensor
    hidden_states: Tensor | None = None
    distributions: tuple[Tensor, ...] = ()


class Controller(nn.Module, ABC):
    """Proposes architectures. Its parameters, if any, are stepped by the search.

    Attributes:
        space: What it proposes from; it may be a growing space's present form.
        min_rollout: How many architectures a step must judge for `learn` to work.
        make_optimizer: Makes the optimizer of its parameters; None where nothing is minimised.
        state_size: Width of its hidden states, H; None without recurrence.
    """

    space: SearchSpace
    min_rollout: int = 1
    make_optimizer: OptimizerFactory | None = None
    state_size: int | None = None

    @property
    @abstractmethod
    def learns(self) -> bool:
        """Whether rewards change what it proposes; if not, the search has no controller steps."""

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw anew all that is random in the controller before it has seen a reward."""

    def enter(self, space: SearchSpace) -> None:
        """Propose architectures of `space` from now on: the same space, grown.

        Its first decisions are those it had. Override this to forget rewards of the smaller one.
        """
        self.space = space

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Rollout:
        """Draw `n` architectures.

        Args:
            n: How many, M.
            generator: A generator on the CPU; the draws are the same on every device.
        """

    @abstractmethod
    def evaluate(self, architectures: Tensor) -> Rollout:
        """The same quantities for given architectures `(M, T)`, as `sample` would give them.

        T may be that of any form of a growing space.
        """

    @abstractmethod
    def learn(self, rollout: Rollout, rewards: Tensor, evaluation: Evaluation) -> Tensor | None:
        """Learn from one judged rollout.

        Args:
            rollout: What `sample` returned, with its gradient.
            rewards: `(M,)`.
            evaluation: All that is known about the M architectures.

        Returns:
            A scalar to be minimised by the search's optimizer, or None.
        """


class TokenReader(Controller):
    """A controller that reads a sequence of tokens: one that starts it, then one a decision.

    `evaluate` feeds it the sequence that sampling would; here any other one can be fed.
    """

    @abstractmethod
    def tokens(self, architectures: Tensor) -> Tensor:
        """The tokens `(M, T)` that sampling feeds after each decision of architectures `(M, T)`."""

    @abstractmethod
    def read(self, tokens: Tensor, decisions: Sequence[int]) -> tuple[Tensor, ...]:
        """Feed tokens, and ask after each for the distribution of a decision.

        Args:
            tokens: Tokens `(M, S)`, fed from the zero state on.
            decisions: Which decision, counted from 0, is asked for after each of the S tokens.

        Returns:
            Log-probabilities, nats: S tensors `(M, choices of that decision)`.
        """
