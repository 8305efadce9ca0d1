"""The recurrent controller of Zoph & Le 2017 and ENAS, trained by the policy gradient.

At decision t an LSTM is fed the previous decision, and a linear head on its state gives the
distribution to draw from: p_t = softmax(c tanh(head(h_t) / temperature)), with h_0 and c_0 zero
before the first step (Bello et al. 2017 for temperature and tanh constant).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.controllers.base import Controller, Rollout
from nas_lightning.controllers.policy_gradient import Baseline, EntropyIn, policy_gradient_loss
from nas_lightning.errors import require_number, require_one_of, require_optimizer, require_whole
from nas_lightning.estimators.base import Evaluation, OptimizerFactory
from nas_lightning.search_spaces.base import SearchSpace


class LSTMController(Controller):
    """An autoregressive policy over the decisions of a space.

    Args:
        space: What is searched; parameters are allocated for its largest form.
        hidden_size: Units of each LSTM layer, H.
        num_layers: LSTM layers.
        init_range: All parameters start uniform in plus or minus this.
        heads: One linear head `per_decision`, or one `per_kind` of decision.
        temperature: Divides the logits; None for 1.
        tanh_constant: Squashes the logits into plus or minus this; None for no squashing.
        optimizer: Makes the optimizer of the parameters.
        baseline: Turns rewards into advantages.
        entropy_weight: Weight of the entropy bonus, per nat.
        entropy_in: Where the bonus enters; see `policy_gradient_loss`.
        frozen: Never learn: the untrained controller, for comparison.

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
        optimizer: OptimizerFactory,
        baseline: Baseline,
        entropy_weight: float,
        entropy_in: EntropyIn,
        frozen: bool,
    ) -> None:
        super().__init__()
        require_whole("hidden_size", hidden_size, at_least=1)
        require_whole("num_layers", num_layers, at_least=1)
        require_number("init_range", init_range, above=0)
        require_one_of("heads", heads, ("per_decision", "per_kind"))
        if temperature is not None:
            require_number("temperature", temperature, above=0)
        if tanh_constant is not None:
            require_number("tanh_constant", tanh_constant, above=0)
        require_optimizer("optimizer", optimizer)
        require_number("entropy_weight", entropy_weight, at_least=0)
        require_one_of("entropy_in", entropy_in, ("loss", "reward_per_step"))
        self.space = space
        self.init_range = init_range
        self.temperature = temperature
        self.tanh_constant = tanh_constant
        self.make_optimizer = optimizer
        self.baseline = baseline
        self.min_rollout = baseline.min_architectures
        self.entropy_weight = entropy_weight
        self.entropy_in: EntropyIn = entropy_in
        self.frozen = frozen

        decisions = space.largest.decisions
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

    @property
    def learns(self) -> bool:  # noqa: D102 (see the base class)
        return not self.frozen

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all parameters anew, uniform in plus or minus `init_range`; forget past rewards."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-self.init_range, self.init_range, generator=generator)
        self.baseline.reset()

    def enter(self, space: SearchSpace) -> None:
        """Propose from the grown space; the baseline knew rewards of the smaller one only."""
        super().enter(space)
        self.baseline.reset()

    def sample(self, n: int, generator: torch.Generator) -> Rollout:  # noqa: D102
        widest = max(self.space.num_choices)
        # Drawn at once and on the CPU: one transfer, and the same architectures on every device.
        noise = torch.empty(len(self.space.decisions), n, widest)
        noise.exponential_(generator=generator)
        return self._unroll(n, len(noise), noise=noise.to(self.embedding.weight.device))

    def evaluate(self, architectures: Tensor) -> Rollout:  # noqa: D102
        return self._unroll(*architectures.shape, given=architectures)

    def learn(self, rollout: Rollout, rewards: Tensor, evaluation: Evaluation) -> Tensor | None:
        """The policy-gradient loss of the rollout, or None when frozen."""
        if self.frozen:
            return None
        return policy_gradient_loss(
            rollout,
            self.baseline(rewards),
            entropy_weight=self.entropy_weight,
            entropy_in=self.entropy_in,
        )

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
        weight = self.embedding.weight
        token = torch.zeros(n, dtype=torch.int64, device=weight.device)
        zeros = weight.new_zeros(n, weight.shape[1])
        states = [(zeros, zeros)] * len(self.cells)
        actions = torch.empty((n, 0), dtype=torch.int64, device=weight.device)
        log_probs, entropies, hidden = [], [], []
        for t, choices in enumerate(self.space.largest.num_choices[:decisions]):
            states = self._step(token, states)
            hidden.append(states[-1][0])
            log_p = self._log_distribution(t, choices, hidden[-1], actions)
            if given is not None:
                action = given[:, t]
            else:
                assert noise is not None
                action = (log_p.detach().exp() / noise[t, :, :choices]).argmax(dim=1)
            log_probs.append(log_p.gather(1, action.unsqueeze(1)).squeeze(1))
            # p log p by hand: the gradient of torch.special.entr is NaN where p is closed or rounds
            # to 0.
            finite = log_p.masked_fill(torch.isneginf(log_p), 0.0)
            entropies.append(-(log_p.exp() * finite).sum(dim=1))
            actions = torch.cat([actions, action.unsqueeze(1)], dim=1)
            token = self._offsets[t] + action
        hidden.append(self._step(token, states)[-1][0])
        return Rollout(
            architectures=actions,
            log_probs=torch.stack(log_probs, dim=1),
            entropies=torch.stack(entropies, dim=1),
            hidden_states=torch.stack(hidden, dim=1),
        )

    def _step(
        self, token: Tensor, states: list[tuple[Tensor, Tensor]]
    ) -> list[tuple[Tensor, Tensor]]:
        """Feed tokens `(M,)` through all layers."""
        x = self.embedding(token)
        stepped = []
        for cell, state in zip(self.cells, states, strict=True):
            stepped.append(cell(x, state))
            x = stepped[-1][0]
        return stepped

    def _log_distribution(self, t: int, choices: int, state: Tensor, prefix: Tensor) -> Tensor:
        """Log-probabilities `(M, choices)` of decision t, from the state and what is open."""
        logits = self.heads[self._heads[t]](state)[:, :choices]
        if self.temperature is not None:
            logits = logits / self.temperature
        if self.tanh_constant is not None:
            logits = self.tanh_constant * torch.tanh(logits)
        mask = self.space.mask(prefix)
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        return F.log_softmax(logits, dim=1)
