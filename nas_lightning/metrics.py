"""What is measured of an architecture: a metric's name, its unit, and which way is better.

Whoever measures declares what it measures; nothing has a table of names. So a loss, an accuracy, a
latency and a number of parameters are the same kind of thing, and none counts silently as "more is
better".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nas_lightning.errors import require_one_of

Direction = Literal["less", "more"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that an architecture is given.

    Attributes:
        name: As in the ledger and in the names of recorded metrics.
        unit: What one of it is, for people: `nats per target`, `ms`; empty where it has none.
        direction: Whether `less` or `more` of it is better.
    """

    name: str
    unit: str
    direction: Direction

    def __post_init__(self) -> None:
        """Refuse a direction that is none."""
        require_one_of("direction", self.direction, ("less", "more"))

    @property
    def sign(self) -> int:
        """1 if more is better, -1 if less is."""
        return 1 if self.direction == "more" else -1

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("_", "-")

    def label(self, *more: str) -> str:
        """Its name over numbers of it, with its unit and what else is to be said in brackets."""
        notes = "; ".join(filter(None, (self.unit, *more)))
        return f"{self.title} ({notes})" if notes else self.title

    def said(self, value: float) -> str:
        """A value with its name and unit, for people."""
        return " ".join(filter(None, (self.title, number(value), self.unit)))

    def gains(self, values: Tensor) -> Tensor:
        """Values `(M,)` as numbers of which more is better; NaN is the worst of all."""
        return (self.sign * values).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def number(value: float, digits: int = 4) -> str:
    """A number for people: so many digits, or all before the point; powers of ten beyond 1e12."""
    size = abs(value)
    if 10 ** (digits - 1) <= size < (1e12 if float(value).is_integer() else 1e7):
        return f"{value:,.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.{digits}g}")


def require_declared(name: str, wanted: object, declared: Iterable[Metric]) -> Metric:
    """The declared metric of a name.

    Args:
        name: Of the argument, for the message.
        wanted: The metric's name.
        declared: Among which it must be.

    Raises:
        ValueError: If it is not among them.
    """
    by_name = {metric.name: metric for metric in declared}
    require_one_of(name, wanted, tuple(by_name))
    return by_name[str(wanted)]


def measuring(quantity: str, names: Iterable[str]) -> str | None:
    """The first name that is of a quantity: its own, or that of its value after some budget.

    Args:
        quantity: Such as `accuracy`.
        names: Of metrics; `accuracy_after_12_epochs` is one, too.
    """
    return next((n for n in names if n == quantity or n.startswith(f"{quantity}_after_")), None)
