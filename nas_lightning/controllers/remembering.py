"""What controllers share that keep all they are told: a history, and what is judged once more.

Where values of one epoch say nothing of another's (`renew`), the best are proposed once more
before anything else, and the rest is forgotten. A warm start is what waits to be proposed at first.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from nas_lightning.controllers.base import GIVEN, Controller, Origin, Proposal
from nas_lightning.errors import require_whole
from nas_lightning.estimators.base import Evaluation
from nas_lightning.search_spaces import require_whole_ones
from nas_lightning.search_spaces.base import SearchSpace


class Rows(nn.Module):
    """Architectures with numbers beside them, ever more of them.

    A checkpoint's tensors have fixed shapes, so in it they are a list.

    Args:
        columns: What the numbers are.
        longest: Decisions of the longest architecture; -1 stands for those that one lacks.
    """

    def __init__(self, columns: tuple[str, ...], longest: int) -> None:
        super().__init__()
        self.columns = columns
        self.longest = longest
        self.table = torch.zeros(0, len(columns) + longest, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, column: str) -> Tensor:
        """One of the numbers, float64 `(N,)`."""
        return self.table[:, self.columns.index(column)]

    @property
    def architectures(self) -> Tensor:
        """int64 `(N, longest)`."""
        return self.table[:, len(self.columns) :].long()

    def append(self, architectures: Tensor, numbers: dict[str, Tensor]) -> None:
        """Add rows; a number that is not given is 0."""
        n = len(architectures)
        columns = [
            numbers.get(name, torch.zeros(n)).double().reshape(n, 1) for name in self.columns
        ]
        whole = pad(architectures.cpu(), (0, self.longest - architectures.shape[1]), value=-1)
        self.table = torch.cat([self.table, torch.cat([*columns, whole.double()], dim=1)])

    def drop(self, n: int) -> None:
        """Forget the first `n`."""
        self.table = self.table[n:]

    def clear(self) -> None:
        """Forget all."""
        self.table = self.table[:0]

    def get_extra_state(self) -> list[list[float]]:
        """For the checkpoint."""
        rows: list[list[float]] = self.table.tolist()
        return rows

    def set_extra_state(self, state: list[list[float]]) -> None:
        """From the checkpoint."""
        width = self.table.shape[1]
        self.table = torch.tensor(state, dtype=torch.float64).reshape(-1, width)


class Remembering(Controller):
    """Keeps what it is told, and has the best judged again where it no longer counts.

    Attributes:
        told: All that was judged since the last `renew`, in that order.
        waiting: What is to be judged again, the best first.
        moment: How often rewards have begun to come from other weights.

    Args:
        space: What is searched.
        again: How many are judged again after `renew`.
        columns: What is noted of an architecture beside its value.
        warm_start: Whole architectures that are judged and told before any of its own; or None.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    learns = True
    compares = True
    moment: Tensor

    def __init__(
        self,
        *,
        space: SearchSpace,
        again: int,
        columns: tuple[str, ...] = (),
        warm_start: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        require_whole("again", again, at_least=0)
        self.warm_start = require_whole_ones("warm_start", warm_start, space)
        self.space = space
        self.again = again
        longest = len(space.largest.decisions)
        self.told = Rows(("value", *columns), longest)
        self.waiting = Rows(("given",), longest)
        self.register_buffer("moment", torch.zeros((), dtype=torch.int64))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing has been told; a warm start waits."""
        self.told.clear()
        self.waiting.clear()
        self.waiting.append(self.warm_start, {"given": torch.ones(len(self.warm_start))})
        self.moment.zero_()

    @abstractmethod
    def propose(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` architectures of the present form, on the CPU, from what was told."""

    def labels(self, proposal: Proposal, first: int) -> dict[str, Tensor]:
        """What is noted of what it is told, from place `first` of the proposal on."""
        return {}

    def learn(self, generator: torch.Generator) -> None:
        """Something was told."""

    def ask(self, n: int, generator: torch.Generator) -> Proposal:
        """What has to be judged again, then what the controller proposes; see the base class."""
        again = self.waiting.architectures[:n, : len(self.space.decisions)]
        asked = [again]
        if n > len(again):
            asked.append(self.propose(n - len(again), generator))
        return Proposal(torch.cat(asked).to(self.moment.device), origins=self.origins(n))

    def origins(self, n: int) -> list[Origin | None] | None:
        """Which of `n` that are asked for it was given; None if none of them."""
        given: list[Origin | None] = [GIVEN if g else None for g in self.waiting["given"][:n]]
        return given + [None] * (n - len(given)) if GIVEN in given else None

    def candidates(self, n: int, generator: torch.Generator) -> Proposal:
        """The best that it knows, and what it would propose next."""
        best = self.best(n)
        return Proposal(torch.cat([best, self.ask(n, generator).architectures])[:n])

    def tell(
        self,
        proposal: Proposal,
        rewards: Tensor,
        evaluation: Evaluation,
        generator: torch.Generator,
    ) -> None:
        """Keep it, and learn from it; see the base class."""
        architectures = proposal.architectures.cpu()
        length = architectures.shape[1]
        waiting = self.waiting.architectures[: len(architectures), :length]
        same = (waiting == architectures[: len(waiting)]).all(dim=1)
        again = int(same.long().cumprod(dim=0).sum())
        self.waiting.drop(again)
        noted = {"value": rewards.detach()}
        for name, numbers in self.labels(proposal, again).items():
            noted[name] = torch.cat([torch.zeros(again, dtype=torch.float64), numbers.double()])
        self.told.append(architectures, {n: v.cpu() for n, v in noted.items()})
        self.learn(generator)

    def enter(self, space: SearchSpace) -> None:
        """What is known of smaller networks stays known, but is not judged again."""
        super().enter(space)
        left = self.waiting.architectures[self.waiting["given"] > 0]
        self.waiting.clear()
        self.waiting.append(left, {"given": torch.ones(len(left))})

    def renew(self) -> None:
        """The best are judged again; all values are forgotten."""
        self.moment += 1
        if len(self.told):
            best = self.best(self.again)
            left = self.waiting.architectures[self.waiting["given"] > 0]
            self.told.clear()
            self.waiting.clear()
            self.waiting.append(left, {"given": torch.ones(len(left))})
            self.waiting.append(best, {})

    def best(self, n: int) -> Tensor:
        """The `n` best of the present form that were told, or fewer, all different `(n, T)`."""
        length = len(self.space.decisions)
        rows, values = self.told.architectures, self.told["value"]
        lengths = (rows >= 0).sum(dim=1)
        order = values.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
        order = order[(lengths == length)[order] & ~values.isnan()[order]]
        distinct = list(dict.fromkeys(map(tuple, rows[order, :length].tolist())))[:n]
        found = torch.tensor(distinct, dtype=torch.int64).reshape(-1, length)
        return found.to(self.moment.device)


def finite(values: Tensor) -> Tensor:
    """The values, those that are none replaced by the worst of the others, or by 0."""
    good = values.isfinite()
    worst = float(values[good].min()) if bool(good.any()) else 0.0
    return torch.where(good, values, worst)
