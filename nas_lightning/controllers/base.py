"""The contract of a controller: ask for architectures, tell how they were judged.

Random search, a policy and an evolving population all fit it. Nothing here knows which space is
searched or how architectures are judged. A `Policy` adds likelihoods, which entropy, KL, probes and
memories ask for (`as_policy`) and do without where there are none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from nas_lightning.errors import NotAllowedError, Remedy
from nas_lightning.estimators.base import Evaluation, OptimizerFactory
from nas_lightning.search_spaces.base import SearchSpace

if TYPE_CHECKING:
    from nas_lightning.controllers.relaxation import Relaxation

Origin = str | list[int]

UNIFORM = "uniform"
"""The origin of an architecture that was drawn, and mutated from none."""

AGAIN = "again"
"""Of a member of the population that is judged once more."""


GIVEN = "given"
"""Of one that the controller was given, and told before it proposed any of its own."""


@dataclass(frozen=True)
class Proposal:
    """M architectures that a controller asks to have judged.

    Attributes:
        architectures: The decisions, int64 `(M, T)`.
        origins: Where each is from: `GIVEN`; or of a controller that keeps a population the
            decisions of its parent, or a word for one that has none; see `UNIFORM` and `AGAIN`.
            None where there is nothing to say.
    """

    architectures: Tensor
    origins: Sequence[Origin | None] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Rollout(Proposal):
    """M sampled, or given, architectures and what a policy thinks of them.

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

    log_probs: Tensor
    entropies: Tensor
    hidden_states: Tensor | None = None
    distributions: tuple[Tensor, ...] = ()


class OnProcessor(nn.Module):
    """A module that stays on the processor when what it is a part of is moved to a GPU.

    Decisions are control flow: which operations a network consists of is read on the host, at every
    step. Read from a GPU, each would wait until all that was launched before has ended; and its
    operations on a few small numbers would take less time than their launches.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(  # type: ignore[no-untyped-call]
            lambda tensor: fn(tensor).to(tensor.device), recurse
        )
        return self


class Controller(OnProcessor, ABC):
    """Proposes architectures, and may learn from how they were judged.

    All that it has learned is in its parameters, its buffers (tensors of fixed shape) or its extra
    state (`get_extra_state`, plain types), and so in every checkpoint.

    Attributes:
        space: What it proposes from; it may be a growing space's present form.
        min_proposals: How many architectures a step must judge for `tell` to work.
        least_budget: How many architectures must be judged before it proposes anything but uniform
            ones.
        begins_with: The settings that make it so many.
        compares: Whether it compares what it is told at different steps. Then all rewards of an
            epoch come from one minibatch, and `renew` is called before those of the next.
        make_optimizer: Makes the optimizer of its parameters; None where nothing is minimised.
        grows_the_space: Whether it decides itself when it enters a larger form of a growing space;
            else it is told to, by the number of architectures judged.
    """

    space: SearchSpace
    min_proposals: int = 1
    least_budget: int = 0
    begins_with: tuple[str, ...] = ()
    compares: bool = False
    grows_the_space: bool = False
    make_optimizer: OptimizerFactory | None = None

    @property
    @abstractmethod
    def learns(self) -> bool:
        """Whether `tell` changes what it proposes; if not, the search has no controller steps."""

    @property
    def as_policy(self) -> Policy | None:
        """The distribution that it draws from, for who needs likelihoods; None without one."""
        return None

    @property
    def as_relaxation(self) -> Relaxation | None:
        """The weights by which it mixes options, for who takes relaxed steps; None without any."""
        return None

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw anew all that is random in the controller before it has been told anything."""

    def require_enough(self, name: str, value: int) -> None:
        """Raise ValueError if a step of so many architectures is too small to learn from.

        Args:
            name: What the number is called, `architectures_per_step`.
            value: The number.
        """
        if value < self.min_proposals:
            why = (
                "the baseline compares architectures with each other, so a step needs >= "
                f"{self.min_proposals}"
            )
            raise NotAllowedError(name, value, why, Remedy.ANOTHER_BASELINE)

    def enter(self, space: SearchSpace) -> None:
        """Propose architectures of `space` from now on: the same space, grown.

        Its first decisions are those it had. Override this to forget rewards of the smaller one.
        """
        self.space = space

    @abstractmethod
    def ask(self, n: int, generator: torch.Generator) -> Proposal:
        """Propose `n` architectures, which may never be judged: nothing changes in the controller.

        Args:
            n: How many, M.
            generator: A generator on the CPU; the draws are the same on every device.
        """

    def candidates(self, n: int, generator: torch.Generator) -> Proposal:
        """What it would derive: `n` architectures, or fewer. Like `ask` it changes nothing.

        Who remembers good architectures overrides this to name them.
        """
        return self.ask(n, generator)

    def numbers(self) -> dict[str, float]:
        """What it knows of itself by now, recorded at every controller step: name -> number."""
        return {}

    def renew(self) -> None:
        """From now on rewards come from other weights and data than those told so far.

        Under shared weights it is called at the first controller step of an epoch. Who remembers
        rewards overrides this, and has what is worth it judged again.
        """

    @abstractmethod
    def tell(
        self,
        proposal: Proposal,
        rewards: Tensor,
        evaluation: Evaluation,
        generator: torch.Generator,
    ) -> Tensor | None:
        """Learn from one judged proposal.

        Args:
            proposal: What `ask` returned.
            rewards: `(M,)`.
            evaluation: All that is known about the M architectures.
            generator: A generator on the CPU, for all that is drawn.

        Returns:
            A scalar to be minimised by the search's optimizer, or None.
        """


class Policy(Controller):
    """A controller that knows the probability of every architecture. By itself it never learns.

    Attributes:
        state_size: Width of its hidden states, H; None without recurrence.
    """

    state_size: int | None = None

    @property
    def learns(self) -> bool:
        """Not by itself: a learner trains it (`reinforce.py`)."""
        return False

    @property
    def as_policy(self) -> Policy:
        """Itself."""
        return self

    @abstractmethod
    def ask(self, n: int, generator: torch.Generator) -> Rollout:
        """Draw `n` architectures; see the base class."""

    @abstractmethod
    def evaluate(self, architectures: Tensor) -> Rollout:
        """The same quantities for given architectures `(M, T)`, as `ask` would give them.

        T may be that of any form of a growing space.
        """

    def final_states(self, architectures: Tensor) -> Tensor | None:
        """What is left when the last decision is fed, `(M, H)`: the last of `hidden_states`."""
        states = self.evaluate(architectures).hidden_states
        return None if states is None else states[:, -1]

    def tell(
        self,
        proposal: Proposal,
        rewards: Tensor,
        evaluation: Evaluation,
        generator: torch.Generator,
    ) -> Tensor | None:
        """Nothing is learned."""
        return None


class TokenReader(Policy):
    """A policy that reads a sequence of tokens: one that starts it, then one a decision.

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
