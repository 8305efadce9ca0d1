"""A proposer of one's own: a function that is given what was judged, and answers with more.

Another library, a script, a language model: docs/how-to-own-proposer.md. An answer is a list of
actions, or the architecture in words: its options, with `|` between them. What is no architecture
costs a proposal all the same: the best known one is judged again in its place, which finds nothing
new, so that all proposers are compared at equal budgets.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nas_lightning.controllers.base import Proposal
from nas_lightning.controllers.remembering import Remembering
from nas_lightning.errors import Remedy, UserError, require_callable, require_number
from nas_lightning.search_spaces.base import SearchSpace


@dataclass(frozen=True)
class Judged:
    """One architecture that was judged.

    Attributes:
        actions: Its decisions.
        word: The same in words: its options, in order, with `|` between them.
        reward: The greater the better; NaN where it has come to nothing.
    """

    actions: list[int]
    word: str
    reward: float


@dataclass(frozen=True)
class Answer(Proposal):
    """What was made of the answers.

    Attributes:
        invalid: Which ones were no architectures, booleans `(M,)`.
    """

    invalid: Tensor


class Proposer(Remembering):
    """Asks a function: `propose(space, judged, n, seed)` gives `n` answers.

    Args:
        space: What is searched.
        propose: The function, `my_module.my_function`.
        seconds: How long it may take for an answer.
        again: How many of the best are judged again where values no longer count.
        warm_start: Whole architectures that are judged and told before any of its own; or None.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        propose: str | Callable[..., Any],
        seconds: float,
        again: int,
        warm_start: Sequence[Sequence[int]] | None,
    ) -> None:
        super().__init__(space=space, again=again, columns=("invalid",), warm_start=warm_start)
        self.function = require_callable("propose", propose)
        require_number("seconds", seconds, above=0)
        self.seconds = seconds
        self._said = False

    def ask(self, n: int, generator: torch.Generator) -> Answer:
        """What has to be judged again, then the answers; see the base class."""
        known = self.waiting.architectures[:n, : len(self.space.decisions)]
        rest = n - len(known)
        asked, bad = self._answers(rest, generator) if rest else (known[:0], [])
        invalid = torch.tensor([False] * len(known) + bad)
        architectures = torch.cat([known, asked]).to(self.moment.device)
        return Answer(architectures, invalid, origins=self.origins(n))

    def candidates(self, n: int, generator: torch.Generator) -> Proposal:
        """The best that it knows, which costs no answer; uniform ones before anything is known."""
        best = self.best(n)
        return Proposal(best if len(best) else self.space.sample(n, generator).to(best))

    def propose(self, n: int, generator: torch.Generator) -> Tensor:
        """The answers alone."""
        return self._answers(n, generator)[0]

    def labels(self, proposal: Proposal, first: int) -> dict[str, Tensor]:
        """Which answers were no architectures."""
        none = torch.zeros(len(proposal.architectures), dtype=torch.bool)
        return {"invalid": getattr(proposal, "invalid", none)[first:]}

    def numbers(self) -> dict[str, float]:
        """Shares of all answers that were no architectures, and that were known already."""
        if not len(self.told):
            return {}
        invalid = float(self.told["invalid"].mean())
        distinct = len(self.told.architectures.unique(dim=0))
        return {
            "proposer/invalid": invalid,
            "proposer/repeated": max(0.0, 1 - distinct / len(self.told) - invalid),
        }

    def _answers(self, n: int, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """`n` architectures, and which of them stand for what was none."""
        seed = int(torch.randint(2**31, (), generator=generator))
        answers = self._called(n, seed)
        instead = self.best(1).cpu()
        if len(instead) == 0:
            instead = self.space.sample(1, generator)
        rows, bad = [], []
        for answer in (*answers[:n], *[None] * (n - len(answers))):
            try:
                rows.append(parsed(self.space, answer))
                bad.append(False)
            except ValueError as error:
                self._say(error)
                rows.append(instead[0].tolist())
                bad.append(True)
        return torch.tensor(rows), bad

    def _called(self, n: int, seed: int) -> Sequence[object]:
        """What the function answers.

        Raises:
            UserError: If it takes too long, fails, or does not answer with a list.
        """
        judged = []
        for row, reward in zip(self.told.architectures.tolist(), self.told["value"], strict=True):
            actions = [action for action in row if action >= 0]
            judged.append(Judged(actions, in_words(self.space, actions), float(reward)))
        found: list[object] = []
        name = f"controller.propose={getattr(self.function, '__name__', self.function)}"

        def call() -> None:
            try:
                found.append(self.function(self.space, judged, n, seed))
            except Exception as error:
                found.append(error)

        thread = threading.Thread(target=call, daemon=True)  # an answer that never comes is left
        thread.start()
        thread.join(self.seconds)
        if not found:
            raise UserError(
                f"{name}: no answer within {self.seconds:g} seconds", Remedy.MORE_SECONDS
            )
        answers = found[0]
        if isinstance(answers, Exception):
            said = f"{type(answers).__name__}: {answers}"
            raise UserError(f"{name}: {said}") from answers
        if not isinstance(answers, (list, tuple)):
            kind = type(answers).__name__
            raise UserError(f"{name}: answers with {kind}; must be a list of {n} architectures")
        return answers

    def _say(self, error: ValueError) -> None:
        if not self._said:
            self._said = True
            print(
                f"controller.propose: an answer is no architecture, and counts as a proposal: "
                f"{error}",
                file=sys.stderr,
            )


def in_words(space: SearchSpace, actions: Sequence[int]) -> str:
    """An architecture as `parsed` reads it."""
    return "|".join(map(str, space.describe(actions).values()))


def parsed(space: SearchSpace, answer: object) -> list[int]:
    """The actions that an answer stands for.

    Args:
        space: Of which it must be an architecture.
        answer: A list of actions, or its options in words, in order, with `|` between them.

    Raises:
        ValueError: If it is no architecture of the space.
    """
    if isinstance(answer, str):
        words = [word.strip() for word in answer.strip().strip("|").split("|")]
        decisions = space.decisions
        if len(words) != len(decisions):
            raise ValueError(
                f"{answer[:60]!r} has {len(words)} words, and there are {len(decisions)} decisions"
            )
        actions: list[int] = []
        for decision, word in zip(decisions, words, strict=True):
            options = [str(choice) for choice in decision.choices]
            if word not in options:
                raise ValueError(f"{decision.name}={word[:30]!r}: must be {' or '.join(options)}")
            actions.append(options.index(word))
        answer = actions
    if isinstance(answer, tuple):
        answer = list(answer)
    space.check(answer)
    assert isinstance(answer, list)
    if len(answer) != len(space.decisions):
        raise ValueError(f"{len(answer)} actions: there are {len(space.decisions)} decisions")
    return answer


def uniform_words(space: SearchSpace, judged: Sequence[Judged], n: int, seed: int) -> list[str]:
    """The proposer of `controller=proposer` until another one is given: uniform, in words."""
    drawn = space.sample(n, torch.Generator().manual_seed(seed)).tolist()
    return [in_words(space, actions) for actions in drawn]
