"""Any sampler of Optuna as a controller: TPE (the default there), and what else comes.

Nothing is kept of a sampler. At every `ask` it is made anew with a seed of its own and told all
that was judged, so that a resumed search goes on as if it had not been interrupted. `optuna` is an
extra: `pip install 'nas-lightning[optuna]'`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nas_lightning.controllers.remembering import Remembering
from nas_lightning.errors import NotAllowedError, require
from nas_lightning.search_spaces.base import SearchSpace

if TYPE_CHECKING:
    import optuna


class OptunaSearch(Remembering):
    """Asks one of Optuna's samplers.

    A decision is a categorical parameter. Where decisions before it have closed some of its options
    it is another parameter, named by those that are open: samplers know such conditional ones.

    Args:
        space: What is searched.
        sampler: Makes the sampler; it is given a `seed` if it takes one.
        again: How many of the best are judged again where values no longer count.
        warm_start: Whole architectures that are judged and told before any of its own; or None.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        sampler: Callable[..., optuna.samplers.BaseSampler],
        again: int,
        warm_start: Sequence[Sequence[int]] | None,
    ) -> None:
        super().__init__(space=space, again=again, warm_start=warm_start)
        import optuna

        require(callable(sampler), "sampler", sampler, "a class of optuna.samplers")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._known: dict[tuple[tuple[int, ...], float | None], optuna.trial.FrozenTrial] = {}
        self._seeded = "seed" in inspect.signature(sampler).parameters
        self.sampler = sampler
        made = self._made(0)
        good = isinstance(made, optuna.samplers.BaseSampler)
        require(good, "sampler", type(made).__name__, "a class of optuna.samplers")

    def propose(self, n: int, generator: torch.Generator) -> Tensor:
        """What the sampler suggests in `n` trials, none of which has ended."""
        import optuna

        seed = int(torch.randint(2**31, (), generator=generator))
        study = optuna.create_study(direction="maximize", sampler=self._made(seed))
        study.add_trials(self._trials())
        return torch.tensor([self._suggested(study.ask()) for _ in range(n)])

    def _made(self, seed: int) -> optuna.samplers.BaseSampler:
        try:
            return self.sampler(**({"seed": seed} if self._seeded else {}))
        except (TypeError, ValueError) as error:
            raise NotAllowedError("sampler", self.sampler, str(error)) from error

    def _suggested(self, trial: optuna.Trial) -> list[int]:
        actions: list[int] = []
        for _ in self.space.decisions:
            name, options = self._parameter(actions)
            actions.append(trial.suggest_categorical(name, options))
        return actions

    def _parameter(self, actions: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """The name and the options of the decision after `actions`."""
        t = len(actions)
        decision = self.space.largest.decisions[t]
        if not self.space.masked:
            return decision.name, tuple(range(len(decision.choices)))
        open_ = self.space.open_options(torch.tensor([list(actions)]).long().reshape(1, t))[0]
        options = tuple(open_.nonzero().flatten().tolist())
        whole = len(options) == len(decision.choices)
        return decision.name if whole else f"{decision.name} of {options}", options

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        """All that was told; each is made once, which takes a third of the time of an ask."""
        rows = map(tuple, self.told.architectures.tolist())
        values = [v if math.isfinite(v) else None for v in self.told["value"].tolist()]
        told = list(zip(rows, values, strict=True))
        for row, value in told:
            if (row, value) not in self._known:
                self._known[row, value] = self._trial([a for a in row if a >= 0], value)
        return [self._known[row, value] for row, value in told]

    def _trial(self, actions: list[int], value: float | None) -> optuna.trial.FrozenTrial:
        """What has no value has failed."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import TrialState, create_trial

        named = [self._parameter(actions[:t]) for t in range(len(actions))]
        return create_trial(
            params={name: a for (name, _), a in zip(named, actions, strict=True)},
            distributions={name: CategoricalDistribution(o) for name, o in named},
            value=value,
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
        )
