"""What policies share that make one decision after the other.

A subclass says what the logits of a decision are. Here they become a distribution,
p_t = softmax(c tanh(logits / temperature)) (Bello et al. 2017 for temperature and tanh constant),
from which a decision is drawn, or in which a given one is looked up.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_lightning.controllers.base import Policy, Rollout
from nas_lightning.errors import require_number
from nas_lightning.search_spaces.base import SearchSpace

State = list[tuple[Tensor, Tensor]]
"""What a policy carries from one decision to the next: of every layer h and c, `(M, H)`."""


class SequentialPolicy(Policy):
    """A distribution for every decision, given those before it.

    Args:
        space: What is searched; parameters are allocated for its largest form.
        init_range: All parameters start uniform in plus or minus this.
        temperature: Divides the logits; None for 1.
        tanh_constant: Squashes the logits into plus or minus this; None for no squashing.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        init_range: float,
        temperature: float | None,
        tanh_constant: float | None,
    ) -> None:
        super().__init__()
        require_number("init_range", init_range, above=0)
        if temperature is not None:
            require_number("temperature", temperature, above=0)
        if tanh_constant is not None:
            require_number("tanh_constant", tanh_constant, above=0)
        self.space = space
        self.init_range = init_range
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        self._allocate()

    def _allocate(self) -> None:
        """Make the parameters, for `space.largest`; who has arguments of its own has none here."""

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all parameters anew, uniform in plus or minus `init_range`."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-self.init_range, self.init_range, generator=generator)

    def ask(self, n: int, generator: torch.Generator) -> Rollout:  # noqa: D102
        widest = max(self.space.num_choices)
        # Drawn at once and on the CPU: one transfer, and the same architectures on every device.
        noise = torch.empty(len(self.space.decisions), n, widest)
        noise.exponential_(generator=generator)
        return self._unroll(n, len(noise), noise=noise.to(self._device))

    def evaluate(self, architectures: Tensor) -> Rollout:  # noqa: D102
        return self._unroll(*architectures.shape, given=architectures.to(self._device))

    def final_states(self, architectures: Tensor) -> Tensor | None:
        """See the base class; without the distributions it takes half the time."""
        state = self._start(len(architectures))
        for t, action in enumerate(architectures.to(self._device).unbind(dim=1)):
            state = self._advance(t, action, state)
        return state[-1][0] if state else None

    @abstractmethod
    def _start(self, n: int) -> State:
        """The state of `n` architectures from which their first decision is made."""

    @abstractmethod
    def _logits(self, t: int, state: State) -> Tensor:
        """Logits of decision t, `(M, choices)`, or `(1, choices)` if all architectures share them.

        They may be wider than the decision has options.
        """

    @abstractmethod
    def _advance(self, t: int, action: Tensor, state: State) -> State:
        """The state after decision t was made: `action` `(M,)`."""

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _unroll(
        self, n: int, decisions: int, *, noise: Tensor | None = None, given: Tensor | None = None
    ) -> Rollout:
        """Make, or retrace, the decisions of `n` architectures.

        Sampling and evaluating share this one path, so that their log-probabilities cannot differ.

        Args:
            n: M.
            decisions: T.
            noise: Exponential variates `(T, M, widest)`: argmax p / e is a draw from p.
            given: The decisions to retrace, `(M, T)`, instead of drawing.
        """
        actions = torch.empty((n, 0), dtype=torch.int64, device=self._device)
        state = self._start(n)
        states, distributions, log_probs, entropies = [state], [], [], []
        for t, choices in enumerate(self.space.largest.num_choices[:decisions]):
            log_p = self._log_distribution(t, choices, state, actions)
            if given is not None:
                action = given[:, t]
            else:
                assert noise is not None
                action = (log_p.detach().exp() / noise[t, :, :choices]).argmax(dim=1)
            distributions.append(log_p)
            log_probs.append(log_p.gather(1, action.unsqueeze(1)).squeeze(1))
            # p log p by hand: the gradient of torch.special.entr is NaN where p is closed or rounds
            # to 0.
            finite = log_p.masked_fill(torch.isneginf(log_p), 0.0)
            entropies.append(-(log_p.exp() * finite).sum(dim=1))
            actions = torch.cat([actions, action.unsqueeze(1)], dim=1)
            state = self._advance(t, action, state)
            states.append(state)
        return Rollout(
            architectures=actions,
            log_probs=torch.stack(log_probs, dim=1),
            entropies=torch.stack(entropies, dim=1),
            hidden_states=torch.stack([s[-1][0] for s in states], dim=1) if state else None,
            distributions=tuple(distributions),
        )

    def _log_distribution(
        self, t: int, choices: int, state: State, prefix: Tensor | None
    ) -> Tensor:
        """Log-probabilities `(M, choices)` of decision t, from the state and what is open.

        Args:
            t: The decision, counted from 0.
            choices: How many options it has.
            state: From which it is made.
            prefix: The decisions before it `(M, t)`; None to close no option.
        """
        logits = self._logits(t, state)[:, :choices]
        if self.temperature is not None:
            logits = logits / self.temperature
        if self.tanh_constant is not None:
            logits = self.tanh_constant * torch.tanh(logits)
        if prefix is not None:
            logits = logits.expand(len(prefix), choices)
            mask = self.space.mask(prefix)
            if mask is not None:
                logits = logits.masked_fill(~mask, -torch.inf)
        return F.log_softmax(logits, dim=1)
