"""Progressive search, PNAS: in order of complexity, guided by a predictor (Liu et al. 2018).

A stage judges beginnings of one length, which ends where a layer or a node is whole
(`SearchSpace.blocks`). All extensions of those that were kept are ranked by a predictor that has
learned from everything judged so far, and the K best are kept and judged. Beside them a uniform
sample of what is thrown away is judged: by it the predictor is measured, since among the K best
ranks are restricted.

In a space that grows a beginning is a smaller network, and is judged as such: the controller grows
the space. In others it is judged by a uniform architecture that begins so, and the predictor learns
what is to be expected of a beginning. After the last stage its next K best are judged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.controllers.base import Proposal
from nas_lightning.controllers.ranking import Ranker, quality
from nas_lightning.controllers.remembering import Remembering, Rows, finite
from nas_lightning.errors import require, require_whole
from nas_lightning.predictors.base import Prediction, Predictor
from nas_lightning.search_spaces.base import SearchSpace

LARGEST = 100_000
"""Beginnings that are listed; of more, a random part."""

FILLED = -1
"""The stage of a uniform architecture with which a step was filled up."""


class PNAS(Remembering):
    """Progressive neural architecture search.

    Args:
        space: What is searched.
        predictor: What ranks beginnings.
        kept: Beginnings that a stage keeps, K.
        first: Beginnings of the first stage, which is the first one of at least K: all of them, or
            so many at random where there are more.
        held_out: Beginnings judged at every later stage beside the K best, a uniform sample of the
            others; 0: none, and nothing is known of the predictor.

    Raises:
        ValueError: If an argument is outside what is allowed, or no stage has K beginnings.
    """

    grows_the_space = True
    begins_with = ("first",)
    stage: Tensor
    considered: Tensor

    def __init__(
        self, *, space: SearchSpace, predictor: Predictor, kept: int, first: int, held_out: int
    ) -> None:
        require_whole("kept", kept, at_least=2)
        require_whole("first", first, at_least=2)
        require_whole("held_out", held_out, at_least=0)
        require(held_out == 0 or held_out >= 32, "held_out", held_out, "0, or at least 32")
        columns = "stage", "moment", "apart", "mean", "spread"
        super().__init__(space=space, again=0, columns=columns)
        self.ranker = Ranker(predictor)
        self.kept = kept
        self.held_out = held_out
        self.register_buffer("stage", torch.zeros((), dtype=torch.int64))
        self.register_buffer("considered", torch.zeros((), dtype=torch.int64))
        self.plan = Rows(("apart", "mean", "spread"), self.told.longest)
        self.begins_at, beginnings = self._begin(torch.Generator())
        known = len(beginnings)
        require(kept <= known, "kept", kept, f"at most {known}, all that the last stage has")
        self.first = self.least_budget = min(first, known)
        self._finished: dict[str, float] = {}

    @property
    def space(self) -> SearchSpace:
        """The form of the present stage, or the space where it does not grow."""
        return self._forms.get(self.blocks[int(self.stage)], self._whole)

    @space.setter
    def space(self, space: SearchSpace) -> None:
        self._whole = space.largest
        self._forms = {len(form.decisions): form for form in space.stages}
        self.blocks = space.blocks

    def reset_parameters(self, generator: torch.Generator) -> None:
        """The first stage is planned, in random order."""
        super().reset_parameters(generator)
        self._finished = {}
        self.stage.fill_(self.begins_at)
        _, beginnings = self._begin(generator)
        self.considered.fill_(len(beginnings))
        order = torch.randperm(len(beginnings), generator=generator)[: self.first]
        self.plan.clear()
        self.plan.append(beginnings[order], {})

    def renew(self) -> None:
        """Nothing is judged again: values count from now on beside those of their epoch and stage.

        A stage is judged in random order, so that what of it falls into an epoch has the same
        expectation.
        """
        self.moment += 1

    def propose(self, n: int, generator: torch.Generator) -> Tensor:
        """What is planned; when that is not enough, uniform architectures."""
        beginnings = self.plan.architectures[:n, : self.blocks[int(self.stage)]]
        planned = self.space.complete(beginnings, generator)
        return torch.cat([planned, self.space.sample(n - len(planned), generator)])

    def labels(self, proposal: Proposal, first: int) -> dict[str, Tensor]:
        """What was planned of it, which is planned no more."""
        told = proposal.architectures.cpu()
        length = min(self.blocks[int(self.stage)], told.shape[1])
        planned = self.plan.architectures[: len(told), :length]
        same = (planned == told[: len(planned), :length]).all(dim=1)
        n, rest = int(same.long().cumprod(dim=0).sum()), len(told)
        numbers = {name: torch.zeros(rest).double() for name in self.plan.columns}
        for name in self.plan.columns:
            numbers[name][:n] = self.plan[name][:n]
        self.plan.drop(n)
        stages = torch.where(torch.arange(rest) < n, self.stage.cpu(), FILLED)
        return {"stage": stages, "moment": self.moment.cpu().expand(rest), **numbers}

    def learn(self, generator: torch.Generator) -> None:
        """When a stage has been judged, plan the next one."""
        self._finished = {}
        if len(self.plan) or not int(self.considered):
            return
        self._finished = self._summary()
        stage = min(int(self.stage) + 1, len(self.blocks) - 1)
        candidates = self._candidates(stage, generator)
        self.stage.fill_(stage)
        self.considered.fill_(len(candidates))
        if len(candidates):
            self._plan(candidates, generator)

    def numbers(self) -> dict[str, float]:
        """Of a stage, at the step at which it is finished."""
        return self._finished

    def _begin(self, generator: torch.Generator) -> tuple[int, Tensor]:
        """The first stage, and its beginnings."""
        stage, found = -1, torch.empty((1, 0), dtype=torch.int64)
        while len(found) < self.kept and stage < len(self.blocks) - 1:
            stage += 1
            found = self._extended(found, self.blocks[stage], generator)
        return stage, found

    def _extended(self, found: Tensor, length: int, generator: torch.Generator) -> Tensor:
        """All beginnings of a length that begin with one of those; see `LARGEST`."""
        for _ in range(length - found.shape[1]):
            found = self._whole.extensions(found)
            if len(found) > LARGEST:
                found = found[torch.randperm(len(found), generator=generator)[:LARGEST]]
        return found

    def _candidates(self, stage: int, generator: torch.Generator) -> Tensor:
        """All extensions of what the stage before has kept; at the last stage what is not known."""
        length, rows = self.blocks[stage], self.told.architectures
        found = torch.empty((1, 0), dtype=torch.int64)
        if stage > self.begins_at:
            before = (self.told["stage"] == stage - 1) & (self.told["apart"] == 0)
            found = rows[before][:, : self.blocks[stage - 1]].unique(dim=0)
        found = self._extended(found, length, generator)
        if stage < len(self.blocks) - 1:
            return found
        known = set(map(tuple, rows.tolist()))
        return found[torch.tensor([tuple(row) not in known for row in found.tolist()]).bool()]

    def _plan(self, candidates: Tensor, generator: torch.Generator) -> None:
        """The K best, and some of the others, in random order."""
        rows = self.told.architectures[:, : candidates.shape[1]]
        self.ranker.fit(rows, self._values(), int(torch.randint(2**31, (), generator=generator)))
        mean, spread = self.ranker.predict(candidates)
        order = mean.argsort(descending=True, stable=True)
        others = order[self.kept :]
        others = others[torch.randperm(len(others), generator=generator)[: self.held_out]]
        chosen = torch.cat([order[: self.kept], others])
        apart = torch.arange(len(chosen)) >= min(self.kept, len(order))
        mixed = torch.randperm(len(chosen), generator=generator)
        chosen, apart = chosen[mixed], apart[mixed]
        numbers = {"apart": apart, "mean": mean[chosen], "spread": spread[chosen]}
        self.plan.append(candidates[chosen], numbers)

    def _values(self) -> Tensor:
        """Values that can be compared; once rewards change, beside those of epoch and stage."""
        values = finite(self.told["value"])
        if int(self.moment) <= 1:
            return values
        groups = torch.stack([self.told["moment"], self.told["stage"]], dim=1)
        _, group = groups.unique(dim=0, return_inverse=True)
        sums = torch.zeros(len(values), dtype=torch.float64).index_add(0, group, values)
        return values - (sums / torch.bincount(group, minlength=len(values)).clamp_min(1))[group]

    def _summary(self) -> dict[str, float]:
        """What the stage that ends has come to."""
        of_stage = self.told["stage"] == int(self.stage)
        apart = self.told["apart"].bool()
        values = finite(self.told["value"])
        kept, others = of_stage & ~apart, of_stage & apart
        at_most = self.first if int(self.stage) == self.begins_at else self.kept
        found = {
            "pnas/decisions": float(self.blocks[int(self.stage)]),
            "pnas/kept": float(kept.sum()),
            "pnas/thrown_away": float(max(0, int(self.considered) - at_most)),
            "pnas/reward_kept": float(values[kept].mean()),
        }
        if not bool(others.any()):
            return found
        told = Prediction(self.told["mean"][others], self.told["spread"][others])
        return {
            **found,
            "pnas/reward_thrown_away": float(values[others].mean()),
            **quality(told, self._values()[others], "pnas"),
        }
