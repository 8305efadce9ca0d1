"""A predictor guides the search: fit what was judged, rank a pool, ask for the best of it.

The same in NAS-Bench-101's baselines and BANANAS (White et al. 2021): uniform architectures first,
then the best of a pool of mutants of the best and of uniform ones. Some of the first are set apart,
and never fitted: they say how well the predictor ranks what it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nas_lightning.controllers.base import Proposal
from nas_lightning.controllers.ranking import Ranker, quality
from nas_lightning.controllers.remembering import Remembering, finite
from nas_lightning.errors import require, require_number, require_one_of, require_whole
from nas_lightning.predictors.base import Prediction, Predictor
from nas_lightning.search_spaces.base import SearchSpace

ACQUISITIONS = ("mean", "upper_bound", "thompson")


class PredictorSearch(Remembering):
    """Search by what a predictor thinks of architectures.

    Args:
        space: What is searched.
        predictor: What predicts.
        initial: Uniform architectures that are judged before the first fit.
        held_out: Uniform architectures that are set apart, and judged before all others; 0: none,
            and nothing is known of the predictor.
        pool: Architectures that are ranked whenever some are asked for.
        mutants: Which part of the pool are mutants; the others are uniform.
        parents: Of how many of the best they are mutants.
        acquisition: By what the pool is ranked: the `mean`; the `upper_bound`, a spread above it;
            or `thompson`, a draw from the normal distribution of both.
        refit: The predictor is fitted again when so large a part is new.
        again: How many of the best are judged again where values no longer count.
        warm_start: Whole architectures that are judged and told before any of its own; or None.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    begins_with = ("held_out", "initial")
    fitted: Tensor
    seed: Tensor

    def __init__(
        self,
        *,
        space: SearchSpace,
        predictor: Predictor,
        initial: int,
        held_out: int,
        pool: int,
        mutants: float,
        parents: int,
        acquisition: str,
        refit: float,
        again: int,
        warm_start: Sequence[Sequence[int]] | None,
    ) -> None:
        super().__init__(space=space, again=again, columns=("apart",), warm_start=warm_start)
        require_whole("initial", initial, at_least=2)
        require_whole("held_out", held_out, at_least=0)
        require(held_out == 0 or held_out >= 32, "held_out", held_out, "0, or at least 32")
        require_whole("pool", pool, at_least=1)
        require_number("mutants", mutants, at_least=0, at_most=1)
        require_whole("parents", parents, at_least=1)
        require_one_of("acquisition", acquisition, ACQUISITIONS)
        require_number("refit", refit, at_least=0)
        self.ranker = Ranker(predictor)
        self.initial = initial
        self.held_out = held_out
        self.least_budget = initial + held_out
        self.pool = pool
        self.mutants = mutants
        self.parents = parents
        self.acquisition = acquisition
        self.refit = refit
        self.register_buffer("fitted", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))
        self._fitted_as: tuple[int, int, int] | None = None

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing has been told, and nothing fitted."""
        super().reset_parameters(generator)
        self.fitted.zero_()
        self.seed.zero_()
        self._fitted_as = None

    def renew(self) -> None:
        """The best are judged again, and so are uniform ones; see the base class."""
        super().renew()
        self.fitted.zero_()

    def propose(self, n: int, generator: torch.Generator) -> Tensor:
        """Uniform architectures until there are enough, then the best of a pool."""
        first = n if int(self.fitted) == 0 else min(n, self._missing())
        uniform = self.space.sample(first, generator)
        if first == n:
            return uniform
        chosen = self._best_of_a_pool(n - first, generator)
        more = self.space.sample(n - first - len(chosen), generator)
        return torch.cat([uniform, chosen, more])

    def labels(self, proposal: Proposal, first: int) -> dict[str, Tensor]:
        """Whether it is set apart."""
        missing = self.held_out - int(self.told["apart"].sum())
        return {"apart": torch.arange(len(proposal.architectures) - first) < missing}

    def learn(self, generator: torch.Generator) -> None:
        """Decide whether to fit again, on what and with which seed; it is done when asked for."""
        told, fitted = len(self.told), int(self.fitted)
        if self._missing() or len(self.waiting):
            return
        if fitted == 0 or told - fitted >= self.refit * fitted:
            self.fitted.fill_(told)
            self.seed.copy_(torch.randint(2**31, (), generator=generator))

    def _missing(self) -> int:
        """How many more are judged before the first fit: those set apart, and those fitted."""
        apart = int(self.told["apart"].sum())
        return max(0, self.held_out - apart) + max(0, self.initial - (len(self.told) - apart))

    def numbers(self) -> dict[str, float]:
        """How well what is set apart is ranked; nothing before the first fit, or without any."""
        apart = self.told["apart"].bool()
        if int(self.fitted) == 0 or not bool(apart.any()):
            return {}
        prediction = self._predict(self.told.architectures[apart])
        fitted_on = float(self.fitted) - self.held_out
        return {
            "predictor/fitted_on": fitted_on,
            **quality(prediction, self.told["value"][apart], "predictor"),
        }

    def _predict(self, architectures: Tensor) -> Prediction:
        """By the predictor fitted as was decided; after a resume it is fitted again."""
        key = int(self.moment), int(self.fitted), int(self.seed)
        if key != self._fitted_as:
            known = ~self.told["apart"][: key[1]].bool()
            values = finite(self.told["value"])[: key[1]]
            rows = self.told.architectures[: key[1]]
            self.ranker.fit(rows[known], values[known], key[2])
            self._fitted_as = key
        return self.ranker.predict(architectures)

    def _best_of_a_pool(self, n: int, generator: torch.Generator) -> Tensor:
        """The `n` best, or fewer, of a pool of what was not judged."""
        mutants = round(self.pool * self.mutants)
        best = self.best(self.parents).cpu()
        if len(best) == 0:  # it has just grown
            mutants = 0
        drawn = torch.randint(max(1, len(best)), (mutants,), generator=generator)
        pool = self.space.sample(self.pool - mutants, generator)
        if mutants and self.space.size > 1:
            pool = torch.cat([self.space.mutate(best[drawn], generator), pool])
        length = pool.shape[1]
        known = set(map(tuple, self.told.architectures[:, :length].tolist()))
        fresh = [row for row in dict.fromkeys(map(tuple, pool.tolist())) if row not in known]
        rows = torch.tensor(fresh, dtype=torch.int64).reshape(-1, length)
        if len(rows) == 0:
            return rows
        order = self._worth(rows, generator).argsort(descending=True, stable=True)
        return rows[order[:n]]

    def _worth(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        mean, spread = self._predict(rows)
        if self.acquisition == "mean":
            return mean
        if self.acquisition == "upper_bound":
            return mean + spread
        draws = torch.randn(len(mean), generator=generator, dtype=torch.float64)
        return mean + spread * draws
