"""What a measurement comes to: numbers, and whether they are what is aimed at."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measured number beside what is aimed at.

    Attributes:
        what: What was measured, for example `ratio`.
        value: The number: a median, where it was measured in rounds.
        lowest: The least of the rounds, or the lower end of an interval.
        highest: The greatest, or the upper end.
        at_least: What is aimed at, where more is better; None where nothing is.
        at_most: Likewise, where less is better.
        beside: What else was found, by name.
    """

    what: str
    value: float
    lowest: float
    highest: float
    at_least: float | None = None
    at_most: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether it is what is aimed at; None where nothing is."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    @property
    def aim(self) -> str:
        """What is aimed at, in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"

    @property
    def verdict(self) -> str:
        """Whether it is what is aimed at, in words."""
        return {True: "met", False: "missed", None: ""}[self.met]

    def as_json(self) -> dict[str, object]:
        """All of it, for a file."""
        return {**asdict(self), "met": self.met}

    @staticmethod
    def from_json(number: Mapping[str, Any]) -> Number:
        """What `as_json` has made; in a file what is no number is null."""
        known = {key: value for key, value in number.items() if key != "met"}
        for key in ("value", "lowest", "highest"):
            known[key] = math.nan if known[key] is None else known[key]
        beside = {what: math.nan if v is None else v for what, v in number["beside"].items()}
        return Number(**{**known, "beside": beside})


def over_rounds(
    what: str,
    values: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    beside: Mapping[str, float] | None = None,
) -> Number:
    """The median of what was measured in rounds; see `Number`."""
    return Number(
        what=what,
        value=statistics.median(values),
        lowest=min(values),
        highest=max(values),
        at_least=at_least,
        at_most=at_most,
        beside=beside or {},
    )
