"""Random search: the controller that every other one has to beat (Li & Talwalkar 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.controllers.base import Policy, Rollout
from nas_lightning.errors import NotAllowedError, Remedy, require_whole
from nas_lightning.search_spaces.base import SearchSpace


class RandomPolicy(Policy):
    """Draws uniformly, from the whole space or from a fixed random part of it.

    Args:
        space: What is searched.
        support: Draw only from so many architectures, fixed at the start; None for all.

    Raises:
        ValueError: If `support` is outside what is allowed.
    """

    supported: Tensor

    def __init__(self, *, space: SearchSpace, support: int | None) -> None:
        super().__init__()
        if support is not None:
            require_whole("support", support, at_least=1)
            if len(space.decisions) < len(space.largest.decisions):
                why = "the space grows, which a fixed part of it cannot follow"
                raise NotAllowedError("support", support, why, Remedy.ALL_OF_THE_SPACE)
            if support > space.size:
                why = f"the space has {space.size} architectures"
                raise NotAllowedError("support", support, why)
        self.space = space
        self.support = support
        shape = (support or 0, len(space.decisions))
        self.register_buffer("supported", torch.zeros(shape, dtype=torch.int64))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the supported architectures anew, all different."""
        found: dict[tuple[int, ...], None] = {}
        while len(found) < len(self.supported):
            for row in self.space.sample(len(self.supported), generator).tolist():
                found.setdefault(tuple(row))
        if self.support is not None:
            self.supported.copy_(torch.tensor(list(found)[: self.support]))

    def ask(self, n: int, generator: torch.Generator) -> Rollout:  # noqa: D102
        if self.support is None:
            architectures = self.space.sample(n, generator).to(self.supported.device)
        else:
            index = torch.randint(self.support, (n,), generator=generator)
            architectures = self.supported[index.to(self.supported.device)]
        return self.evaluate(architectures)

    def evaluate(self, architectures: Tensor) -> Rollout:
        """Exact probabilities: of an architecture outside the support they are zero."""
        distributions, log_probs, entropies = [], [], []
        for t in range(architectures.shape[1]):
            p = self._distribution(architectures[:, :t])
            chosen = p.gather(1, architectures[:, t : t + 1]).squeeze(1)
            distributions.append(p.log())
            log_probs.append(chosen.log())
            entropies.append(torch.special.entr(p).sum(dim=1))
        return Rollout(
            architectures=architectures,
            log_probs=torch.stack(log_probs, dim=1),
            entropies=torch.stack(entropies, dim=1),
            distributions=tuple(distributions),
        )

    def _distribution(self, prefix: Tensor) -> Tensor:
        """Probabilities `(M, choices)` of decision t after the prefixes `(M, t)`."""
        t = prefix.shape[1]
        if self.support is None:
            space = self.space if t < len(self.space.decisions) else self.space.largest
            return space.uniform(prefix)
        same = (prefix.unsqueeze(1) == self.supported[:, :t]).all(dim=2)  # (M, support)
        options = torch.nn.functional.one_hot(self.supported[:, t], self.space.num_choices[t])
        counts = same.float() @ options.float()
        return counts / counts.sum(dim=1, keepdim=True).clamp_min(1)
